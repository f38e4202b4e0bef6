"""Sends a Web Push queryset with django-push-notifications; runs in an environment of its own.

    python django_push_notifications.py PORT COUNT PRIVATE_KEY P256DH AUTH

Prints the messages per second.
"""

import sys
import time
import warnings

import django
from django.conf import settings

PORT, COUNT, PRIVATE_KEY, P256DH, AUTH = sys.argv[1:6]

settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "push_notifications"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    PUSH_NOTIFICATIONS_SETTINGS={
        "WP_PRIVATE_KEY": PRIVATE_KEY,
        "WP_CLAIMS": {"sub": "mailto:ops@example.com"},
        # The one way to a plain HTTP peer: endpoints given in full must be https.
        "WP_POST_URL": {"CHROME": f"http://127.0.0.1:{PORT}/push"},
    },
)
django.setup()
warnings.simplefilter("ignore", DeprecationWarning)

from django.core.management import call_command  # noqa: E402
from push_notifications.models import WebPushDevice  # noqa: E402


def main() -> None:
    call_command("migrate", verbosity=0)
    WebPushDevice.objects.bulk_create(
        WebPushDevice(registration_id=f"device-{n}", p256dh=P256DH, auth=AUTH, browser="CHROME")
        for n in range(int(COUNT))
    )
    text = sys.stdin.read()
    WebPushDevice.objects.all()[0].send_message(text)  # imports, and whatever else comes first
    began = time.perf_counter()
    sent = WebPushDevice.objects.all().send_message(text)
    rate = int(COUNT) / (time.perf_counter() - began)
    assert len(sent) == int(COUNT) and all(each.get("success") for each in sent)
    print(rate)


if __name__ == "__main__":
    main()
