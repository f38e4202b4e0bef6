"""The peers' addresses and the hub's under Django's own handler, as a new project has it."""

import os

from django.core.asgi import get_asgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.peers.inbox_settings"
application = get_asgi_application()
