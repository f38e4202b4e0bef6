"""`notify.send` of django-notifications-hq, in an environment of its own.

    python django_notifications_hq.py DATABASE_URL USERS ROUNDS [CALLS]

Prints a JSON object: users per second of each round of one call to all users, and versions. Such a
call is one transaction, which is the faster way for it: it stores a row at a time. With CALLS also
calls per second of each round of so many calls, to one user each, outside a transaction.
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
    calls = int(sys.argv[4]) if len(sys.argv) > 4 else 0
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
    single = []
    for _ in range(rounds if calls else 0):
        recipients = list(everybody[:calls])
        began = time.perf_counter()
        for user in recipients:
            notify.send(sender, recipient=user, verb="replied", description="Nice picture!")
        single.append(len(recipients) / (time.perf_counter() - began))
    versions = {name: metadata.version(name) for name in ("django-notifications-hq", "django")}
    print(json.dumps({"rates": found, "calls": single, "versions": versions}))


if __name__ == "__main__":
    main()
