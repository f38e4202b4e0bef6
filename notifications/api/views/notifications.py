"""The inbox over HTTP: list, one notification, marks, summary, changes."""

import hashlib
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.utils.http import parse_etags
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from notifications import inbox
from notifications.api import answers, pagination
from notifications.api.schema import LIMIT, OFFSET, operation, query
from notifications.api.serializers import MAX_IDS, NO_OBJECT, Ids, MarkBody, read, read_time
from notifications.api.views.base import HubView
from notifications.errors import InvalidField

TAG = "notifications"
LIST_STATES = ("unseen", "archived", "all")
ID_LIST = {"type": "array", "items": {"type": "integer"}, "maxItems": MAX_IDS}


class NotificationsView(HubView):
    @operation(
        "notification_list",
        tag=TAG,
        summary="The inbox, newest first",
        answers={200: answers.NotificationPage},
        errors=["unknown_event_type"],
        parameters=[
            LIMIT,
            OFFSET,
            query("read", str, "`true`, `false`, or a time with zone: read then or after."),
            query("state", str, "Left out: neither archived nor expired.", enum=LIST_STATES),
            query("type", str, "The name of an event type."),
            query(
                "before",
                {"type": "integer", "minimum": 1},
                "Only notifications with a lower id; not with `offset`.",
            ),
        ],
    )
    def get(self, request: Request) -> Response:
        part = pagination.window(request)
        before = pagination.query_integer(request, "before", least=1)
        if before is not None and part.offset:
            raise InvalidField.of("offset", "does not go with before")
        page = inbox.page(
            request.user.pk,
            limit=part.limit,
            offset=part.offset,
            before=before,
            read=_read_parameter(request),
            state=_state_parameter(request),
            type=request.query_params.get("type"),
        )
        if before is None:
            links = pagination.links(request, part=part, more=page.more)
        else:
            links = pagination.links_before(
                request, part=part, results=page.results, more=page.more
            )
        return Response(
            {
                "count": page.count,
                **links,
                "results": page.results,
                "epoch": page.epoch,
                "version": page.version,
            }
        )

    @operation(
        "notification_list_read",
        tag=TAG,
        summary="Mark as read",
        body=ID_LIST,
        answers={200: answers.Marked},
    )
    def patch(self, request: Request) -> Response:
        ids = Ids().run_validation(request.data)
        return Response(asdict(inbox.mark(request.user.pk, state="read", ids=ids)))


def _read_parameter(request: Request) -> bool | datetime | None:
    text = request.query_params.get("read")
    if text is None or text in {"true", "false"}:
        return None if text is None else text == "true"
    return read_time("read", text)


def _state_parameter(request: Request) -> str | None:
    state = request.query_params.get("state")
    if state is not None and state not in LIST_STATES:
        raise InvalidField.of("state", f"must be one of {', '.join(LIST_STATES)}")
    return state


class NotificationView(HubView):
    @operation(
        "notification_retrieve",
        tag=TAG,
        summary="One notification, in whatever state",
        answers={200: answers.Notification},
        errors=["not_found"],
    )
    def get(self, request: Request, event_id: int) -> Response:
        return Response(self.found(request, event_id))

    @operation(
        "notification_read",
        tag=TAG,
        summary="Mark one as read; the body is any object and not looked at",
        body={"type": "object"},
        answers={200: answers.Notification},
        errors=["not_found"],
    )
    def patch(self, request: Request, event_id: int) -> Response:
        if not isinstance(request.data, dict):
            raise exceptions.ValidationError(NO_OBJECT)
        inbox.mark(request.user.pk, state="read", ids=[event_id])
        return Response(self.found(request, event_id))

    @operation(
        "notification_delete",
        tag=TAG,
        summary="Delete one",
        answers={204: None},
        errors=["not_found"],
    )
    def delete(self, request: Request, event_id: int) -> Response:
        if not inbox.delete(request.user.pk, ids=[event_id]).changed:
            raise self.missing()
        return Response(status=204)

    def found(self, request: Request, event_id: int) -> dict[str, Any]:
        found = inbox.get(request.user.pk, event_id)
        if found is None:
            raise self.missing()
        return found

    def missing(self) -> exceptions.NotFound:
        return exceptions.NotFound("There is no such notification.")


class MarkView(HubView):
    @operation(
        "notification_mark",
        tag=TAG,
        summary="Set a state, by ids or up to a number; exactly one of the two is given",
        body=MarkBody,
        answers={200: answers.Marked},
        errors=["unknown_event_type"],
    )
    def post(self, request: Request) -> Response:
        return Response(asdict(inbox.mark(request.user.pk, **read(MarkBody, request.data))))


class SummaryView(HubView):
    with_inbox = True

    @operation(
        "notification_summary",
        tag=TAG,
        summary="The counters",
        answers={200: answers.Summary, 304: None},
        parameters=[
            OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER),
            OpenApiParameter("ETag", str, OpenApiParameter.HEADER, response=[200, 304]),
        ],
    )
    def get(self, request: Request) -> Response:
        # Whatever waits is done first, so what the tag says of it is in the version.
        stand = getattr(request.auth, "inbox_stand", None)
        summary = inbox.summary(request.user.pk, stand=stand)
        tag = _summary_tag(request.user.pk, summary)
        headers = {"ETag": tag}
        known = parse_etags(request.META.get("HTTP_IF_NONE_MATCH", ""))
        if "*" in known or tag in {text.removeprefix("W/") for text in known}:
            return Response(status=304, headers=headers)
        return Response(asdict(summary), headers=headers)


def _summary_tag(user_id: Any, summary: inbox.Summary) -> str:
    """Also by the user: two people at one browser are at the same version now and then."""
    text = f"{user_id} {summary.epoch} {summary.version}"
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


class ChangesView(HubView):
    @operation(
        "notification_changes",
        tag=TAG,
        summary="What has changed since a cursor",
        answers={200: answers.CHANGES},
        parameters=[
            query("epoch", str, "The epoch that `since` belongs to."),
            query("since", OpenApiTypes.STR, "A version, or the `cursor` of an unfinished page."),
        ],
    )
    def get(self, request: Request) -> Response:
        found = inbox.changes(
            request.user.pk,
            epoch=request.query_params.get("epoch"),
            since=request.query_params.get("since"),
        )
        if found.reset:
            return Response(
                {
                    "reset": True,
                    "changes": [],
                    "more": False,
                    "retry_after": found.retry_after,
                    "epoch": found.epoch,
                    "version": found.version,
                }
            )
        return Response(
            {
                "epoch": found.epoch,
                "version": found.version,
                "cursor": found.cursor if found.more else None,
                "reset": False,
                "changes": found.changes,
                "more": found.more,
            }
        )
