"""Workers that die, stop or meet, and providers that hang or fail: at least once, and an end.

Duplicates, possible after a crash, carry the same collapse id.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model

from notifications import send_notification
from routing.push.backends.dummy import read_journal
from routing.push.models import Delivery, Device
from routing.push.registration import register
from tests.processes import HubProcess, Processes
from tests.routing.push import faulty
from tests.waiting import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(180)]

PATIENCE = 60.0  # seconds: leases of 6 s have to run out, on a machine that does other things too


class Provider:
    """What the faulty provider was given, by whichever worker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def taken(self) -> list[dict[str, Any]]:
        path = self.folder / "journal"
        return list(read_journal(str(path))) if path.exists() else []

    @property
    def is_closed(self) -> bool:
        return (self.folder / "closed").exists()

    def goes_down(self) -> None:
        (self.folder / "outage").touch()

    def comes_back(self) -> None:
        (self.folder / "outage").unlink()


@pytest.fixture
def provider(tmp_path: Path, hub: Any, processes: Processes) -> Provider:
    hub(**faulty.hub(str(tmp_path)))
    return Provider(tmp_path)


@pytest.fixture
def start_worker(provider: Provider, processes: Processes) -> Any:
    env = {
        "DJANGO_SETTINGS_MODULE": "tests.routing.push.faulty_settings",
        "HUB_TEST_FOLDER": str(provider.folder),
    }

    def start(*options: str) -> HubProcess:
        return processes.start("worker", *options, env=env)

    return start


@pytest.fixture
def start_server(provider: Provider, processes: Processes) -> Any:
    """A server that is a worker too, as the embedded default is."""
    env = {
        "DJANGO_SETTINGS_MODULE": "tests.routing.push.faulty_settings",
        "HUB_TEST_FOLDER": str(provider.folder),
        "HUB_TEST_WORKER": "on",
    }
    return lambda: processes.serve(env=env)


def phones(make_user: Any, tokens: list[str], **more: Any) -> None:
    """One user each."""
    for number, token in enumerate(tokens):
        user = make_user(f"{token}-{number}")
        register(user, backend="faulty", token=token, **more)


def send_to_all() -> Any:
    return send_notification("post_comment", users=get_user_model().objects.all(), title="Hello")


def unfinished() -> int:
    return Delivery.objects.unfinished().count()


def finished() -> bool:
    return Delivery.objects.exists() and not unfinished()


def assert_each_was_taken(provider: Provider, tokens: list[str]) -> Counter[str]:
    """At least once; and the duplicates say that they are."""
    taken = [entry for entry in provider.taken if entry["outcome"] == "sent"]
    found = Counter(entry["token"] for entry in taken)
    assert set(found) == set(tokens)
    assert len({entry["collapse_id"] for entry in taken}) == 1
    return found


def test_a_worker_that_is_killed_in_mid_batch(
    provider: Provider, start_worker: Any, make_user: Any
) -> None:
    tokens = [f"slow-400-{number}" for number in range(50)]
    phones(make_user, tokens)
    send_to_all()
    first = start_worker()
    wait_for(lambda: len(provider.taken) >= 10, PATIENCE)
    first.kill()
    assert unfinished()
    start_worker()
    wait_for(finished, PATIENCE)
    found = assert_each_was_taken(provider, tokens)
    assert set(Delivery.objects.values_list("state", flat=True)) == {"DEBUG"}
    # what was in hand, and nothing else, may come twice
    assert sum(found.values()) <= len(tokens) + 2 * faulty.FaultyBackend.limits.concurrency


def test_two_workers_share_the_work(provider: Provider, start_worker: Any, make_user: Any) -> None:
    tokens = [f"slow-20-{number}" for number in range(150)]
    phones(make_user, tokens)
    send_to_all()
    for _ in range(2):
        start_worker()
    wait_for(finished, PATIENCE)
    found = assert_each_was_taken(provider, tokens)
    assert set(found.values()) == {1}
    assert set(Delivery.objects.values_list("attempts", flat=True)) == {1}


def test_a_worker_that_is_stopped_beyond_its_lease(
    provider: Provider, start_worker: Any, make_user: Any
) -> None:
    tokens = ["ok-first", *(f"slow-900-{number}" for number in range(12))]
    phones(make_user, tokens)
    send_to_all()
    stopped = start_worker()
    wait_for(lambda: provider.taken, PATIENCE)
    stopped.pause()
    start_worker()
    wait_for(finished, PATIENCE)
    before = set(Delivery.objects.values_list("pk", "state", "attempts", "sent_at"))
    stopped.resume()
    # what it handed over is answered, and it finds that none of it is its own any more
    assert stopped.stop() == 0
    assert "lost=" in stopped.log
    assert set(Delivery.objects.values_list("pk", "state", "attempts", "sent_at")) == before
    assert_each_was_taken(provider, tokens)


def test_a_provider_that_hangs_delays_no_other(
    provider: Provider, start_worker: Any, make_user: Any
) -> None:
    phones(make_user, [f"hang-{number}" for number in range(30)])
    phones(make_user, [f"ok-{number}" for number in range(30)], application="others")
    send_to_all()
    start_worker()
    fine = Delivery.objects.filter(application__name="others", state="DEBUG")
    wait_for(lambda: fine.count() == 30, PATIENCE)
    hung = Delivery.objects.filter(application__name="phones")
    wait_for(lambda: hung.filter(state="ERROR_RETRY").count() == 30, PATIENCE)
    assert set(hung.values_list("may_have_arrived", flat=True)) == {True}


def test_a_provider_that_drops_its_answers(
    provider: Provider, start_worker: Any, make_user: Any
) -> None:
    tokens = [f"lost-2-{number}" for number in range(5)]
    phones(make_user, tokens)
    send_to_all()
    start_worker()
    wait_for(finished, PATIENCE)
    found = assert_each_was_taken(provider, tokens)
    assert set(found.values()) == {3}
    assert set(Delivery.objects.values_list("state", "attempts")) == {("DEBUG", 3)}


def test_a_provider_that_is_down_for_a_while(
    provider: Provider, start_worker: Any, make_user: Any
) -> None:
    tokens = [f"down-{number}" for number in range(10)]
    phones(make_user, tokens)
    provider.goes_down()
    send_to_all()
    start_worker()
    tried = Delivery.objects.filter(state="ERROR_RETRY", attempts__gte=2)
    wait_for(lambda: tried.count() == 10, PATIENCE)
    assert Device.objects.active().count() == 10
    provider.comes_back()
    wait_for(finished, PATIENCE)
    found = assert_each_was_taken(provider, tokens)
    assert set(found.values()) == {1}


def test_a_worker_that_is_asked_to_end_finishes_what_it_has(
    provider: Provider, start_worker: Any, make_user: Any
) -> None:
    tokens = [f"slow-700-{number}" for number in range(60)]
    phones(make_user, tokens)
    send_to_all()
    worker = start_worker()
    wait_for(lambda: Delivery.objects.filter(state="SENDING").exists(), PATIENCE)
    assert worker.stop() == 0
    assert provider.is_closed
    assert not Delivery.objects.filter(state="SENDING").exists()
    assert unfinished()
    start_worker()
    wait_for(finished, PATIENCE)
    assert set(assert_each_was_taken(provider, tokens).values()) == {1}


def test_all_that_is_due_is_done_at_once(
    provider: Provider, start_worker: Any, make_user: Any
) -> None:
    tokens = [f"slow-50-{number}" for number in range(40)]
    phones(make_user, tokens)
    send_to_all()
    assert start_worker("--once").wait() == 0
    assert finished()
    assert provider.is_closed
    assert_each_was_taken(provider, tokens)


def test_direct_pushes_go_the_same_way(
    provider: Provider, start_worker: Any, make_user: Any
) -> None:
    tokens = [f"lost-1-{number}" for number in range(20)]
    phones(make_user, tokens)
    results = Device.objects.all().send_message("Hello", badge=lambda device: device.pk)
    assert results.waiting == 20
    start_worker()
    wait_for(finished, PATIENCE)
    assert set(assert_each_was_taken(provider, tokens).values()) == {2}
    badges = {entry["token"]: entry["said"]["badge"] for entry in provider.taken}
    assert badges == dict(Device.objects.values_list("token", "pk"))


def test_a_command_that_is_killed_while_it_sends(
    provider: Provider, start_worker: Any, processes: Processes, make_user: Any
) -> None:
    tokens = [f"slow-400-{number}" for number in range(50)]
    phones(make_user, tokens)
    env = {
        "DJANGO_SETTINGS_MODULE": "tests.routing.push.faulty_settings",
        "HUB_TEST_FOLDER": str(provider.folder),
    }
    arguments = ("--application", "phones", "--message", "Hello", "--immediately")
    command = processes.start("send_push", *arguments, env=env)
    wait_for(lambda: len(provider.taken) >= 10, PATIENCE)
    command.kill()
    assert unfinished()
    start_worker()
    wait_for(finished, PATIENCE)
    found = assert_each_was_taken(provider, tokens)
    assert sum(found.values()) <= len(tokens) + 2 * faulty.FaultyBackend.limits.concurrency


def test_a_server_that_is_a_worker_too_ends_with_its_clients_closed(
    provider: Provider, start_server: Any, make_user: Any
) -> None:
    tokens = [f"slow-700-{number}" for number in range(60)]
    phones(make_user, tokens)
    send_to_all()
    server = start_server()
    wait_for(lambda: Delivery.objects.filter(state="SENDING").exists(), PATIENCE)
    assert server.stop() == 0
    assert provider.is_closed
    assert not Delivery.objects.filter(state="SENDING").exists()
    start_server()
    wait_for(finished, PATIENCE)
    assert set(assert_each_was_taken(provider, tokens).values()) == {1}


def test_a_server_that_is_killed_with_pushes_in_hand(
    provider: Provider, start_server: Any, make_user: Any
) -> None:
    tokens = [f"slow-400-{number}" for number in range(50)]
    phones(make_user, tokens)
    send_to_all()
    server = start_server()
    wait_for(lambda: len(provider.taken) >= 10, PATIENCE)
    server.kill()
    assert unfinished()
    start_server()
    wait_for(finished, PATIENCE)
    found = assert_each_was_taken(provider, tokens)
    assert sum(found.values()) <= len(tokens) + 2 * faulty.FaultyBackend.limits.concurrency
