"""The hub's ASGI application: Django over HTTP, the live road over WebSocket."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings")

from routing.live.http import http_application

http = http_application()

from routing.live.asgi import hub_application  # noqa: E402 - needs Django set up

application = hub_application(http)
