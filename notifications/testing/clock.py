"""Time moved on without waiting.

The hub asks two clocks what time it is: Python's and the database's. Instead of turning either, the
past is moved back: every time that the hub has stored becomes earlier, so that a retry, a grace
time, an expiry or a lease that would be over in ten minutes is over now. It therefore holds for
every process and thread, and goes with the test's transaction.
"""

from datetime import timedelta
from typing import Any

from django.apps import apps
from django.db import connections, models
from django.db.models import F

from notifications import worker
from notifications.inbox.rows import alias
from notifications.testing import roads
from notifications.testing.settling import settle

LABEL = "hub_notifications"


def move_on(delta: timedelta | None = None, *, using: str | None = None, **parts: float) -> None:
    """Does what is due, lets `delta` pass for the hub, and does what is due then.

    `move_on(minutes=15)` is `move_on(timedelta(minutes=15))`. What is due is what a worker would
    do: fan-out, expiry, retention, and on the roads deliveries, retries and leases. Quiet hours
    move along. Tables of other apps, and what a test holds in its hands, stay as they are: read
    rows again. Raises `ValueError` for a time that would go back.
    """
    passed = (delta or timedelta()) + timedelta(**parts)
    if passed < timedelta():
        raise ValueError("time does not go back")
    work(using=using)
    database = alias(using)
    for label in (LABEL, *roads.labels()):
        for model in apps.get_app_config(label).get_models():
            _shift(model, passed, database)
    roads.moved(passed)
    work(using=using)


def work(*, using: str | None = None) -> None:
    """What workers would do now, until nothing more is due."""
    settle(using=using)
    for duty in worker.duties():
        while duty.do():
            pass
        if duty.close is not None:
            duty.close()
    roads.work()


def _shift(model: type[models.Model], delta: timedelta, using: str) -> None:
    # Times that tell rows apart are no times to wait for; moving them one by one would collide.
    unique = {name for check in model._meta.total_unique_constraints for name in check.fields}
    unique |= {name for names in model._meta.unique_together for name in names}
    columns = [
        field.name
        for field in model._meta.local_concrete_fields
        if isinstance(field, models.DateTimeField) and field.name not in unique and not field.unique
    ]
    if not columns or model._meta.proxy or not model._meta.managed:
        return
    if model._meta.db_table not in connections[using].introspection.table_names():
        return
    earlier: dict[str, Any] = {name: F(name) - delta for name in columns}
    model._base_manager.using(using).update(**earlier)
