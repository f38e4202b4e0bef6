"""What an import did: rows imported, known already, skipped and why, and what was changed."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Report:
    """Counts by what was imported ("devices", "events", ...)."""

    imported: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    skipped: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: Imported, but not as it was: "title shortened".
    changed: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0

    def __bool__(self) -> bool:
        """Whether there is anything to report."""
        return bool(self.imported or self.known or self.skipped or self.fault_count)

    def add(self, other: "Report") -> None:
        self.imported.update(other.imported)
        self.known.update(other.known)
        self.skipped.update(other.skipped)
        self.changed.update(other.changed)
        self.faults += other.faults
        self.fault_count += other.fault_count

    def skip(self, what: str, reason: str, number: int = 1) -> None:
        self.skipped[what, reason] += number

    def change(self, what: str, reason: str, number: int = 1) -> None:
        self.changed[what, reason] += number

    def lines(self, *, dry_run: bool) -> list[str]:
        """The summary, a line per count."""
        word = "would be imported" if dry_run else "imported"
        whats = list(
            dict.fromkeys(
                [*self.imported, *self.known] + [what for what, _ in [*self.skipped, *self.changed]]
            )
        )
        found = []
        for what in whats:
            skipped = [(why, n) for (of, why), n in sorted(self.skipped.items()) if of == what]
            changed = [(why, n) for (of, why), n in sorted(self.changed.items()) if of == what]
            total = sum(number for _, number in skipped)
            found.append(
                f"{what}: {self.imported[what]:,} {word}, {self.known[what]:,} known already,"
                f" {total:,} skipped"
            )
            found += [f"  skipped {number:>9,}  {why}" for why, number in skipped]
            found += [f"  changed {number:>9,}  {why}" for why, number in changed]
        return found or ["There was nothing to import."]
