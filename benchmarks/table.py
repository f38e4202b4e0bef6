"""The lines that the benchmarks report, as a table: ours against its peer, floor, aim, verdict."""

from collections.abc import Sequence
from typing import Any

HEAD = ("figure", "peer", "ours", "peer's", "unit", "ratio", "floor", "aim", "")
AIM, FLOOR, BROKEN = "aim reached", "floor held", "NOT HELD"
NUMBERS = frozenset({2, 3, 5, 6, 7})  # columns that stand to the right


def verdict(line: dict[str, Any]) -> str:
    """What became of a figure; empty where it has neither floor nor aim."""
    if "why" in line:
        return f"not taken: {line['why']}"
    if line["aim"] is not None and line["ratio"] >= line["aim"]:
        return AIM
    if line["floor"] is None:
        return ""
    return FLOOR if line["ratio"] >= line["floor"] else BROKEN


def held(lines: Sequence[dict[str, Any]]) -> bool:
    """Whether no figure that was taken is below its floor."""
    return all(row[-1] != BROKEN for row in rows(lines))


def rows(lines: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """What of these lines is a figure, or should be one; the others are curves."""
    return [cells(line) for line in lines if "figure" in line]


def cells(line: dict[str, Any]) -> tuple[str, ...]:
    """The line's columns as `HEAD` names them."""
    if "why" in line:
        return (line["figure"], line["peer_name"], "", "", "", "", "", "", verdict(line))
    return (
        line["figure"],
        line["peer_name"],
        number(line["ours"]),
        number(line["peer"]),
        line["unit"],
        f"{line['ratio']:.2f}",
        "" if line["floor"] is None else f"{line['floor']:.3g}",
        "" if line["aim"] is None else f"{line['aim']:.3g}",
        verdict(line),
    )


def number(value: float) -> str:
    """Three digits that count, and no more: `41,280`, `116`, `5.71`, `0.024`."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def text(lines: Sequence[dict[str, Any]], *, judged: bool = True) -> str:
    """For a terminal. What is not judged has no verdict but that it was not taken."""
    found = [HEAD, *rows(lines)]
    if not judged:
        verdicts = (AIM, FLOOR, BROKEN)
        found = [(*row[:-1], "" if row[-1] in verdicts else row[-1]) for row in found]
    widths = [max(len(row[column]) for row in found) for column in range(len(HEAD))]
    printed = []
    for row in found:
        aligned = [
            cell.rjust(width) if column in NUMBERS else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        printed.append("  ".join(aligned).rstrip())
    return "\n".join(printed)


def versions(lines: Sequence[dict[str, Any]]) -> str:
    found: dict[str, str] = {}
    for line in lines:
        found |= line.get("versions", {})
    return ", ".join(f"{name} {version}" for name, version in sorted(found.items()))
