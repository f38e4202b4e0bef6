"""`notify.send` of django-notifications-hq to many users, in an environment of its own.

    python django_notifications_hq.py DATABASE_URL USERS ROUNDS

Prints a JSON object: users per second of each round, and versions. Each call is one transaction,
which is the faster way for it: it stores a row at a time.
"""

import json
import sys
import time
from importlib import metadata
from urllib.parse import urlsplit

import django
from django.conf import settings


def main() -> None:
    url, users, rounds = urlsplit(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    settings.configure(
        SECRET_KEY="only-for-benchmarks",
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "notifications",
        ],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": url.path.strip("/"),
                "USER": url.username,
                "HOST": url.hostname,
                "PORT": url.port,
            }
        },
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        USE_TZ=True,
    )
    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import transaction

    from notifications.models import Notification
    from notifications.signals import notify

    call_command("migrate", verbosity=0)
    User.objects.bulk_create([User(username=f"user{number}") for number in range(users)])
    sender = User.objects.create(username="sender")
    everybody = User.objects.exclude(pk=sender.pk)
    found = []
    for _ in range(rounds):
        Notification.objects.all().delete()
        began = time.perf_counter()
        with transaction.atomic():
            notify.send(sender, recipient=everybody, verb="replied", description="Nice picture!")
        found.append(users / (time.perf_counter() - began))
        assert Notification.objects.count() == users
    names = ("django-notifications-hq", "django")
    print(
        json.dumps({"rates": found, "versions": {name: metadata.version(name) for name in names}})
    )


if __name__ == "__main__":
    main()
