"""The picture of a run: how far each row is from what it has to reach."""

from pathlib import Path

# A tool of the benchmark alone: where types are checked it may be missing.
from matplotlib.figure import Figure  # type: ignore[import-not-found, unused-ignore]

from bench.figures import Group
from bench.report import figures
from bench.rounds import Results

_TICKS = {1 / 16: "1/16", 1 / 8: "1/8", 1 / 4: "1/4", 1 / 2: "1/2", 1: "1", 2: "2", 4: "4", 8: "8", 16: "16"}
_LEAST, _MOST = min(_TICKS), max(_TICKS)
"""Where bars end: what is further off says no more."""


def plot(measured: list[tuple[Group, Results]], file: Path) -> None:
    """Draw a bar for each row with a goal: from the goal to the right where it is reached, else to the left."""
    bars = []
    for group, results in measured:
        for row in group.rows:
            ours, peer = figures(row, results)
            margin = None if ours is None else row.goal.margin(ours, peer)
            if margin is not None:
                against = f" / {row.against}" if row.against else ""
                bars.append((f"{row.what}{against}  ({row.goal.text})", min(max(margin, _LEAST), _MOST)))
    figure = Figure(figsize=(14, 1 + 0.3 * len(bars)), layout="constrained")
    axes = figure.subplots()
    names = [name for name, _ in bars]
    widths = [margin - 1 for _, margin in bars]
    colours = ["tab:green" if width >= 0 else "tab:red" for width in widths]
    axes.barh(names, widths, left=1, color=colours)
    axes.set_xscale("log", base=2)
    axes.set_xlim(_LEAST, _MOST)
    axes.set_xticks(list(_TICKS), labels=list(_TICKS.values()))
    axes.axvline(1, color="black")
    axes.invert_yaxis()
    axes.set_xlabel("times the goal: right of 1 it is reached")
    figure.savefig(file)
