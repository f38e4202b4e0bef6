"""What becomes of the figures: the table, its verdicts, RESULTS.md and its plots."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import results, table
from benchmarks.__main__ import ended, taken
from benchmarks.results import Part, keep
from benchmarks.stand import curve, figure, limit, not_taken

pytestmark = pytest.mark.embedded  # knows no server: once is enough

VERSIONS = {"Python": "3.11.7", "PostgreSQL": "15.18"}


def line(ratio: float, *, floor: float | None = 2, aim: float | None = 4) -> dict[str, Any]:
    return figure(
        f"a page, {ratio}",
        unit="requests/s",
        ours=[ratio * 100],
        peer=[100],
        peer_name="DRF",
        floor=floor,
        aim=aim,
        versions=VERSIONS,
    )


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        (line(4), "aim reached"),
        (line(3.9), "floor held"),
        (line(1.99), "NOT HELD"),
        (line(3, aim=None), "floor held"),
        (line(3, floor=None, aim=None), ""),
        (limit("p99", unit="ms", ours=9, at_most=10, aim=5, versions={}), "floor held"),
        (limit("p99", unit="ms", ours=5, at_most=10, aim=5, versions={}), "aim reached"),
        (limit("p99", unit="ms", ours=11, at_most=10, aim=5, versions={}), "NOT HELD"),
        (limit("writes", unit="rows", ours=0, at_most=10, versions={}), "floor held"),
        (not_taken("nchan", why="there is no nginx"), "not taken: there is no nginx"),
    ],
)
def test_a_figure_is_judged_by_its_floor_and_its_aim(one: dict[str, Any], verdict: str) -> None:
    [row] = table.rows([one])
    assert row[-1] == verdict
    assert table.held([line(4), one]) is (verdict != "NOT HELD")


def test_the_table_has_a_line_for_each_figure_and_none_for_curves() -> None:
    lines = [line(3), not_taken("nchan", peer_name="C", why="there is no nginx"), a_curve("ours")]
    head, first, second = table.text(lines).splitlines()
    assert head.split() == [*("figure", "peer", "ours", "peer's", "unit", "ratio", "floor", "aim")]
    assert first.split() == [
        *("a", "page,", "3", "DRF", "300", "100", "requests/s", "3.00", "2", "4", "floor", "held")
    ]
    assert second.split() == ["nchan", "C", "not", "taken:", "there", "is", "no", "nginx"]
    assert table.versions(lines) == "PostgreSQL 15.18, Python 3.11.7"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(41279.6, "41,280"), (116, "116"), (115.5, "116"), (5.714, "5.71"), (0.0241, "0.0241")],
)
def test_numbers_have_the_digits_that_count(value: float, shown: str) -> None:
    assert table.number(value) == shown


def a_curve(series: str, *, dashed: bool = False) -> dict[str, Any]:
    return curve(
        "latency",
        title="Latency of a page",
        x="requests/s",
        y="milliseconds",
        series=series,
        points=[(20, 3.1), (40, 4.2)],
        log="y",
        band=(1, 2, "what we aim at"),
        dashed=dashed,
    )


def part(*lines: dict[str, Any]) -> Part:
    return Part(list(lines), at="2026-11-23 09:00", seconds=61, commit="abc1234")


def test_a_whole_run_is_written_with_its_plots(tmp_path: Path) -> None:
    said = keep(
        {
            "inbox": part(line(3), a_curve("ours, p99"), a_curve("DRF, p99", dashed=True)),
            "live": part(not_taken("nchan", why="there is no nginx")),
        },
        whole=True,
        folder=tmp_path,
    )
    assert said == f"written: {tmp_path / 'RESULTS.md'}"
    page = (tmp_path / "RESULTS.md").read_text()
    assert "| [inbox](#inbox) | a page, 3 | DRF | 300 | 100 | requests/s | 3.00 | 2 | 4 |" in page
    assert "not taken: there is no nginx" in page
    assert "Versions: PostgreSQL 15.18, Python 3.11.7." in page
    assert "Taken 2026-11-23 09:00 UTC at abc1234, in 61 s." in page
    # how it was taken, in the file's own words, without its command
    assert "### inbox\n\nThe inbox over REST" in page
    assert "python -m benchmarks.inbox" not in page
    [(words, plot)] = re.findall(r"!\[(.+)\]\((.+)\)", page)
    assert "ours, p99; DRF, p99" in words
    texts = set(re.findall(r"<text[^>]*>([^<]+)</text>", (tmp_path / plot).read_text()))
    assert {"Latency of a page", "requests/s", "milliseconds", "DRF, p99"} <= texts
    assert "what we aim at" in texts


def test_the_same_figures_make_the_same_files(tmp_path: Path) -> None:
    found = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        keep({"inbox": part(line(3), a_curve("ours"))}, whole=True, folder=folder)
        found.append({path.name: path.read_bytes() for path in folder.rglob("*.*")})
    assert found[0] == found[1]
    assert set(found[0]) == {"RESULTS.md", "results.json", "latency.svg"}


def test_a_run_of_one_file_replaces_its_part(tmp_path: Path) -> None:
    keep({"inbox": part(line(3))}, whole=False, folder=tmp_path)  # begins the page
    keep({"live": part(line(5))}, whole=False, folder=tmp_path)
    keep({"live": part(line(6))}, whole=False, folder=tmp_path)
    page = (tmp_path / "RESULTS.md").read_text()
    assert "a page, 3" in page and "a page, 6" in page and "a page, 5" not in page


def test_figures_of_two_machines_do_not_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep({"inbox": part(line(3), a_curve("ours"))}, whole=True, folder=tmp_path)
    before = (tmp_path / "RESULTS.md").read_text()
    monkeypatch.setattr(results, "machine", lambda: "64 cores of something else")
    said = keep({"inbox": part(line(5))}, whole=False, folder=tmp_path)
    assert said == "RESULTS.md is left alone: its figures are another machine's"
    assert (tmp_path / "RESULTS.md").read_text() == before
    # a whole run there starts anew, plots included
    keep({"live": part(line(5))}, whole=True, folder=tmp_path)
    page = (tmp_path / "RESULTS.md").read_text()
    assert "64 cores" in page and "a page, 3" not in page
    assert not list((tmp_path / "plots").iterdir())


def test_a_benchmark_that_breaks_or_hangs_is_no_figure() -> None:
    assert taken("nothing_of_this_name", small=True, full=False) is None
    hanging = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert ended(hanging, None, 0.1) == 1
