"""docs/migrating.md names nothing of ours that is not there, and leaves out nothing of theirs."""

import ast
import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class
from django.urls import resolve

from notifications.conf import HubSettings
from notifications.event_types import DeclaredType

pytestmark = pytest.mark.embedded  # looks at source files: once is enough

ROOT = Path(__file__).resolve().parent.parent.parent
DOC = (ROOT / "docs/migrating.md").read_text()

#: Every setting of theirs, as their sources have them.
THEIR_SETTINGS = """
    USER_MODEL UPDATE_ON_DUPLICATE_REG_ID UNIQUE_REG_ID CONFIG APPLICATIONS PLATFORM
    APPLICATION_GROUP APPLICATION_SECRET APNS_CERTIFICATE CERTIFICATE APNS_AUTH_KEY_PATH
    APNS_AUTH_KEY_ID APNS_TEAM_ID AUTH_KEY_PATH AUTH_KEY_ID TEAM_ID APNS_TOPIC TOPIC
    APNS_USE_SANDBOX USE_SANDBOX APNS_USE_ALTERNATIVE_PORT USE_ALTERNATIVE_PORT
    ENCRYPTION_ALGORITHM TOKEN_LIFETIME FCM_API_KEY GCM_API_KEY API_KEY FIREBASE_APP FCM_POST_URL
    GCM_POST_URL POST_URL WP_POST_URL WNS_ACCESS_URL FCM_MAX_RECIPIENTS GCM_MAX_RECIPIENTS
    MAX_RECIPIENTS FCM_ERROR_TIMEOUT GCM_ERROR_TIMEOUT WP_ERROR_TIMEOUT ERROR_TIMEOUT
    WNS_PACKAGE_SECURITY_ID WNS_SECRET_KEY PACKAGE_SECURITY_ID SECRET_KEY WP_PRIVATE_KEY
    PRIVATE_KEY WP_CLAIMS CLAIMS
    AUTH_USER_MODEL IOS_NOTIFICATIONS_AUTHENTICATION IOS_NOTIFICATIONS_PERSIST_NOTIFICATIONS
    FCM_DEVICES_API_KEY FCM_DEVICES_BACKEND_CLASS
    EVENTS EVENT_TYPES PAGE_SIZE
    PUSH_NOTIFICATION_SENDER_BACKEND PUSH_NOTIFICATION_BACKENDS
    PUSH_NOTIFICATION_DEFAULT_SENDER_BACKEND_NAME PUSH_NOTIFICATION_BACKEND_ROUTER
    PUSH_NOTIFICATION_TEMPLATE_MODEL PUSH_NOTIFICATION_ONESIGNAL PUSH_NOTIFICATION_BATCH_SENDING
    PUSH_NOTIFICATION_BATCH_SIZE PUSH_NOTIFICATION_BATCH_MAX_NUMBER_OF_SEND_ATTEMPTS
    PUSH_NOTIFICATION_BATCH_MAX_SECONDS_TO_SEND PUSH_NOTIFICATION_RETRY_SENDING
    DEFAULT_MESSAGE_PRIORITY
    PAGINATE_BY USE_JSONFIELD SOFT_DELETE NUM_TO_FETCH CACHE_TIMEOUT
    NOTIFICATIONS_NOTIFICATION_MODEL
""".split()
#: Their commands, signals, and what they import by name.
THEIR_NAMES = """
    push_ios_notification call_feedback_service send_messages_batch
    device_created notify.send fcm_devices.signals.device_updated
    APNSDevice GCMDevice WNSDevice WebPushDevice APNSDeviceViewSet GCMDeviceViewSet
    WNSDeviceViewSet WebPushDeviceViewSet gcm_send_message apns_send_message wns_send_message
    webpush_send_message APNSUnsupportedPriority APNSDataOverflow
    APNService FeedbackService NotificationPayloadSizeExceeded InvalidPassPhrase
    update_or_create_device send_notification_to_user NotificationsFilter login_required_view
    PushNotificationMessage send_template PushNotificationMessageRelatedObject
    PushNotificationTemplate PushNotificationSendingError BackendNotFound
    mark_all_as_read mark_all_as_unread mark_all_as_deleted mark_all_as_active unread_count
    unread_list all_count all_list notifications_unread live_notify_badge
""".split()


def ours() -> list[str]:
    """What stands in backticks in the columns of ours, and everywhere outside of tables."""
    found = []
    for line in re.sub(r"^```.*?^```", "", DOC, flags=re.M | re.S).splitlines():
        row = line.startswith("|")
        cells = re.split(r"(?<!\\)\|", line)[2:] if row else [line]
        found += [text for cell in cells for text in re.findall(r"`([^`]+)`", cell)]
    return found


def blocks(language: str) -> list[str]:
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", DOC, flags=re.M | re.S)
    return [text for kind, text in fences if kind == language]


def test_every_path_of_ours_leads_somewhere() -> None:
    paths = {text for text in ours() if re.fullmatch(r"(notifications|routing)(\.\w+)+", text)}
    assert len(paths) > 30
    for path in sorted(paths):
        module, _, name = path.rpartition(".")
        try:
            found: Any = import_module(path)
        except ImportError:
            found = getattr(import_module(module), name, None)
        assert found is not None, path


def test_every_setting_of_ours_is_one() -> None:
    named = set(re.findall(r'HUB\["(\w+)"\]', DOC))
    keys = {key for view in HubSettings.views for key in view.keys()}
    assert len(named) > 8 and named <= keys, named - keys
    for block in blocks("python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "HUB":
                assert isinstance(node.value, ast.Dict)
                assert {key.value for key in node.value.keys} <= keys  # type: ignore[union-attr]
            elif isinstance(node, ast.Assign) and node.targets[0].id == "EVENT_TYPES":  # type: ignore[attr-defined]
                for declared in ast.literal_eval(node.value):
                    DeclaredType(**declared)


def test_every_command_of_ours_is_there_and_takes_these_options() -> None:
    lines = [line for block in blocks("") for line in block.splitlines()]
    lines += [text for text in ours() if text.startswith("manage.py ")]
    assert len(lines) > 25
    commands = get_commands()
    for line in lines:
        _, name, *arguments = shlex.split(line.replace("SYSTEM", "pymess"))
        assert name in commands, line
        if arguments:
            app: Any = commands[name]
            command = load_command_class(app if isinstance(app, str) else app.__module__, name)
            command.create_parser("manage.py", name).parse_args(arguments)


def test_every_address_of_ours_answers_to_its_method() -> None:
    wanted = {tuple(text.split()) for text in ours() if re.fullmatch(r"[A-Z]+ /api/\S+", text)}
    assert len(wanted) > 12
    for method, address in sorted(wanted):
        path = address.replace("{id}", "1")
        view = resolve(path, urlconf="hub.urls").func
        assert hasattr(view.view_class, method.lower()), (method, address)
    for address in {text for text in ours() if text in ("/", "/service-worker.js")}:
        resolve(address, urlconf="hub.urls")


def test_every_option_of_the_command_is_described() -> None:
    command: Any = load_command_class("routing", "import_from")
    parser = command.create_parser("manage.py", "import_from")
    own = {
        option
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--") and option not in command.base_stealth_options
    }
    django = {
        "--help", "--version", "--verbosity", "--settings", "--pythonpath", "--traceback",
        "--no-color", "--force-color", "--skip-checks",
    }  # fmt: skip
    section = DOC.split("## 2. The command")[1].split("## 3.")[0]
    assert own - django == set(re.findall(r"^\| `(--[\w-]+)", section, re.M))


@pytest.mark.parametrize("name", THEIR_SETTINGS)
def test_no_setting_of_theirs_is_left_out(name: str) -> None:
    section = DOC.split("## 9. Settings")[1]
    first = [re.split(r"(?<!\\)\|", line)[1] for line in section.splitlines() if line[:1] == "|"]
    assert any(re.search(rf"`[^`]*\b{name}\b[^`]*`", cell) for cell in first)


@pytest.mark.parametrize("name", THEIR_NAMES)
def test_no_name_of_theirs_is_left_out(name: str) -> None:
    assert re.search(rf"\b{re.escape(name)}\b", DOC)
