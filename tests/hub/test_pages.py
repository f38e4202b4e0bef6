"""A person can log in, look at the inbox page, send themselves something, and log out again."""

import re
from datetime import time
from typing import Any

import pytest
from django.test import Client

from hub.content_security import HEADER
from notifications import filters
from notifications.models import Event, EventType, Notification
from routing.push import quiet_hours

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client: Client, alice: Any) -> Client:
    """A browser in which Alice has logged in."""
    client.force_login(alice)
    return client


def sent_by(page: Client, *, script: bool = False, **form: str) -> Any:
    accept = {"Accept": "application/json"} if script else {"Accept": "text/html,*/*;q=0.8"}
    return page.post("/send/", form, headers=accept)


class TestLogin:
    def test_the_inbox_is_for_people_who_have_logged_in(self, client: Client) -> None:
        answer = client.get("/")
        assert (answer.status_code, answer["Location"]) == (302, "/login/?next=/")

    def test_a_person_logs_in_with_name_and_password(
        self, client: Client, alice: Any, password: str
    ) -> None:
        answer = client.post("/login/", {"username": "alice", "password": password}, follow=True)
        assert answer.redirect_chain == [("/", 302)]
        assert "alice" in answer.content.decode()

    def test_a_wrong_password_is_said_in_words(self, client: Client, alice: Any) -> None:
        answer = client.post("/login/", {"username": "alice", "password": "wrong"})
        assert answer.status_code == 200
        assert "Please enter a correct username and password" in answer.content.decode()

    def test_an_inactive_user_stays_outside(
        self, client: Client, alice: Any, password: str
    ) -> None:
        alice.is_active = False
        alice.save()
        client.post("/login/", {"username": "alice", "password": password})
        assert client.get("/").status_code == 302

    def test_login_leads_to_no_other_site(self, client: Client, alice: Any, password: str) -> None:
        form = {"username": "alice", "password": password, "next": "https://evil.example/"}
        assert client.post("/login/", form)["Location"] == "/"

    def test_login_needs_the_csrf_token(self, alice: Any, password: str) -> None:
        strict = Client(enforce_csrf_checks=True)
        answer = strict.post("/login/", {"username": "alice", "password": password})
        assert answer.status_code == 403


class TestLogout:
    def test_a_link_only_asks(self, page: Client) -> None:
        answer = page.get("/logout/")
        assert answer.status_code == 200
        assert "Log out?" in answer.content.decode()
        assert page.get("/").status_code == 200

    def test_a_form_logs_out(self, page: Client) -> None:
        assert page.post("/logout/")["Location"] == "/login/"
        assert page.get("/").status_code == 302


class TestSend:
    def test_sent_by_the_form_it_is_in_the_inbox(
        self, page: Client, alice: Any, django_capture_on_commit_callbacks: Any
    ) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            answer = sent_by(page, type="post_like", title="Hello", message="one\r\ntwo")
        assert (answer.status_code, answer["Location"]) == (302, "/")
        event = Event.objects.get()
        assert (event.title, event.message, event.author) == ("Hello", "one\ntwo", alice)
        assert Notification.objects.get().user_id == alice.pk

    def test_sent_by_the_script_it_answers_the_id(self, page: Client) -> None:
        answer = sent_by(page, script=True, type="post_like", title="Hello")
        assert answer.status_code == 201
        assert answer.json() == {"id": Event.objects.get().pk}

    def test_a_form_reaches_nobody_else(
        self, page: Client, alice: Any, bob: Any, django_capture_on_commit_callbacks: Any
    ) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            sent_by(page, type="post_like", title="Hello", users=str(bob.pk))
        assert list(Notification.objects.values_list("user_id", flat=True)) == [alice.pk]

    @pytest.mark.parametrize(
        ("field", "value", "code"),
        [
            ("type", "post_coment", "unknown_event_type"),
            ("type", "", "unknown_event_type"),
            ("title", "x" * 201, "invalid"),
            ("title", "a\nb", "invalid"),
            ("message", "nul\x00", "invalid"),
        ],
    )
    def test_what_cannot_be_sent_is_said_in_words(
        self, page: Client, field: str, value: str, code: str
    ) -> None:
        form = {"type": "post_like", "title": "Hello", "message": "", field: value}
        answer = sent_by(page, script=True, **form)
        assert (answer.status_code, answer.json()["code"]) == (400, code)
        assert answer.json()["detail"]
        assert not Event.objects.exists()

    def test_without_the_script_the_page_keeps_what_was_written(self, page: Client) -> None:
        answer = sent_by(page, type="post_like", title="x" * 201, message="<b>kept</b>")
        text = answer.content.decode()
        assert answer.status_code == 400
        assert "&lt;b&gt;kept&lt;/b&gt;" in text
        assert "<b>" not in text

    def test_only_active_event_types_are_offered(self, page: Client) -> None:
        EventType.objects.filter(name="post_like").update(active=False)
        text = page.get("/").content.decode()
        assert "post_comment" in text
        assert "post_like" not in text

    def test_get_sends_nothing(self, page: Client) -> None:
        assert page.get("/send/").status_code == 405

    def test_sending_needs_the_csrf_token(self, alice: Any) -> None:
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(alice)
        assert sent_by(strict, type="post_like").status_code == 403

    def test_whoever_is_not_logged_in_sends_nothing(self, client: Client) -> None:
        assert sent_by(client, type="post_like")["Location"].startswith("/login/")


class TestPreferences:
    def test_they_are_for_people_who_have_logged_in(self, client: Client) -> None:
        assert client.get("/preferences/")["Location"] == "/login/?next=/preferences/"

    def test_what_is_chosen_stands_in_the_page(self, page: Client, alice: Any, bob: Any) -> None:
        filters.set_channels(alice.pk, types={"post_like": {"push": False}})
        filters.set_channels(bob.pk, types={"post_comment": {"live": False}})
        quiet_hours.change(alice.pk, quiet_hours=(time(21, 30), time(6)), time_zone="Asia/Tokyo")
        text = page.get("/preferences/").content.decode()
        assert text.count('role="switch"') == 3 * 3 + 1
        assert len(re.findall(r'data-channel="\w+"[^>]*checked', text)) == 8
        assert 'value="21:30"' in text
        assert 'value="06:00"' in text
        assert 'value="Asia/Tokyo"' in text

    def test_it_costs_the_same_for_many_types(
        self, page: Client, django_assert_max_num_queries: Any
    ) -> None:
        EventType.objects.bulk_create(
            EventType(name=f"type_{number}", title=f"Type {number}") for number in range(50)
        )
        with django_assert_max_num_queries(6):
            assert page.get("/preferences/").status_code == 200

    def test_what_a_type_is_called_is_text(self, page: Client) -> None:
        EventType.objects.create(name="odd", title="<b>odd</b>", description='"><script>')
        text = page.get("/preferences/").content.decode()
        assert "&lt;b&gt;odd&lt;/b&gt;" in text
        assert "<script>" not in text

    def test_nobody_keeps_it(self, page: Client) -> None:
        assert "no-store" in page.get("/preferences/")["Cache-Control"]

    def test_admin_is_offered_to_staff_alone(self, page: Client, alice: Any) -> None:
        assert "/admin/" not in page.get("/preferences/").content.decode()
        alice.is_staff = True
        alice.save()
        assert "/admin/" in page.get("/preferences/").content.decode()


class TestContentSecurity:
    def test_our_pages_load_only_what_is_ours(self, page: Client) -> None:
        assert page.get("/")[HEADER] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
            " connect-src 'self' ws://testserver wss://testserver; manifest-src 'self';"
            " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )

    @pytest.mark.parametrize("path", ["/", "/login/", "/logout/", "/preferences/"])
    def test_our_pages_hold_no_script_or_style_of_their_own(self, page: Client, path: str) -> None:
        text = page.get(path).content.decode()
        assert "<style" not in text
        assert " style=" not in text
        assert "<script>" not in text
        assert " onclick=" not in text

    def test_a_page_may_set_a_policy_of_its_own(self, rf: Any) -> None:
        from django.http import HttpRequest, HttpResponse

        from hub.content_security import ContentSecurityMiddleware

        def view(request: HttpRequest) -> HttpResponse:
            return HttpResponse(headers={HEADER: "default-src 'self'"})

        answer = ContentSecurityMiddleware(view)(rf.get("/"))
        assert answer[HEADER] == "default-src 'self'"  # type: ignore[index]

    def test_admin_has_the_strict_policy_too(self, client: Client) -> None:
        policy = client.get("/admin/login/")[HEADER]
        assert "style-src 'self';" in policy
        assert "script-src 'self';" in policy

    def test_a_wrong_host_gets_no_policy_with_its_name(self, client: Client) -> None:
        answer = client.get("/login/", headers={"Host": "evil.example"})
        assert answer.status_code == 400
        assert "evil" not in answer[HEADER]

    def test_nobody_frames_or_keeps_the_inbox(self, page: Client) -> None:
        answer = page.get("/")
        assert answer["X-Frame-Options"] == "DENY"
        assert answer["Referrer-Policy"] == "same-origin"
        assert "no-store" in answer["Cache-Control"]
