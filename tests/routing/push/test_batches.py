"""Batch mode: direct pushes are stored, and sent by priority and then by age, so many at a time."""

import re
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError, SystemCheckError
from django.utils import timezone

from routing.push import batches
from routing.push.backends.dummy import DummyBackend
from routing.push.models import Delivery, Device, Pause
from routing.push.registration import register
from tests.processes import Processes
from tests.routing.push import faulty
from tests.routing.push.conftest import Hand, only, pushed, states
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

COMMAND = ("send_messages_batch", "--type=push-notification")
LEFT_TO_THE_COMMAND = {"PUSH_BATCH": True, "PUSH_BATCH_EVERY": timedelta(0)}


def run(*arguments: str) -> tuple[str, int]:
    """What it said, and its exit status."""
    out = StringIO()
    try:
        call_command(*(arguments or COMMAND), stdout=out, stderr=out)
    except SystemExit as ended:
        return out.getvalue(), int(ended.code or 0)
    return out.getvalue(), 0


def said() -> list[str]:
    return [entry.said["body"] for entry in DummyBackend.journal]


def test_it_is_only_stored_until_the_command_comes(
    phone_of: Any, hub: Any, hand: Hand, alice: Any
) -> None:
    hub(**LEFT_TO_THE_COMMAND)
    [result] = phone_of(alice).send_message("Hello")
    hand.work()
    assert (pushed(), states(), result.is_waiting) == ([], ["WAITING"], True)
    assert run() == (f"sent messages: 1 ({result.delivery_id})\nfailed messages: 0\n", 0)
    assert (said(), states()) == (["Hello"], ["DEBUG"])
    assert run() == ("sent messages: 0\nfailed messages: 0\n", 0)


def test_what_is_for_an_inbox_waits_for_no_batch(
    phone_of: Any, hub: Any, hand: Hand, send: Any, alice: Any
) -> None:
    hub(**LEFT_TO_THE_COMMAND)
    phone_of(alice)
    send(alice)
    hand.work()
    assert states() == ["DEBUG"]


def test_send_immediately_waits_for_none_either(phone_of: Any, hub: Any, alice: Any) -> None:
    hub(**LEFT_TO_THE_COMMAND)
    [result] = phone_of(alice).send_message("Hello", send_immediately=True)
    assert (result.state, said()) == ("DEBUG", ["Hello"])


def test_priority_goes_before_age_and_age_before_the_rest(
    phone_of: Any, hub: Any, alice: Any
) -> None:
    hub(**LEFT_TO_THE_COMMAND, PUSH_BATCH_SIZE=2)
    phone = phone_of(alice)
    for text, priority in (("a", "low"), ("b", "normal"), ("c", "high"), ("d", "normal")):
        phone.send_message(text, priority=priority)
    for wanted in (["c", "b"], ["d", "a"], []):
        DummyBackend.journal.clear()
        run()
        assert said() == wanted


def test_the_size_can_be_given(phone_of: Any, hub: Any, alice: Any) -> None:
    hub(**LEFT_TO_THE_COMMAND)
    phone = phone_of(alice)
    for number in range(25):
        phone.send_message(str(number))
    assert run()[0].startswith("sent messages: 20 (")
    assert run(*COMMAND, "--size", "3")[0].startswith("sent messages: 3 (")
    assert states(state="WAITING") == ["WAITING"] * 2


def test_more_than_fit_into_the_slots_go_one_after_the_other(
    phone_of: Any, hub: Any, make_user: Any
) -> None:
    application = {"backend": "dummy", "default": True, "concurrency": 4}
    for number in range(15):
        phone_of(make_user(f"u{number}"), f"slow-20-{number}")
    hub(**LEFT_TO_THE_COMMAND, APPLICATIONS={"phones": application})
    Device.objects.all().send_message("Hello")
    assert run(*COMMAND, "--size", "10")[0].startswith("sent messages: 10 (")


def test_failures_are_counted_as_failures(
    phone_of: Any, hub: Any, hand: Hand, make_user: Any
) -> None:
    hub(**LEFT_TO_THE_COMMAND)
    tokens = ["ok-1", "reject-1", "flap-1-1", "ok-2", "ok-old"]
    for number, token in enumerate(tokens):
        phone_of(make_user(f"u{number}"), token)
    results = Device.objects.order_by("pk").send_message("Hello")
    fine, refused, later, gone, old = (each.delivery_id for each in results)
    Device.objects.filter(token="ok-2").update(active=False)
    past = timezone.now() - timedelta(seconds=1)
    Delivery.objects.filter(pk=old).update(expires_at=past)
    assert run() == (
        f"sent messages: 1 ({fine})\nfailed messages: 1 ({refused})\n"
        f"to be tried again: 1 ({later})\nskipped: 1 ({gone})\ntoo old: 1\n",
        1,
    )
    assert (only(pk=old).state, only(pk=old).error) == ("EXPIRED", "too old")
    assert only(pk=later).attempts == 1
    Delivery.objects.filter(pk=later).update(due=past)
    hand.work()
    assert only(pk=later).state == "ERROR_RETRY"  # it still waits for a batch
    assert run() == (f"sent messages: 1 ({later})\nfailed messages: 0\n", 0)


def test_it_is_tried_exactly_so_often(phone_of: Any, hub: Any, alice: Any) -> None:
    hub(**LEFT_TO_THE_COMMAND, PUSH_ATTEMPTS=3)
    phone_of(alice, "flap-9-1").send_message("Hello")
    for _ in range(4):
        run()
        Delivery.objects.update(due=timezone.now() - timedelta(seconds=1))
    assert (len(pushed()), only().state, only().error) == (3, "ERROR", "3 attempts: flap")


def test_what_is_paused_takes_no_place_in_a_batch(
    phone_of: Any, hub: Any, alice: Any, bob: Any
) -> None:
    hub(
        **LEFT_TO_THE_COMMAND,
        PUSH_BATCH_SIZE=1,
        APPLICATIONS={"phones": {"backend": "dummy"}, "others": {"backend": "dummy"}},
    )
    hers = phone_of(alice, "ok-1", application="phones")
    his = phone_of(bob, "ok-2", application="others")
    hers.send_message("First")
    his.send_message("Second")
    Pause.objects.create(
        application=hers.application, kind="fault", until=timezone.now() + timedelta(hours=1)
    )
    assert run()[0].startswith("sent messages: 1 (")
    assert pushed() == ["ok-2"]


def test_what_nobody_answered_three_times_is_tried_alone(
    phone_of: Any, hub: Any, alice: Any, bob: Any
) -> None:
    hub(**LEFT_TO_THE_COMMAND)
    phone_of(alice, "ok-1").send_message("Poison")
    Delivery.objects.update(claims=3)
    phone_of(bob, "ok-2").send_message("Hello")
    assert run()[0].startswith("sent messages: 2 (")
    assert said() == ["Hello", "Poison"]


@pytest.mark.parametrize(
    ("changes", "arguments", "error"),
    [
        ({}, COMMAND, "Batch sending is turned off"),
        ({"PUSH_BATCH": True}, (COMMAND[0], "--type=email"), "no messages of type 'email'"),
        ({"PUSH_BATCH": True}, (*COMMAND, "--size", "0"), "at least 1"),
    ],
)  # fmt: skip
def test_what_it_cannot_do(
    phones: None, hub: Any, changes: Any, arguments: Any, error: str
) -> None:
    hub(**changes)
    with pytest.raises(CommandError, match=error):
        run(*arguments)


def test_a_batch_of_nothing_stops_the_start(hub: Any) -> None:
    hub(PUSH_BATCH_SIZE=0)
    with pytest.raises(SystemCheckError, match="PUSH_BATCH_SIZE"):
        call_command("check")


def test_the_worker_sends_batches_by_its_timetable(
    phone_of: Any, hub: Any, hand: Hand, alice: Any, monkeypatch: Any
) -> None:
    now = [1000.0]
    monkeypatch.setattr(batches.time, "monotonic", lambda: now[0])
    table = batches.Timetable()
    hub(PUSH_BATCH=True, PUSH_BATCH_SIZE=3, PUSH_BATCH_EVERY=timedelta(seconds=60))
    assert table.left() == 3
    table.took(2)
    assert table.left() == 1
    table.over()
    now[0] += 59
    assert table.left() == 0
    now[0] += 1
    assert table.left() == 3
    monkeypatch.undo()
    phone = phone_of(alice)
    for number in range(5):
        phone.send_message(str(number))
    hand.work()
    assert (said(), states(state="WAITING")) == (["0", "1", "2"], ["WAITING"] * 2)


def test_what_is_left_when_batch_mode_ends_is_sent_by_the_worker(
    phone_of: Any, hub: Any, hand: Hand, alice: Any
) -> None:
    hub(**LEFT_TO_THE_COMMAND)
    phone_of(alice).send_message("Hello")
    hub(PUSH_BATCH=False)
    hand.work()
    assert states() == ["DEBUG"]


def test_two_commands_at_once_share_the_work(
    tmp_path: Path, hub: Any, processes: Processes, make_user: Any
) -> None:
    hub(**faulty.hub(str(tmp_path)), **LEFT_TO_THE_COMMAND)
    for number in range(60):
        register(make_user(f"u{number}"), backend="faulty", token=f"slow-100-{number}")
    Device.objects.all().send_message("Hello")
    env = {
        "DJANGO_SETTINGS_MODULE": "tests.routing.push.faulty_settings",
        "HUB_TEST_FOLDER": str(tmp_path),
        "HUB_TEST_BATCH": "on",
    }
    both = [processes.start(*COMMAND, "--size", "60", env=env) for _ in range(2)]
    for command in both:
        assert command.wait() == 0, command.log
    sent = [int(re.findall(r"sent messages: (\d+)", command.log)[0]) for command in both]
    assert sum(sent) == 60, [command.log for command in both]
    journal = (tmp_path / "journal").read_text().splitlines()
    assert len(journal) == 60
    wait_for(lambda: Delivery.objects.filter(state="DEBUG").count() == 60)
