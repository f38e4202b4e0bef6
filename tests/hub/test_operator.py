"""The operator's page: for staff who may, with numbers that come from the counts."""

import time
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from hub import operator, status
from hub.content_security import HEADER
from notifications.counts.models import Count, Process
from routing.push.models import Application

pytestmark = pytest.mark.django_db

NUMBERS = "/operator/numbers"


@pytest.fixture
def olga(make_user: Any) -> Any:
    """She looks after the hub, and may do nothing else."""
    user = make_user("olga", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_count"))
    return user


@pytest.fixture
def page(client: Client, olga: Any) -> Client:
    client.force_login(olga)
    return client


def counted(series: str, value: int, *, ago: int = 0, step: int = 60) -> None:
    """In the span of `step` seconds in which it was `ago` seconds ago."""
    at = (int(time.time()) - ago) // step * step
    Count.objects.create(step=step, at=at, series=series, value=value)


def lines(page: Client, plot: str, span: str = "hour") -> dict[str, list[float | None]]:
    numbers = page.get(NUMBERS, {"span": span}).json()
    [found] = [one["lines"] for one in numbers["plots"] if one["id"] == plot]
    return {f"{line['provider']} {line['name']}".strip(): line["values"] for line in found}


class TestWhoMayLook:
    @pytest.mark.parametrize("path", ["/operator/", NUMBERS])
    def test_strangers_log_in_first(self, client: Client, path: str) -> None:
        answer = client.get(path)
        assert (answer.status_code, answer["Location"]) == (302, f"/login/?next={path}")

    @pytest.mark.parametrize("path", ["/operator/", NUMBERS])
    @pytest.mark.parametrize("fields", [{}, {"is_staff": True}])
    def test_others_are_told_that_they_may_not(
        self, client: Client, make_user: Any, path: str, fields: dict[str, bool]
    ) -> None:
        client.force_login(make_user("nosy", **fields))
        assert client.get(path).status_code == 403

    def test_the_permission_alone_makes_nobody_staff(self, client: Client, olga: Any) -> None:
        olga.is_staff = False
        olga.save()
        client.force_login(olga)
        assert client.get("/operator/").status_code == 403

    def test_staff_who_may(self, page: Client) -> None:
        assert page.get("/operator/").status_code == 200
        assert page.get(NUMBERS).status_code == 200
        assert page.post("/operator/").status_code == 405

    def test_only_they_see_the_way_there(self, page: Client, make_user: Any) -> None:
        assert 'href="/operator/"' in page.get("/").content.decode()
        page.force_login(make_user("nosy", is_staff=True))
        assert 'href="/operator/"' not in page.get("/").content.decode()


def test_nothing_on_the_page_is_inline(page: Client) -> None:
    answer = page.get("/operator/")
    text = answer.content.decode()
    assert "script-src 'self';" in answer[HEADER]
    assert "style-src 'self';" in answer[HEADER]
    assert " style=" not in text and "<style" not in text and "<script>" not in text


def test_an_hour_is_sixty_minutes(page: Client) -> None:
    counted("hub_sends_total|accepted", 7)
    counted("hub_sends_total|accepted", 5, ago=3 * 60)
    counted("hub_sends_total|refused", 1, ago=59 * 60)
    counted("hub_sends_total|accepted", 9, ago=61 * 60)
    counted("hub_sends_total|accepted", 1_000, step=600)
    found = lines(page, "sends")
    assert len(found["accepted"]) == 60
    assert found["accepted"][-1] == 7
    assert found["accepted"][-4] == 5
    assert sum(value or 0 for value in found["accepted"]) == 12
    assert found["refused"][0] == 1


def test_a_day_is_ten_minutes_each(page: Client) -> None:
    counted("hub_sends_total|accepted", 7, step=600)
    counted("hub_sends_total|accepted", 5, ago=23 * 3600, step=600)
    counted("hub_sends_total|accepted", 9, ago=25 * 3600, step=600)
    found = lines(page, "sends", "day")["accepted"]
    assert len(found) == 144
    assert found[-1] == 7
    assert sum(value or 0 for value in found) == 12


def test_a_week_adds_counts_up_by_hour_and_keeps_the_highest_of_gauges(page: Client) -> None:
    hour = int(time.time()) // 3600 * 3600 - 3600
    for minutes, count, sockets in ((0, 2, 5_000), (10, 3, 9_000), (50, 4, 1_000)):
        at = hour + minutes * 60
        Count.objects.create(step=600, at=at, series="hub_sends_total|accepted", value=count)
        Count.objects.create(step=600, at=at, series="hub_sockets", value=sockets)
    assert lines(page, "sends", "week")["accepted"][-2] == 9
    found = lines(page, "live", "week")["sockets"]
    assert len(found) == 168
    assert found[-2] == 9
    assert found[-3] is None, "nobody looked"


def test_deliveries_by_outcome_and_provider(page: Client) -> None:
    counted("hub_push_outcomes_total|apns|sent", 3)
    counted("hub_push_outcomes_total|webpush|sent", 4)
    counted("hub_push_outcomes_total|webpush|gone", 1)
    found = lines(page, "deliveries")
    assert {name: values[-1] for name, values in found.items()} == {
        "apns sent": 3,
        "webpush sent": 4,
        "webpush gone": 1,
    }


def test_gauges_end_with_what_is_now(page: Client) -> None:
    from django.utils import timezone

    Process.objects.create(
        id="a",
        host="here",
        pid=1,
        roles="server",
        started_at=timezone.now(),
        seen_at=timezone.now(),
        gauges={"hub_sockets": 12, "hub_connected_users": 7},
    )
    counted("hub_sockets", 30_000, ago=120)
    assert lines(page, "live")["sockets"][-3:] == [30, None, 12]
    now = {fact["id"]: fact for fact in page.get(NUMBERS).json()["now"]}
    assert (now["sockets"]["text"], now["users"]["text"]) == ("12", "7")
    assert now["workers"]["state"] == "wrong", "nobody works"


def test_a_hub_that_has_done_nothing_has_its_lines(page: Client) -> None:
    assert set(lines(page, "sends")) == {"accepted"}
    assert set(lines(page, "notifications")) == {"stored", "shown live"}
    assert set(lines(page, "live")) == {"sockets", "users"}
    assert lines(page, "deliveries") == {}


def test_an_unknown_span_is_an_hour(page: Client) -> None:
    assert page.get(NUMBERS, {"span": "century"}).json()["span"] == "hour"
    assert page.get("/operator/", {"span": "century"}).status_code == 200


def test_what_another_version_counted_is_left_out(page: Client) -> None:
    counted("hub_of_tomorrow_total|x", 1)
    Count.objects.create(step=0, at=0, series="hub_of_tomorrow_total|x", value=1)
    assert page.get(NUMBERS).status_code == 200
    assert page.get("/metrics").status_code == 200


@pytest.mark.parametrize("span", list(operator.SPANS))
def test_it_costs_the_same_however_much_was_counted(
    page: Client, span: str, django_assert_max_num_queries: Any
) -> None:
    for n in range(20):
        counted(f"hub_push_outcomes_total|backend{n}|sent", 1)
        Application.objects.create(name=f"app{n}", backend="dummy")
    with django_assert_max_num_queries(14):
        page.get(NUMBERS, {"span": span})


NOW = {
    "hub_sockets": 0.0,
    "hub_connected_users": 0.0,
    "hub_reconcile_age_seconds": 2.0,
    "hub_worker_turn_age_seconds": 1.0,
    "hub_deaf_servers": 0.0,
    "hub_audience_age_seconds": 0.0,
    "hub_audiences_parked": 0.0,
    "hub_pauses": 0.0,
    "hub_applications_alerting": 0.0,
}


def states(**changed: float) -> dict[str, str]:
    now: status.Now = [(name, (), changed.get(name, value)) for name, value in NOW.items()]
    now += [("hub_processes", ("server",), 2.0), ("hub_processes", ("worker",), 2.0)]
    if "expiry" in changed:
        ends = time.time() + changed["expiry"] * 86_400
        now.append(("hub_credentials_expire_timestamp_seconds", ("phones",), ends))
    found = status.facts(now, using="default")
    assert all(fact.note for fact in found if fact.state != "fine"), "says what to do"
    return {fact.id: fact.state for fact in found if fact.state != "fine"}


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({}, {}),
        ({"hub_deaf_servers": 1.0}, {"layer": "wrong"}),
        ({"hub_audience_age_seconds": 31.0}, {"audiences": "look"}),
        ({"hub_audience_age_seconds": 301.0}, {"audiences": "wrong"}),
        ({"hub_audiences_parked": 1.0}, {"parked": "look"}),
        ({"hub_pauses": 1.0}, {"pauses": "wrong"}),
        ({"hub_applications_alerting": 1.0}, {"pauses": "look"}),
        ({"hub_worker_turn_age_seconds": 301.0}, {"workers": "look"}),
        ({"hub_reconcile_age_seconds": 31.0}, {"servers": "wrong"}),
        ({"expiry": 40.0}, {}),
        ({"expiry": 20.0}, {"expiry-phones": "look"}),
        ({"expiry": 3.0}, {"expiry-phones": "wrong"}),
        ({"expiry": -3.0}, {"expiry-phones": "wrong"}),
    ],
)
def test_what_somebody_should_look_at(changed: dict[str, float], wrong: dict[str, str]) -> None:
    assert states(**changed) == wrong
