"""Draws the curves that benchmarks report (`stand.curve`), one SVG for each plot."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

MARKS = "osD^vPX*"


@dataclass(frozen=True)
class Drawn:
    name: str  # of the file, without .svg
    words: str  # what it shows, for who does not see it


def draw(lines: Sequence[dict[str, Any]], folder: Path) -> list[Drawn]:
    """The plots of these lines, in `folder`, where none of an earlier run stays behind."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    curves: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        if "plot" in line:
            curves.setdefault(line["plot"], []).append(line)
    return [one_plot(name, curves[name], folder) for name in curves]


def one_plot(name: str, curves: list[dict[str, Any]], folder: Path) -> Drawn:
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    first = curves[0]
    # text stays text; nothing random, no date: the same figures make the same file
    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": "hub",
        "font.family": "DejaVu Sans",  # comes with matplotlib, which lays out by it
    }
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(9, 5), layout="constrained")
        axes = figure.subplots()
        for number, curve in enumerate(curves):
            x, y = zip(*curve["points"], strict=True)
            style = "--" if curve["dashed"] else "-"
            axes.plot(x, y, style, marker=MARKS[number % len(MARKS)], label=curve["series"])
        for letter, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
            if letter in first["log"]:
                axes.set(**{f"{letter}scale": "log"})
                axis.set_major_locator(LogLocator(subs=(1, 2, 5) if letter == "y" else (1,)))
                axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        if "y" not in first["log"]:
            axes.set_ylim(bottom=0)
        if first["band"]:
            low, high, meaning = first["band"]
            axes.axhspan(low, high, color="grey", alpha=0.2, linewidth=0, label=meaning)
        axes.set_title(first["title"])
        axes.set_xlabel(first["x"])
        axes.set_ylabel(first["y"])
        axes.grid(which="major", color="#dddddd")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        nothing = {"Date": None, "Creator": None}
        drawn = StringIO()
        figure.savefig(drawn, format="svg", metadata=nothing, facecolor="white")
    # who reads it may not have that font: others of its kind are about as wide
    text = drawn.getvalue().replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
    (folder / f"{name}.svg").write_text(text)
    series = "; ".join(curve["series"] for curve in curves)
    return Drawn(name, f"{first['title']}: {first['y']} over {first['x']}, for {series}")
