"""What an old table's values mean, whichever way they were stored."""

from datetime import UTC, datetime

import pytest
from django.db import connection

from notifications.importing import Source, json_of

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 7, 1, 12)


def test_times_without_a_zone_are_those_of_the_database(settings):
    """On PostgreSQL such a column was made with USE_TZ off; SQLite has no other."""
    settings.TIME_ZONE = "Europe/Prague"
    source = Source("default")
    expected = 10 if connection.vendor == "postgresql" else 12
    assert source.time(NOON) == datetime(2026, 7, 1, expected, tzinfo=UTC)
    assert source.time(NOON.isoformat(" ")) == datetime(2026, 7, 1, expected, tzinfo=UTC)
    assert source.time(NOON.replace(tzinfo=UTC)) == NOON.replace(tzinfo=UTC)
    assert source.time(None) is source.time("no time") is None


@pytest.mark.parametrize(
    ("stored", "means"),
    [
        ('{"a": 1}', {"a": 1}), ({"a": 1}, {"a": 1}), ("", None), (None, None), ("null", None),
        ("plain", "plain"), ("[1]", [1]),
    ],
)  # fmt: skip
def test_json_is_text_or_decoded(stored, means):
    assert json_of(stored) == means
