"""Answers whoever asks if this process is alive, and whether it should be given requests."""

import asyncio
import logging
import threading
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
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


@never_cache
@require_safe
async def numbers(request: HttpRequest) -> JsonResponse:
    """What this process holds at the moment, for whoever looks for leaks: on this machine only."""
    if not (settings.DEBUG or is_local(request)):
        raise PermissionDenied
    here = runtime.current()
    return JsonResponse(
        {
            "sockets": here.registry.count if here else 0,
            "users": len(here.registry.users) if here else 0,
            "subscriptions": here.subscriptions.count if here else 0,
            "tasks": len(asyncio.all_tasks()),
            "threads": threading.active_count(),
            "layer": _layer(),
        }
    )


def is_local(request: HttpRequest) -> bool:
    """Asked from this machine, and not by a proxy on it for somebody else."""
    forwarded = {"HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP"} & request.META.keys()
    return not forwarded and request.META.get("REMOTE_ADDR") in ("127.0.0.1", "::1")


def _layer() -> str:
    """Whether this process hears the others; it has not listened before its first request."""
    # not running(): that would start one here, on a loop that ends with this request
    here = runtime.current()
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
