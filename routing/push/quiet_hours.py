"""Quiet hours: a daily span, by the user's own clock, in which pushes wait."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import router

from notifications.errors import InvalidField
from routing.push.models import Preference


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """`start` and `end` on the user's wall clock; it may go over midnight."""

    start: time
    end: time
    time_zone: str

    def end_after(self, at: datetime) -> datetime | None:
        """When the quiet hours end that `at` lies in; None where it lies in none."""
        local = at.astimezone(zone(self.time_zone))
        now = local.time()
        over_midnight = self.end <= self.start
        if over_midnight:
            inside = now >= self.start or now < self.end
        else:
            inside = self.start <= now < self.end
        if not inside:
            return None
        day = local.date()
        if over_midnight and now >= self.start:
            day += timedelta(days=1)
        end = datetime.combine(day, self.end, tzinfo=local.tzinfo).astimezone(UTC)
        # When the clock is set back, the end comes a second time.
        return end if end > at else end + timedelta(hours=1)


def zone(name: str) -> ZoneInfo:
    """Raises `InvalidField` for what is no time zone."""
    try:
        return ZoneInfo(name)
    # ZoneInfo looks for files: a name can be a folder's, too long, or forbidden.
    except (ValueError, OSError, LookupError):
        raise InvalidField.of("time_zone", "must be the name of a time zone") from None


def of_users(user_ids: Iterable[Any], *, using: str) -> dict[Any, QuietHours]:
    """The quiet hours of those who have some."""
    rows = Preference.objects.using(using).filter(user__in=list(user_ids))
    found = {row.pk: of_row(row) for row in rows.exclude(quiet_start=None)}
    return {user_id: hours for user_id, hours in found.items() if hours is not None}


def of_row(row: Preference) -> QuietHours | None:
    if row.quiet_start is None or row.quiet_end is None:
        return None
    return QuietHours(start=row.quiet_start, end=row.quiet_end, time_zone=row.time_zone)


def of_text(span: str) -> QuietHours:
    """Of start, end and time zone, with a space between them."""
    start, end, name = span.split(" ", 2)
    return QuietHours(start=time.fromisoformat(start), end=time.fromisoformat(end), time_zone=name)


def read(user_id: Any, *, using: str | None = None) -> Preference:
    """The user's preferences, stored or not."""
    database = using or router.db_for_write(Preference)
    rows = Preference.objects.using(database).filter(user=user_id)
    return rows.first() or Preference(user_id=user_id)


def change(user_id: Any, *, using: str | None = None, **given: Any) -> Preference:
    """Sets what is given of `quiet_hours`, a pair of times or None, and `time_zone`.

    It holds for what is pushed from now on. Raises `InvalidField`.
    """
    database = using or router.db_for_write(Preference)
    columns: dict[str, Any] = {}
    if "time_zone" in given:
        zone(given["time_zone"])
        columns["time_zone"] = given["time_zone"]
    if "quiet_hours" in given:
        start, end = given["quiet_hours"] or (None, None)
        if start is not None and start == end:
            raise InvalidField.of("quiet_hours", "must not start and end at the same time")
        columns |= {"quiet_start": start, "quiet_end": end}
    if columns:
        rows = Preference.objects.using(database)
        rows.update_or_create(user_id=user_id, defaults=columns)
    return read(user_id, using=database)
