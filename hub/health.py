"""Answers whoever asks if this process is alive, and whether it should be given requests."""

import logging
from typing import Any

from django.db import DatabaseError, connections, router
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from notifications.models import Audience
from routing.live import runtime

logger = logging.getLogger(__name__)


@never_cache
@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """The process answers; nothing else is looked at, so that no outage gets it restarted."""
    return JsonResponse({"live": True})


@never_cache
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """The database answers and has its tables: 200, else 503.

    The layer and parked audiences are reported and do not count: without them the hub still
    serves, only later.
    """
    reasons, facts = _database()
    body = {"ready": not reasons, "reasons": reasons, "layer": _layer(), **facts}
    return JsonResponse(body, status=503 if reasons else 200)


def _layer() -> str:
    """Whether this process hears the others; it has not listened before its first request."""
    # not running(): that would start one here, on a loop that ends with this request
    here = runtime._running
    if here is None:
        return "unknown"
    return "deaf" if here.listener.deaf else "ok"


def _database() -> tuple[list[str], dict[str, Any]]:
    """What is wrong, and what is known. Sentences of ours only: a driver's may hold a password."""
    using = router.db_for_write(Audience)
    try:
        executor = MigrationExecutor(connections[using])
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if missing:
            return [f"{len(missing)} migrations are not applied"], {}
        return [], {"parked_audiences": Audience.objects.using(using).parked().count()}
    except DatabaseError as error:
        logger.warning("health database=%s error=%s", using, type(error).__name__)
        return ["the database does not answer"], {}
