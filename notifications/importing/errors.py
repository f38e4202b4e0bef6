"""What ends an import before anything is stored, or between two chunks."""


class ImportFault(Exception):
    """Do not raise directly. The text is a sentence for the person at the command line."""


class MissingTable(ImportFault):
    """The database has no table of that name."""


class OtherTable(ImportFault):
    """The table has that name, but not the columns of the system that is imported."""


class UnusableOption(ImportFault):
    """An option of the import that cannot be followed."""


class Interrupted(ImportFault):
    """The database went away, or a lock was held too long. Nothing of the chunk is stored."""
