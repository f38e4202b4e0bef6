"""However many origins hang, something is left for the next one."""

from collections import Counter

import pytest

from routing.push import slots as module
from routing.push.slots import REMEMBERED, Silence, Turns, room

pytestmark = pytest.mark.embedded  # no database: once is enough


@pytest.mark.parametrize("slots", [1, 2, 3, 20, 100])
def test_each_gets_at_most_half_of_what_the_others_leave(slots: int) -> None:
    flying: Counter[str] = Counter()
    for number in range(slots):
        found = room(slots, flying, set())
        if found.most < 1:
            break
        flying[f"hangs-{number}"] = found.most
    assert flying.total() <= slots
    # the first has its half, and six more had something before nothing was left
    assert max(flying.values()) <= max(slots // 2, 1)
    assert len(flying) >= min(slots, 6)


def test_the_one_that_has_its_share_is_left_out() -> None:
    found = room(100, Counter(hangs=50), set())
    assert (found.most, found.full) == (25, {"hangs"})
    found = room(100, Counter(busy=10), set())
    assert (found.most, found.full) == (40, set())


def test_a_silent_one_gets_a_tenth_until_it_answers() -> None:
    silence = Silence()
    silence.heard("hangs", answered=False)
    found = room(100, Counter(), silence.origins.keys())
    assert "hangs" in found.full
    assert (found.silent, found.silent_most) == ("hangs", 10)
    assert room(100, Counter(hangs=10), silence.origins.keys()).silent_most == 0
    silence.heard("hangs", answered=True)
    assert room(100, Counter(), silence.origins.keys()).full == set()


def test_not_more_silent_ones_are_remembered_than_fit() -> None:
    silence = Silence()
    for number in range(REMEMBERED + 5):
        silence.heard(str(number), answered=False)
    assert len(silence.origins) == REMEMBERED
    assert "0" not in silence.origins


def test_rows_that_are_tried_alone_get_a_tenth_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    turns = Turns()
    assert turns.is_due(1)
    turns.begin(1)
    now[0] += 8  # until nothing else was under way
    turns.begin(1)
    now[0] += 2
    turns.end(1)
    now[0] += 89
    assert not turns.is_due(1)
    assert turns.is_due(2)
    now[0] += 1
    assert turns.is_due(1)
    turns.begin(1)
    turns.end(1)  # there was none
    assert turns.is_due(1)
