"""Taking broadcasts in on PostgreSQL: one statement for a chunk of users, however many wait.

As for every change of an inbox: its number is raised under its lock, and the guard on what was
taken in already stands in the locked row itself, which is read again after a wait. The hub's
number and the events come from one snapshot, so that no event below the number is missing.

Events are held, before the inboxes, until the transaction ends: whoever withdraws one waits, and
finds it in the inboxes; or has come first, and it is not taken in any more. A withdrawal has the
same order.
"""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.utils import timezone

from notifications.events import with_types
from notifications.inbox.rows import announce
from notifications.signals import Arrived, Recipient
from notifications.sql import Sql

# A template is rendered in each reader's language, which is not SQL's: where an event has one, no
# inbox is locked, and the statement only says so. They are counted, so that all events are held
# before. The limits tell the planner that users are few, or it would plan anew for each of them.
TAKE_IN = """
    WITH waiting AS MATERIALIZED (
        SELECT e.id, e.broadcast, e.expires_at, e.template,
            e.type_id, t.critical, t.inbox, t.live
        FROM {event} e JOIN {type} t ON t.id = e.type_id
        WHERE e.broadcast > (
                SELECT min(few.broadcast)
                FROM (SELECT broadcast FROM {inbox} WHERE user_id {in_keys} LIMIT %s) few
            )
            AND e.broadcast <= (SELECT s.broadcast FROM {state} s WHERE s.id = 1)
            AND (e.expires_at IS NULL OR e.expires_at > %s::timestamptz)
        ORDER BY e.broadcast FOR SHARE OF e
    ), locked AS MATERIALIZED (
        SELECT i.user_id, i.version, i.unread, i.unseen, i.broadcast
        FROM {inbox} i
        WHERE i.user_id {in_keys}
            AND i.broadcast < (SELECT s.broadcast FROM {state} s WHERE s.id = 1)
            AND (SELECT count(*) FROM waiting WHERE template <> '') = 0
        ORDER BY i.user_id LIMIT %s FOR UPDATE
    ), judged AS MATERIALIZED (
        SELECT l.user_id, l.version, l.unread, l.unseen, w.id AS event_id, w.broadcast,
            w.expires_at,
            w.id IS NOT NULL AND (w.critical OR COALESCE(fi.enabled, w.inbox)) AS told,
            NOT (w.critical OR COALESCE(fl.enabled, w.live)) AS silent
        FROM locked l LEFT JOIN waiting w ON w.broadcast > l.broadcast
        LEFT JOIN {filter} fi
            ON fi.type_id = w.type_id AND fi.channel = 'inbox' AND fi.user_id = l.user_id
        LEFT JOIN {filter} fl
            ON fl.type_id = w.type_id AND fl.channel = 'live' AND fl.user_id = l.user_id
    ), taken AS MATERIALIZED (
        SELECT user_id, event_id, version, unread, unseen, silent,
            row_number() OVER (PARTITION BY user_id ORDER BY broadcast) AS place
        FROM judged WHERE told
    ), inserted AS (
        INSERT INTO {notification} (user_id, event_id, arrived, version, silent)
        SELECT user_id, event_id, version + place, version + place, silent FROM taken
    ), muted AS (
        INSERT INTO {left_out} (event_id, rule, number, user_ids, at)
        SELECT event_id, 'muted', count(*), jsonb_agg(user_id), %s::timestamptz
        FROM judged WHERE NOT told AND event_id IS NOT NULL GROUP BY event_id
    ), raised AS (
        UPDATE {inbox} AS i
        SET version = i.version + c.number, unread = i.unread + c.number,
            unseen = i.unseen + c.number, total = i.total + c.number,
            broadcast = (SELECT s.broadcast FROM {state} s WHERE s.id = 1),
            next_expiry = LEAST(i.next_expiry, c.ends)
        FROM (
            SELECT user_id, count(*) FILTER (WHERE told) AS number,
                min(expires_at) FILTER (WHERE told) AS ends
            FROM judged GROUP BY user_id
        ) c
        WHERE i.user_id = c.user_id
    )
    SELECT EXISTS (SELECT 1 FROM waiting WHERE template <> ''), n.event_id,
        n.user_id, n.version + n.place, n.unread + n.place, n.unseen + n.place, n.silent
    FROM (SELECT 1) one LEFT JOIN taken n ON TRUE
    ORDER BY n.event_id, n.user_id
"""


def take_in_at_once(user_ids: Sequence[Any], *, using: str) -> int | None:
    """Takes what waits into the inboxes of at most 500 users, in the order of its numbers.

    Returns how many notifications that made; None, and nothing is done, where one of the events
    has a template.
    """
    sql, at = Sql(using), timezone.now()
    keys = sql.keys(user_ids)
    few = len(user_ids)
    rows = sql.rows_again(TAKE_IN, [keys, few, at, keys, few, at])
    if rows[0][0]:
        return None
    found = {
        event_id: [Recipient(*row[2:]) for row in group]
        for event_id, group in groupby(rows, key=itemgetter(1))
        if event_id is not None
    }
    if not found:
        return 0
    events = with_types(list(found), using=using)
    # in the order of their numbers, so that a socket hears an inbox's numbers in theirs
    for event in sorted(events, key=lambda event: event.broadcast or 0):
        announce(Arrived(event=event, recipients=found[event.pk]), using=using)
    return sum(map(len, found.values()))
