"""Which index serves which work: what PostgreSQL would read by, asked with `EXPLAIN`.

    python -m benchmarks.indexes [--plans]

Fills a database of its own (20,000 users with 50 notifications each of 50,000 events, 20,000
devices, 100,000 deliveries), does the work of the hub there, and has every statement explained on
its way. Prints each index of the large tables with what read by it; one that stands alone is a cost
without a use. `--plans` prints the plans, too. It is no figure: docs/performance.md tells what came
out.
"""

import argparse
import contextlib
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from benchmarks.stand import make_users, say, servers, start_django

TABLES = (
    *("hub_notification", "hub_inbox", "hub_audience", "hub_event", "hub_filter", "hub_leftout"),
    *("hub_device", "hub_delivery"),
)
USERS, EVENTS, EACH, DELIVERIES = 20_000, 50_000, 50, 100_000

NOTIFICATIONS = """
    INSERT INTO hub_notification (user_id, event_id, arrived, version, silent)
    SELECT u.id, %s + (n.n * 997 + u.id) %% %s, n.n, n.n, FALSE
    FROM auth_user u, generate_series(1, %s) AS n(n) ORDER BY n.n, u.id
"""


def fill() -> list[int]:
    """Returns the users' ids."""
    from django.db import connection
    from django.utils import timezone

    from notifications.models import Audience, Event, EventType, Filter, Inbox, LeftOut

    now, ids = timezone.now(), make_users(USERS)
    kinds = list(EventType.objects.all())
    say("events")
    events = Event.objects.bulk_create(
        Event(
            type=kinds[0] if n % 1000 == 0 else kinds[1],
            title=f"event {n}",
            timestamp=now - timedelta(minutes=EVENTS - n),
            author_id=ids[n % USERS] if n % 10 == 0 else None,
            tag=f"tag{n}" if n % 50 == 0 else "",
            template=f"template{n}" if n % 50 == 1 else "",
            expires_at=now + timedelta(hours=n) if n % 50 == 2 else None,
        )
        for n in range(EVENTS)
    )
    say("notifications")
    with connection.cursor() as cursor:
        cursor.execute(NOTIFICATIONS, [events[0].pk, EVENTS, EACH])
    Inbox.objects.update(version=EACH, unread=EACH, unseen=EACH, total=EACH)
    Filter.objects.bulk_create(
        Filter(user_id=key, type=kinds[0], channel=channel, enabled=bool(key % 2))
        for key in ids[::20]
        for channel in ("inbox", "live", "push")
    )
    before = now - timedelta(minutes=1)
    Audience.objects.bulk_create(
        Audience(event=events[n % EVENTS], user_ids=ids[:5], due=before, lane=n % 2)
        for n in range(EVENTS)
    )
    LeftOut.objects.bulk_create(
        LeftOut(event=event, rule="muted", number=1, user_ids=[ids[0]]) for event in events
    )
    fill_push(ids, [event.pk for event in events])
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return ids


def fill_push(ids: list[int], events: list[int]) -> None:
    from django.utils import timezone

    from routing.push.models import Application, Delivery, Device

    now = timezone.now()
    say("devices and deliveries")
    application = Application.objects.create(name="app", backend="dummy", is_default=True)
    devices = Device.objects.bulk_create(
        Device(
            user_id=key,
            application=application,
            backend="dummy",
            token=f"token{key}",
            token_hash=f"{key:064x}",
            active=bool(key % 4),
            live=bool(key % 4),
            suspended_until=now if key % 100 == 1 else None,
        )
        for key in ids
    )
    finished = {"state": "SENT", "finished_at": now, "sent_at": now}
    for n in range(0, DELIVERIES, 10_000):
        Delivery.objects.bulk_create(
            Delivery(
                event_id=events[(m * 7) % EVENTS],
                user_id=devices[m % USERS].user_id,
                device=devices[m % USERS],
                application=application,
                backend="dummy",
                due=now - timedelta(seconds=m % 60),
                expires_at=now + timedelta(days=1),
                **(finished if m % 50 else {"suspended": m % 100 == 0, "batch": m % 150 == 0}),
            )
            for m in range(n, n + 10_000)
        )


class Explained:
    """An execute wrapper of Django's that has each statement explained before it runs."""

    def __init__(self, *, plans: bool) -> None:
        self.uses: dict[str, set[str]] = defaultdict(set)
        self.plans = plans
        self.work = ""
        self._busy = False

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        words = sql.split(None, 1)
        asks = words and words[0] in ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")
        if asks and self.work and not self._busy and not many and "set_config" not in sql:
            self._busy = True
            with contextlib.suppress(Exception), context["connection"].cursor() as cursor:
                self._explain(cursor, sql, params)
            self._busy = False
        return execute(sql, params, many, context)

    def _explain(self, cursor: Any, sql: str, params: Any) -> None:
        from django.db import transaction

        with transaction.atomic():  # a statement that cannot be explained spoils nothing
            cursor.execute("EXPLAIN (FORMAT JSON) " + sql, params)
            [[found]] = cursor.fetchall()
        plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
        for node in nodes(plan):
            for index in (node.get("Index Name"), *node.get("Conflict Arbiter Indexes", ())):
                self.uses[index or ""].add(self.work)
        if self.plans:
            print(f"-- {self.work}: {' '.join(sql.split())[:200]}")
            for node in nodes(plan):
                if "Relation Name" in node or "Index Name" in node:
                    print(
                        "  ", node["Node Type"], node.get("Index Name", node.get("Relation Name"))
                    )

    @contextlib.contextmanager
    def doing(self, work: str) -> Iterator[None]:
        self.work = work
        say(work)
        yield
        self.work = ""


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def inbox_work(ids: list[int]) -> dict[str, Callable[[], Any]]:
    from django.contrib.auth import get_user_model
    from django.utils import timezone

    from benchmarks.fanout import send
    from notifications import EVERYONE, inbox, send_notification, tracing
    from notifications.models import Audience, Event, EventType, Inbox
    from notifications.worker import fan_out_due

    me, users = ids[0], get_user_model().objects
    last = Event.objects.latest("pk")
    stand = inbox.summary(me)
    event = send_notification("post_comment", users=ids[:3])

    def expire() -> None:
        over = timezone.now()
        Event.objects.filter(pk=event.pk).update(expires_at=over)
        Inbox.objects.filter(pk__in=ids[:3]).update(next_expiry=over)
        inbox.sweep_expired(after=over - timedelta(minutes=2))

    def repeat() -> None:
        now = timezone.now()
        Audience.objects.create(event=last, user_ids=ids[:500], due=now - timedelta(hours=1))
        fan_out_due()

    def take_in() -> None:
        send_notification("post_comment", users=EVERYONE)
        inbox.summary(me)

    return {
        "send to one": lambda: send_notification("post_comment", users=[me]),
        "fan-out, a stretch": lambda: send(ids),
        "fan-out, far apart": lambda: send(ids[::10]),
        "fan-out, repeated": repeat,
        "take-in": take_in,
        "list": lambda: inbox.page(me),
        "list, before": lambda: inbox.page(me, before=last.pk - 500),
        "list, of a type": lambda: inbox.page(me, type="post_like"),
        "changes": lambda: inbox.changes(me, epoch=stand.epoch, since=stand.version - 5),
        "one notification": lambda: inbox.get(me, event.pk),
        "mark by ids": lambda: inbox.mark(me, state="read", ids=[event.pk]),
        "mark up to": lambda: inbox.mark(me, state="seen", up_to=stand.version),
        "delete": lambda: inbox.delete(me, ids=[event.pk]),
        "expiry": expire,
        "retention": lambda: inbox.prune(at=timezone.now() + timedelta(days=60)),
        "events by tag": lambda: list(Event.objects.tagged("tag50")),
        "events by template": lambda: list(Event.objects.from_template("template51")),
        "worker, looks": lambda: fan_out_due(limit=1),
        "trace of an event": lambda: tracing.of_event(last, using="default"),
        "admin, events of a rare type": lambda: list(
            Event.objects.filter(type=EventType.objects.first()).order_by("-pk")[:100]
        ),
        "admin, deletes an event": lambda: last.delete(),
        "admin, deletes a user": lambda: users.get(pk=ids[7]).delete(),
    }


def push_work(ids: list[int]) -> dict[str, Callable[[], Any]]:
    from notifications import EVERYONE, send_notification
    from notifications.models import Event
    from routing.push import deliveries, devices, pausing, registration, retention, walks
    from routing.push.models import Application, Delivery, Device

    [application] = Application.objects.all()
    device = Device.objects.active().first()
    assert device is not None
    event = Event.objects.first()
    claimed = {"most": 100, "lease": timedelta(minutes=1), "using": "default"}
    mine = Delivery.objects.filter(user=device.user_id)

    def walk() -> None:
        send_notification("post_like", users=EVERYONE)
        walks.walk_due()

    return {
        "push, planning": lambda: send_notification("post_like", users=ids[10:200]),
        "push, claim": lambda: deliveries.claim(application.pk, **claimed),
        "push, what is due": lambda: deliveries.due_applications(using="default"),
        "push, batch": lambda: list(
            Delivery.objects.due().filter(batch=True).order_by("rank", "due", "pk")[:100]
        ),
        "push, recover": lambda: deliveries.recover(),
        "push, expire": lambda: deliveries.expire(),
        "push, walk": walk,
        "push, one's deliveries": lambda: list(mine.order_by("-pk")[:20]),
        "push, an event's deliveries": lambda: list(Delivery.objects.filter(event=event)),
        "push, pause lifted": lambda: pausing.lift(application, using="default"),
        "push, device ends": lambda: devices.prune(),
        "push, deactivated": lambda: deliveries.skip(
            Delivery.objects.filter(device=device.pk), reason="x"
        ),
        "push, registering": lambda: registration.register(
            device.user, backend="dummy", token=device.token
        ),
        "push, token looked for": lambda: list(
            Device.objects.filter(token_hash=device.token_hash).order_by("pk")
        ),
        "push, application's devices": lambda: Device.objects.filter(
            application=application.pk + 1
        ).count(),
        "push, retention": lambda: retention.prune_deliveries(using="default"),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plans", action="store_true")
    options = parser.parse_args()
    with servers(redis=False) as found:
        start_django(found)
        from django.db import connection

        from notifications import event_types

        event_types.sync()
        ids = fill()
        explained = Explained(plans=options.plans)
        with connection.execute_wrapper(explained):
            for work in (push_work(ids), inbox_work(ids)):
                for name, do in work.items():
                    with explained.doing(name):
                        do()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT relname, indexrelname, pg_relation_size(indexrelid)"
                " FROM pg_stat_user_indexes WHERE relname = ANY(%s) ORDER BY 1, 2",
                [list(TABLES)],
            )
            for table, index, size in cursor.fetchall():
                uses = ", ".join(sorted(explained.uses.get(index, ()))) or "-"
                print(f"{table} | {index} | {size // 1024} kB | {uses}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
