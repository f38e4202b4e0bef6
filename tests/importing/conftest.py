"""Other systems' tables in the test database, and the command that reads them."""

from collections.abc import Callable, Iterator
from io import StringIO

import pytest
from django.core.management import call_command

from tests.importing.tables import OldTables


@pytest.fixture
def old(transactional_db: None) -> Iterator[OldTables]:
    tables = OldTables()
    yield tables
    tables.drop()


@pytest.fixture
def import_from() -> Callable[..., str]:
    """`import_from("pymess", "--dry-run")`: what the command prints."""

    def run(*arguments: str) -> str:
        out = StringIO()
        call_command("import_from", *arguments, stdout=out, stderr=out)
        return out.getvalue()

    return run
