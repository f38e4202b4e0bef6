"""The management commands: what they do, what they print, what they refuse."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from notifications import inbox, send_notification
from notifications.models import Audience, Event, EventType, HubState, Inbox, Notification

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).parent.parent.parent


def run(name: str, *arguments: str) -> str:
    output = io.StringIO()
    call_command(name, *arguments, stdout=output)
    return output.getvalue()


@pytest.fixture
def crowd(django_user_model: Any) -> Callable[[int], list[str]]:
    """Makes that many users and answers their names."""

    def make(number: int) -> list[str]:
        names = [f"user{n}" for n in range(number)]
        django_user_model.objects.bulk_create(django_user_model(username=name) for name in names)
        return names

    return make


def test_it_prints_the_events_id(alice: Any, bob: Any, capsys: Any) -> None:
    text = run(
        "send_notification",
        "post_comment",
        "--user=alice",
        "--user=bob",
        "--title=Hello",
        "--message=one\r\ntwo",
        '--data={"post": 12, "list": [null, 1.5]}',
        "--url=/posts/12/",
        "--tag=post-12",
        "--priority=high",
        "--expires-at=2099-01-01T00:00:00+02:00",
    )
    event = Event.objects.get()
    assert text == f"{event.pk}\n"
    for user in (alice, bob):
        [row] = inbox.page(user.pk).results
        found = row["event"]
        assert found["title"] == "Hello" and found["message"] == "one\ntwo"
        assert found["data"] == {"post": 12, "list": [None, 1.5]}
        assert found["url"] == "/posts/12/" and found["tag"] == "post-12"
        assert found["priority"] == "high" and found["author"] is None
        assert found["expires_at"] == "2098-12-31T22:00:00.000000Z"
    assert capsys.readouterr().err == ""


def test_everyone(alice: Any, bob: Any) -> None:
    run("send_notification", "post_like", "--everyone", "--title=all")
    assert [inbox.summary(user.pk).total for user in (alice, bob)] == [1, 1]


def test_a_repeat_under_a_key_prints_the_same_id(alice: Any) -> None:
    arguments = ("post_like", "--user=alice", "--idempotency-key=k")
    assert run("send_notification", *arguments) == run("send_notification", *arguments)
    assert Event.objects.count() == 1
    with pytest.raises(CommandError, match=r"^idempotency_conflict: "):
        run("send_notification", *arguments, "--title=other")


def test_names_come_from_a_file_one_per_line(alice: Any, bob: Any, tmp_path: Path) -> None:
    file = tmp_path / "names"
    file.write_text("alice\n\n  bob \nalice\n", encoding="utf-8")
    run("send_notification", "post_like", f"--users-file={file}")
    assert Notification.objects.count() == 2


def test_or_from_standard_input_and_beside_named_ones(
    alice: Any, bob: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("bob\n"))
    run("send_notification", "post_like", "--users-file=-", "--user=alice")
    assert Notification.objects.count() == 2


def test_an_empty_file_stores_the_event_and_tells_nobody(tmp_path: Path) -> None:
    file = tmp_path / "names"
    file.touch()
    run("send_notification", "post_like", f"--users-file={file}")
    assert Event.objects.count() == 1 and not Notification.objects.exists()


def test_a_large_audience_is_fanned_out_before_the_command_ends(
    crowd: Callable[[int], list[str]], tmp_path: Path, capsys: Any
) -> None:
    file = tmp_path / "names"
    file.write_text("\n".join(crowd(1_203)), encoding="utf-8")
    text = run("send_notification", "post_like", f"--users-file={file}")
    event = Event.objects.get(pk=int(text))
    assert Notification.objects.filter(event=event).count() == 1_203
    assert not Audience.objects.exists()
    progress = capsys.readouterr().err
    assert "fan-out" in progress and "1203/1203" in progress and "100%" in progress


def test_a_small_audience_shows_no_progress(
    crowd: Callable[[int], list[str]], tmp_path: Path, capsys: Any
) -> None:
    file = tmp_path / "names"
    file.write_text("\n".join(crowd(500)), encoding="utf-8")
    run("send_notification", "post_like", f"--users-file={file}")
    assert Notification.objects.count() == 500
    assert capsys.readouterr().err == ""


def test_what_cannot_be_fanned_out_is_left_to_the_worker(
    crowd: Callable[[int], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from notifications import fanout

    file = tmp_path / "names"
    file.write_text("\n".join(crowd(501)), encoding="utf-8")
    monkeypatch.setattr(fanout, "fan_out", lambda *_, **__: False)
    text = run("send_notification", "post_like", f"--users-file={file}")
    assert Audience.objects.filter(event=int(text)).count() == 2


def test_an_unknown_name_deep_in_a_large_file_stores_nothing(
    crowd: Callable[[int], list[str]], tmp_path: Path
) -> None:
    file = tmp_path / "names"
    file.write_text("\n".join([*crowd(1_100), "nobody"]), encoding="utf-8")
    with pytest.raises(CommandError, match=r"^unknown_user: .*'nobody'"):
        run("send_notification", "post_like", f"--users-file={file}")
    assert not Event.objects.exists() and not Audience.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nothing", "--user=alice"], "unknown_event_type"),
        (["post_like"], "no_audience"),
        (["post_like", "--user=nobody"], "unknown_user"),
        (["post_like", "--user=a\0b"], "unknown_user"),
        (["post_like", "--user=\udcff"], "unknown_user"),
        (["post_like", "--user=alice", "--data={"], "invalid_data"),
        (["post_like", "--user=alice", "--data=NaN"], "invalid_data"),
        (["post_like", "--user=alice", "--data=" + "[" * 100_000], "invalid_data"),
        (["post_like", "--user=alice", "--data=1e999"], "invalid_data"),
        (["post_like", "--user=alice", "--title=" + "x" * 201], "invalid"),
        (["post_like", "--user=alice", "--title=\udcff"], "invalid"),
        (["post_like", "--user=alice", "--url=nonsense"], "invalid"),
        (["post_like", "--user=alice", "--expires-at=tomorrow"], "invalid"),
        (["post_like", "--user=alice", "--expires-at=2099-01-01T00:00:00"], "invalid"),
        (["post_like", "--user=alice", "--expires-at=2099-99-01T00:00:00Z"], "invalid"),
        (["post_like", "--user=alice", "--idempotency-key=" + "k" * 201], "invalid"),
    ],
)
def test_a_mistake_is_named_and_stores_nothing(alice: Any, arguments: list[str], code: str) -> None:
    with pytest.raises(CommandError, match=f"^{code}: "):
        run("send_notification", *arguments)
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["post_like", "--everyone", "--user=alice"],
        ["post_like", "--everyone", "--users-file=-"],
        ["post_like", "--users-file=/no/such/file"],
        ["post_like", "--user=alice", "--priority=urgent"],
        [],
    ],
)
def test_arguments_that_do_not_fit_are_refused(alice: Any, arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        run("send_notification", *arguments)
    assert not Event.objects.exists()


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "names"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(CommandError, match="users-file"):
        run("send_notification", "post_like", f"--users-file={file}")


def test_from_another_process(alice: Any) -> None:
    name = str(connection.settings_dict["NAME"])
    where = {"DATABASE_URL": f"sqlite:///{name}"}
    if connection.vendor == "postgresql":
        given = os.environ["DATABASE_URL"]
        where = {"DATABASE_URL": given.rpartition("/")[0] + "/" + name}
    done = subprocess.run(
        [sys.executable, "manage.py", "send_notification", "post_like", "--user", "alice"],
        cwd=ROOT,
        env={**os.environ, **where},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [row["id"] for row in inbox.page(alice.pk).results] == [int(done.stdout)]


def test_sync_event_types_says_what_it_did(settings: Any) -> None:
    assert run("sync_event_types") == "created: none\nupdated: none\ndeactivated: none\n"
    settings.EVENT_TYPES = [
        {"name": "post_like", "title": "New title"},
        {"name": "news", "title": "News"},
        {"name": "alarm", "title": "Alarm"},
    ]
    assert run("sync_event_types").splitlines() == [
        "created: news, alarm",
        "updated: post_like",
        "deactivated: become_friends_request, post_comment",
    ]
    assert EventType.objects.get(name="post_like").title == "New title"
    assert not EventType.objects.get(name="post_comment").active


def test_sync_event_types_refuses_a_wrong_declaration(settings: Any) -> None:
    before = list(EventType.objects.values())
    settings.EVENT_TYPES = [{"name": "x"}]
    with pytest.raises(CommandError, match="title"):
        call_command("sync_event_types", skip_checks=True)
    assert list(EventType.objects.values()) == before


def test_new_epoch_prints_it_and_what_it_means(alice: Any) -> None:
    before = inbox.summary(alice.pk).epoch
    text = run("new_epoch")
    epoch = HubState.objects.get().epoch
    assert epoch in text and epoch not in before
    assert "reset" in text
    assert inbox.changes(alice.pk, epoch=before, since=0).reset


def test_prune_prints_what_was_done(alice: Any) -> None:
    quiet = run("prune").splitlines()
    assert len(quiet) == 5 and all(line.split()[0] == "0" for line in quiet)
    event = send_notification("post_like", users=alice)
    Event.objects.filter(pk=event.pk).update(timestamp=timezone.now() - timedelta(days=181))
    assert "1 old notifications deleted" in run("prune")
    assert inbox.summary(alice.pk).total == 0
    assert Inbox.objects.get(pk=alice.pk).version == 2


def test_the_data_of_a_command_line_is_json_as_it_stands(alice: Any) -> None:
    for data in ("null", '"text"', "7", "[]", '{"a": {"b": "ü"}}'):
        run("send_notification", "post_like", "--user=alice", f"--data={data}")
        [newest] = inbox.page(alice.pk, limit=1).results
        assert newest["event"]["data"] == json.loads(data)
