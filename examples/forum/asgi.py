"""The forum's ASGI application: Django over HTTP, the hub's sockets at /ws/notifications."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "forum.settings")

from django.core.asgi import get_asgi_application

http = get_asgi_application()

from routing.live.asgi import hub_application  # noqa: E402 - needs Django set up

application = hub_application(http)
