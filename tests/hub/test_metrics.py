"""`/metrics`: what all processes count, in one text that Prometheus reads; for those who may."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from django.db import OperationalError, connection, transaction
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from hub import metrics
from hub.checks import check_metrics_token
from notifications import counts, send_notification, tokens
from notifications.counts import flushing, memory
from notifications.counts.models import Process
from notifications.models import Audience
from routing.push import applications, pausing
from routing.push.backends.apns_credentials import Certificate
from routing.push.models import Application
from routing.push.registration import register
from tests.conftest import STACK
from tests.processes import Processes, ServerProcess
from tests.services import RedisServer
from tests.vendors.apns import Authority, new_key, private_pem
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parent.parent.parent
TOKEN = "t0ken-" + "x" * 40
ELSEWHERE = {"REMOTE_ADDR": "203.0.113.7"}
TOLD = 25.0  # seconds until every process has told what it holds


@pytest.fixture(autouse=True)
def nothing_pending(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(flushing, "_flusher", flushing.Flusher())
    memory.take()
    yield
    memory.take()


class Told:
    """A parsed answer: `told("hub_sends_total", result="accepted")`."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}

    def __call__(self, name: str, **labels: str) -> float | None:
        for family in self.families.values():
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return float(sample.value)
        return None

    @property
    def names(self) -> set[str]:
        """Everything an expression may name, also where there is no sample yet."""
        found = set()
        for name, family in self.families.items():
            if family.type == "histogram":
                found |= {f"{name}_{part}" for part in ("bucket", "sum", "count")}
            else:
                found.add(f"{name}_total" if family.type == "counter" else name)
        return found


def asked(client: Client, **how: Any) -> Told:
    answer = client.get("/metrics", **how)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Told(answer.content.decode())


def of(server: ServerProcess) -> Told:
    return Told(httpx.get(f"{server.url}/metrics", timeout=10).text)


def test_a_hub_that_has_done_nothing_tells_all_that_has_no_labels(client: Client) -> None:
    told = asked(client)
    assert told("hub_database_up") == 1
    assert told("hub_notifications_total") == told("hub_sockets") == 0
    assert told("hub_send_seconds_count") == told("hub_send_seconds_bucket", le="+Inf") == 0
    assert told("hub_processes", role="worker") == 0


def test_sends_and_their_durations(client: Client, alice: Any) -> None:
    send_notification("post_like", users=[alice])
    counts.flush()
    told = asked(client)
    assert told("hub_sends_total", result="accepted") == 1
    assert told("hub_send_seconds_count") == told("hub_send_seconds_bucket", le="+Inf") == 1
    assert 0 < (told("hub_send_seconds_sum") or 0) < 10
    buckets = [s for s in told.families["hub_send_seconds"].samples if s.name.endswith("_bucket")]
    values = [sample.value for sample in buckets]
    assert values == sorted(values), "buckets are cumulative"


def test_queues_and_what_needs_a_person(client: Client) -> None:
    late = timezone.now() - timedelta(seconds=90)
    Audience.objects.create(event_id=1, due=late)
    Audience.objects.create(event_id=2, due=late, state=Audience.State.PARKED)
    phones = Application.objects.create(name='the "phones"\n', backend="dummy")
    told = asked(client)
    assert 90 <= (told("hub_audience_age_seconds") or 0) < 100
    assert told("hub_audiences_waiting") == told("hub_audiences_parked") == 1
    assert told("hub_pauses") == told("hub_applications_alerting") == 0
    pausing.pause(phones, origin="", reason="401", using="default")
    told = asked(client)
    assert told("hub_pauses") == told("hub_applications_alerting") == 1


def test_the_oldest_delivery_by_provider_without_paused_ones(client: Client, alice: Any) -> None:
    from routing.push.models import Delivery

    apps = [Application.objects.create(name=name, backend="dummy") for name in ("a", "b")]
    send_notification("post_like", users=[alice])
    for application, age in zip(apps, (500, 70), strict=True):
        Delivery.objects.create(
            event_id=age,
            user=alice,
            application=application,
            backend="dummy",
            rank=Delivery.Rank.LOW,
            due=timezone.now() - timedelta(seconds=age),
            expires_at=timezone.now() + timedelta(hours=1),
        )
    assert 500 <= (asked(client)("hub_delivery_age_seconds", backend="dummy") or 0) < 520
    pausing.pause(apps[0], origin="", reason="401", using="default")
    assert 70 <= (asked(client)("hub_delivery_age_seconds", backend="dummy") or 0) < 90


def test_the_end_of_a_certificate(client: Client) -> None:
    key = new_key()
    phones = Application.objects.create(name="phones", backend="apns")
    certificate = Authority().client(key) + private_pem(key)
    applications.set_credentials(phones, {"certificate": certificate, "topic": "com.example.app"})
    Application.objects.create(name="unreadable", backend="apns", credentials="nonsense")
    ends = asked(client)("hub_credentials_expire_timestamp_seconds", application="phones")
    assert ends == Certificate.read(certificate).expires.timestamp()
    assert len(asked(client).families["hub_credentials_expire_timestamp_seconds"].samples) == 1


def test_labels_are_escaped(client: Client) -> None:
    metrics_of = counts.Gauge(
        "hub_test_escaped",
        'Of "these"\ntests\\',
        read=lambda using: {('a"b\\c\nd',): 1},
        labels=("x",),
    )
    try:
        told = asked(client)
        assert told("hub_test_escaped", x='a"b\\c\nd') == 1
    finally:
        from notifications.counts.metrics import _declared

        del _declared[metrics_of.name]


class TestWhoMayAsk:
    def test_this_machine(self, client: Client) -> None:
        assert client.get("/metrics").status_code == 200
        assert client.head("/metrics").status_code == 200
        assert client.post("/metrics").status_code == 405

    @pytest.mark.parametrize("given", [ELSEWHERE, {"HTTP_X_FORWARDED_FOR": "127.0.0.1"}])
    def test_nobody_else(self, client: Client, given: dict[str, Any]) -> None:
        answer = client.get("/metrics", **given)
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")
        assert b"hub_" not in answer.content

    @pytest.mark.parametrize(
        ("header", "status"),
        [
            (f"Bearer {TOKEN}", 200),
            (f"Bearer {TOKEN}x", 401),
            ("Bearer ", 401),
            (TOKEN, 401),
            ("Bearer \xfc", 401),
        ],
    )
    def test_who_has_the_token(
        self, client: Client, settings: Any, header: str, status: int
    ) -> None:
        settings.METRICS_TOKEN = TOKEN
        answer = client.get("/metrics", headers={"Authorization": header}, **ELSEWHERE)
        assert answer.status_code == status

    def test_a_token_in_the_address_is_none(self, client: Client, settings: Any) -> None:
        settings.METRICS_TOKEN = TOKEN
        assert client.get(f"/metrics?token={TOKEN}", **ELSEWHERE).status_code == 401

    def test_without_a_token_no_token_is_right(self, client: Client, settings: Any) -> None:
        settings.METRICS_TOKEN = ""
        answer = client.get("/metrics", headers={"Authorization": "Bearer "}, **ELSEWHERE)
        assert answer.status_code == 401

    def test_a_short_token_is_warned_of(self, settings: Any) -> None:
        settings.METRICS_TOKEN = TOKEN
        assert check_metrics_token() == []
        settings.METRICS_TOKEN = "short"
        [warning] = check_metrics_token()
        assert warning.id == "hub.W109"
        assert "short" not in warning.msg


def test_a_database_that_is_away_is_told(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(**_: Any) -> None:
        raise OperationalError("connection failed: password=hunter2")

    monkeypatch.setattr(metrics.reading, "totals", away)
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert Told(answer.content.decode())("hub_database_up") == 0
    assert b"hunter2" not in answer.content


def is_together(told: Told, servers: int) -> bool:
    """Two sends: one to ten users of whom one is connected, both to somebody with a phone."""
    return (
        told("hub_sends_total", result="accepted") == 2
        and told("hub_notifications_total") == 11
        and told("hub_live_notifications_total") == 1
        and told("hub_push_outcomes_total", backend="dummy", outcome="sent") == 2
        and told("hub_sockets") == told("hub_connected_users") == 1
        and told("hub_processes", role="server") == servers
    )


@pytest.fixture
def boss(make_user: Any) -> str:
    """The token of somebody who may send to others."""
    return tokens.make(make_user("boss", is_superuser=True))


class TestManyProcesses:
    def test_their_counts_come_together_in_one_answer(
        self, alice: Any, bob: Any, boss: str, make_user: Any, processes: Processes
    ) -> None:
        """Servers (two where there may be), workers, a command; and one that is killed."""
        Application.objects.create(name="phones", backend="dummy", is_default=True)
        register(bob, backend="dummy", token="ok-1", type="android")
        # so many that they are told through the group that every process is in from its start
        names = ["alice", "bob", *(make_user(f"user{n}").username for n in range(8))]
        servers = [processes.serve() for _ in range(2 if STACK == "production" else 1)]
        workers = [processes.start("worker") for _ in range(2)]
        inside = 1 if STACK == "embedded" else 0
        headers = {"Authorization": f"Bearer {tokens.make(alice)}"}
        with connect(servers[0].ws_url, additional_headers=headers, proxy=None):
            wait_for(lambda: of(servers[0])("hub_deaf_servers") == 0, TOLD, every=0.5)
            wait_for(lambda: of(servers[0])("hub_sockets") == 1, TOLD, every=0.5)
            httpx.post(
                f"{servers[0].url}/api/events/",
                json={"type": "post_like", "users": names},
                headers={"Authorization": f"Bearer {boss}"},
            ).raise_for_status()
            processes.run("send_notification", "post_like", "--user", "bob")
            for server in servers:
                wait_for(lambda told=server: is_together(of(told), len(servers)), TOLD, every=0.5)
                told = of(server)
                assert told("hub_processes", role="worker") == 2 + inside
                for name in ("hub_fanout_lag_seconds", "hub_send_seconds"):
                    assert told(f"{name}_count") == 2
                assert told("hub_live_lag_seconds_count") == 1
                assert (told("hub_live_lag_seconds_sum") or 0) < 5
                for name in ("hub_push_request_seconds", "hub_delivery_wait_seconds"):
                    assert told(f"{name}_count", backend="dummy") == 2
        workers[0].kill()
        Process.objects.filter(pid=workers[0].pid).update(
            seen_at=timezone.now() - timedelta(seconds=21)
        )
        assert of(servers[-1])("hub_processes", role="worker") == 1 + inside
        processes.run("send_notification", "post_like", "--user", "bob")
        sent = {"backend": "dummy", "outcome": "sent"}
        wait_for(lambda: of(servers[-1])("hub_push_outcomes_total", **sent) == 3, TOLD, every=0.5)
        assert of(servers[-1])("hub_sends_total", result="accepted") == 3

    @pytest.mark.production
    def test_redis_that_is_away_is_told(
        self, processes: Processes, redis_server: RedisServer
    ) -> None:
        server = processes.serve(env={"REDIS_URL": redis_server.url})
        wait_for(lambda: of(server)("hub_processes", role="server") == 1, TOLD, every=0.5)
        wait_for(lambda: of(server)("hub_deaf_servers") == 0, TOLD, every=0.5)
        redis_server.stop()
        wait_for(lambda: of(server)("hub_deaf_servers") == 1, TOLD, every=0.5)
        redis_server.start()
        wait_for(lambda: of(server)("hub_deaf_servers") == 0, TOLD, every=0.5)

    @pytest.mark.production
    def test_counts_that_cannot_be_written_hold_up_nobody(
        self, alice: Any, boss: str, processes: Processes
    ) -> None:
        server = processes.serve()
        wait_for(lambda: of(server)("hub_processes", role="server") == 1, TOLD, every=0.5)
        headers = {"Authorization": f"Bearer {boss}"}
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE hub_count IN ACCESS EXCLUSIVE MODE")
            for _ in range(3):
                body = {"type": "post_like", "users": ["alice"]}
                sent = httpx.post(f"{server.url}/api/events/", json=body, headers=headers)
                assert sent.status_code == 201
            wait_for(lambda: "counts not flushed" in server.log, TOLD)
        wait_for(lambda: of(server)("hub_sends_total", result="accepted") == 3, TOLD, every=0.5)

    def test_a_server_that_is_killed_keeps_what_it_counted(
        self, alice: Any, boss: str, processes: Processes
    ) -> None:
        server = processes.serve()
        headers = {"Authorization": f"Bearer {boss}"}
        with httpx.Client(base_url=server.url, headers=headers) as api:
            for _ in range(3):
                sent = api.post("/api/events/", json={"type": "post_like", "users": ["alice"]})
                assert sent.status_code == 201
        wait_for(lambda: of(server)("hub_sends_total", result="accepted") == 3, TOLD, every=0.5)
        server.kill()
        server.start()
        assert of(server)("hub_sends_total", result="accepted") == 3
        assert of(server)("hub_notifications_total") == 3


METRIC = re.compile(r"\bhub_[a-z_]+\b")


def expressions_of_the_dashboard() -> list[str]:
    dashboard = json.loads((ROOT / "docs/grafana/hub.json").read_text())
    targets = [target for panel in dashboard["panels"] for target in panel.get("targets", [])]
    return [target["expr"] for target in targets]


def expressions_of_the_alerts() -> list[str]:
    rules = yaml.safe_load((ROOT / "docs/prometheus/alerts.yml").read_text())
    return [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("read", [expressions_of_the_dashboard, expressions_of_the_alerts])
def test_every_metric_of_the_dashboard_and_the_alerts_is_told(client: Client, read: Any) -> None:
    names = asked(client).names
    expressions = read()
    assert len(expressions) >= 8
    for expression in expressions:
        asked_for = set(METRIC.findall(expression))
        assert asked_for, expression
        assert asked_for <= names, expression


def test_every_metric_is_described_for_operators(client: Client) -> None:
    page = (ROOT / "docs/operating.md").read_text()
    described = set(re.findall(r"^\| `(hub_[a-z_]+)`", page, re.M))
    families = asked(client).families.values()
    told = {f"{one.name}_total" if one.type == "counter" else one.name for one in families}
    assert described == {name for name in told if not name.startswith("hub_test_")}
