"""Applications from settings and from the database: credentials go in and never come out."""

import json
import re
from io import StringIO
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import CommandError, SystemCheckError
from django.test import Client

from routing.push import applications
from routing.push.models import Application, Delivery, Device
from routing.push.vapid import VapidKey
from tests.routing.push.conftest import PHONES, Hand, states
from tests.vendors.backend import everything_logged

pytestmark = pytest.mark.django_db


@pytest.fixture
def keys(hub: Any) -> None:
    hub(CREDENTIAL_KEYS=["a" * 40])


def web(key: VapidKey | None = None) -> dict[str, str]:
    made = key or VapidKey.generate()
    return {"private_key": made.private_text(), "subject": "mailto:hub@example.com"}


def test_settings_have_rows_that_follow_them(hub: Any) -> None:
    hub(APPLICATIONS={**PHONES, "other": {"backend": "dummy"}})
    found = applications.current()
    assert found.default_of("dummy") == found.named("phones")
    assert found.named("other") is not None
    hub(APPLICATIONS={"other": {"backend": "dummy", "default": True}})
    found = applications.current()
    assert found.named("phones") is None
    assert found.default_of("dummy") == found.named("other")
    assert Application.objects.count() == 2


@pytest.mark.parametrize(
    ("wanted", "code", "said"),
    [
        ({"backend": "pigeon"}, "hub.W023", "no backend is called 'pigeon'"),
        ({"backend": "pager"}, "hub.W023", "the backend 'pager'"),
        ({"backend": "webpush", "credentials": {"subject": "x"}}, "hub.W024", "private_key"),
        ({"backend": "apns", "credentials": {"key": "hunter2"}}, "hub.W024", ""),
        ({"backend": "fcm", "credentials": {"service_account": "hunter2"}}, "hub.W024", ""),
        ({"backend": "wns", "credentials": {"pasword": "hunter2"}}, "hub.W024", "package_sid"),
        ({"backend": "onesignal"}, "hub.W024", "app_id"),
    ],
)
def test_credentials_of_settings_are_checked_at_the_start(
    hub: Any, wanted: dict[str, Any], code: str, said: str
) -> None:
    """A warning: that application is paused, and the others go on."""
    hub(BACKENDS={"pager": "no.such.Pager"}, APPLICATIONS={**PHONES, "shop": wanted})
    found = [one for one in run_checks() if one.id in ("hub.W023", "hub.W024")]
    assert found and {one.id for one in found} == {code}
    words = " ".join(one.msg for one in found)
    assert "'shop'" in words and "phones" not in words
    assert said in words and "hunter2" not in words


def test_looking_is_one_query(hub: Any, django_assert_num_queries: Any) -> None:
    hub(APPLICATIONS=PHONES)
    applications.current()
    with django_assert_num_queries(1):
        applications.current()


def test_the_only_application_of_a_backend_is_its_default(hub: Any) -> None:
    hub(APPLICATIONS={"a": {"backend": "dummy"}})
    assert applications.current().default_of("dummy").name == "a"  # type: ignore[union-attr]
    hub(APPLICATIONS={"a": {"backend": "dummy"}, "b": {"backend": "dummy"}})
    assert applications.current().default_of("dummy") is None


def test_the_console_stands_in_only_with_debug_and_only_where_there_is_none(
    hub: Any, settings: Any
) -> None:
    hub(APPLICATIONS=PHONES)
    assert applications.current().default_of("webpush") is None
    settings.DEBUG = True
    stand_in = applications.current().default_of("webpush")
    assert stand_in is not None and stand_in.backend == "console"
    assert applications.current().default_of("dummy").backend == "dummy"  # type: ignore[union-attr]


def test_stored_credentials_are_sealed_and_come_back(keys: None) -> None:
    row = Application.objects.create(name="web", backend="webpush")
    secrets = web()
    applications.set_credentials(row, secrets)
    assert secrets["private_key"] not in row.credentials
    assert applications.credentials_of(row) == secrets
    assert secrets["private_key"] not in repr(row)


def test_wrong_credentials_are_not_stored(keys: None) -> None:
    row = Application.objects.create(name="web", backend="webpush")
    with pytest.raises(applications.InvalidCredentials) as error:
        applications.set_credentials(row, {"private_key": "my-secret-key", "subject": "mailto:a"})
    assert "my-secret-key" not in str(error.value)
    row.refresh_from_db()
    assert row.credentials == ""


def test_other_credentials_are_another_version(keys: None) -> None:
    row = Application.objects.create(name="web", backend="webpush")
    secrets = web()
    applications.set_credentials(row, secrets)
    applications.set_credentials(row, secrets)
    assert row.version == 1
    applications.set_credentials(row, web())
    assert row.version == 2


def test_keys_are_rotated(hub: Any, keys: None) -> None:
    row = Application.objects.create(name="web", backend="webpush")
    secrets = web()
    applications.set_credentials(row, secrets)
    hub(CREDENTIAL_KEYS=["b" * 40, "a" * 40])
    assert applications.rotate_credentials() == (1, [])
    assert applications.rotate_credentials() == (0, [])
    hub(CREDENTIAL_KEYS=["b" * 40])
    row.refresh_from_db()
    assert applications.credentials_of(row) == secrets


def test_a_command_rotates_keys_and_names_what_no_key_reads(hub: Any, keys: None) -> None:
    for number in range(2):
        row = Application.objects.create(name=f"web{number}", backend="webpush")
        applications.set_credentials(row, web())
    foreign = Application.objects.get(name="web0").credentials
    hub(CREDENTIAL_KEYS=["b" * 40, "a" * 40])
    out = StringIO()
    call_command("rotate_credentials", stdout=out)
    assert out.getvalue() == "2 encrypted anew.\n"
    Application.objects.filter(name="web1").update(credentials=foreign)
    hub(CREDENTIAL_KEYS=["c" * 40, "b" * 40])
    with pytest.raises(CommandError, match="not readable with any of the keys: web1"):
        call_command("rotate_credentials", stdout=out)
    assert out.getvalue().endswith("1 encrypted anew.\n")
    hub(CREDENTIAL_KEYS=[])
    with pytest.raises(CommandError, match="CREDENTIAL_KEYS"):
        call_command("rotate_credentials")


@pytest.mark.parametrize(
    "wrong",
    [
        {"": {"backend": "dummy"}},
        {"a": "dummy"},
        {"a": {}},
        {"a": {"backend": "dummy", "credentials": "secret"}},
        {"a": {"backend": "dummy", "default": "yes"}},
        {"a": {"backend": "dummy", "concurrency": 0}},
        {"a": {"backend": "dummy", "pasword": "x"}},
    ],
)
def test_a_wrong_setting_stops_the_start(hub: Any, wrong: Any) -> None:
    hub(APPLICATIONS=wrong)
    with pytest.raises(SystemCheckError):
        call_command("check")
    with pytest.raises(ImproperlyConfigured):
        applications.current()


@pytest.fixture
def browser(settings: Any, make_user: Any) -> Client:
    settings.ROOT_URLCONF = "tests.routing.push.addresses"
    client = Client()
    client.force_login(make_user("boss", is_staff=True, is_superuser=True))
    return client


def test_the_admin_takes_credentials_and_never_shows_them(keys: None, browser: Client) -> None:
    secrets = web()
    made = browser.post(
        "/admin/hub_routing/application/add/",
        {
            "name": "web",
            "backend": "webpush",
            "is_default": "on",
            "active": "on",
            "credentials_": json.dumps(secrets),
        },
    )
    assert made.status_code == 302, made.content
    row = Application.objects.get(name="web")
    assert applications.credentials_of(row) == secrets
    for path in ("", f"{row.pk}/change/", "add/"):
        page = browser.get(f"/admin/hub_routing/application/{path}")
        assert page.status_code == 200
        assert secrets["private_key"] not in page.content.decode()
        assert row.credentials not in page.content.decode()
    kept = browser.post(
        f"/admin/hub_routing/application/{row.pk}/change/",
        {"name": "web2", "backend": "webpush", "active": "on", "credentials_": ""},
    )
    assert kept.status_code == 302
    row.refresh_from_db()
    assert (row.name, applications.credentials_of(row)) == ("web2", secrets)


@pytest.mark.parametrize("wrong", ["not json", "[]", '{"private_key": "my-secret"}', ""])
def test_the_admin_refuses_wrong_credentials_without_quoting_them(
    keys: None, browser: Client, wrong: str
) -> None:
    page = browser.post(
        "/admin/hub_routing/application/add/",
        {"name": "web", "backend": "webpush", "active": "on", "credentials_": wrong},
    )
    assert page.status_code == 200
    assert not Application.objects.filter(name="web").exists()
    errors = str(page.context["errors"])
    assert errors and "my-secret" not in errors


def test_the_admin_finds_a_device_by_its_whole_token_and_shows_none(
    phone_of: Any, browser: Client, alice: Any, bob: Any
) -> None:
    hers = phone_of(alice, "ok-hidden-token")
    phone_of(bob, "ok-other-token")
    list_of_devices = "/admin/hub_routing/device/"
    form = re.search(r'<form id="changelist-search"[^>]*>', browser.get(list_of_devices).text)
    assert form and 'method="post"' in form[0]
    with everything_logged() as lines:
        for search, found in (("ok-hidden-token", 1), ("ok-hidd", 0), ("alice", 1), ("", 2)):
            for page in (
                browser.post(f"{list_of_devices}?p=2", {"search": f" {search} "}, follow=True),
                browser.get(list_of_devices, {"q": search}, follow=True),
            ):
                assert page.context["cl"].result_count == found
                urls = [url for url, _ in page.redirect_chain]
                assert "hidden-token" not in page.content.decode() + str(urls)
    assert "hidden-token" not in "\n".join(lines)
    page = browser.get(f"/admin/hub_routing/device/{hers.pk}/change/")
    assert hers.short_hash in page.content.decode()
    assert "hidden-token" not in page.content.decode()


def test_who_may_not_see_devices_learns_nothing_of_a_token(
    phone_of: Any, browser: Client, make_user: Any, alice: Any
) -> None:
    phone_of(alice, "ok-hidden-token")
    client = Client()
    client.force_login(make_user("clerk", is_staff=True))
    for token in ("ok-hidden-token", "ok-none"):
        page = client.post("/admin/hub_routing/device/", {"search": token})
        assert page.status_code == 403
        assert client.get("/admin/hub_routing/device/", {"q": token}).status_code == 403


def test_the_actions_of_the_admin(
    phone_of: Any, browser: Client, send: Any, hand: Hand, alice: Any, bob: Any
) -> None:
    hers = phone_of(alice, "ok-shared")
    his = phone_of(bob, "ok-shared")

    def act(kind: str, action: str, *rows: Any) -> Any:
        data = {"action": action, "_selected_action": [row.pk for row in rows]}
        answer = browser.post(f"/admin/hub_routing/{kind}/", data, follow=True)
        assert answer.status_code == 200
        return " ".join(str(message) for message in answer.context["messages"])

    assert "1 not" in act("device", "activate", hers)
    send([bob])
    delivery = Delivery.objects.get()
    assert "1 cancelled" in act("delivery", "cancel", delivery)
    assert "1 are due" in act("delivery", "retry", delivery)
    hand.work()
    assert states() == ["DEBUG"]
    assert "1 disabled" in act("device", "deactivate", his)
    assert "1 resumed" in act("application", "resume", Application.objects.get())
    assert browser.get(f"/admin/hub_routing/delivery/{delivery.pk}/change/").status_code == 200
    act("device", "delete_selected", his)
    data = {"action": "delete_selected", "_selected_action": [his.pk], "post": "yes"}
    browser.post("/admin/hub_routing/device/", data)
    assert not Device.objects.filter(pk=his.pk).exists()
