"""The table and the JSON of a run."""

from typing import Any

from bench.figures import Group, Measure, Row, Series
from bench.rounds import Results

HEADINGS = ("what", "against", "imagefs", "peer", "ratio", "target", "reached")

Figures = tuple[float | None, float | None]
"""Ours and the peer's, where they could be measured."""


def figures(row: Row, results: Results) -> Figures:
    """The medians of a row, and of several on the peer's side their combination."""
    ours = None if results[row.ours].failure or not results[row.ours].values else results[row.ours].median()
    series = [results[measure] for measure in row.peer]
    if not series or any(each.failure or not each.values for each in series):
        return ours, None
    return ours, row.combine([each.median() for each in series])


def as_json(group: Group, row: Row, results: Results) -> dict[str, Any]:
    """A row with all that was measured for it."""
    ours, peer = figures(row, results)
    known = ours is not None and (peer is not None or not row.peer)
    return {
        "group": group.name,
        "what": row.what,
        "against": row.against,
        "unit": row.unit,
        "imagefs": ours,
        "peer": peer,
        "ratio": row.goal.ratio(ours, peer) if known and ours is not None else None,
        "target": row.goal.text,
        "margin": row.goal.margin(ours, peer) if known and ours is not None else None,
        "reached": _verdict(row, results),
        "measured": {measure.name: _series(results[measure]) for measure in (row.ours, *row.peer)},
    }


def _series(series: Series) -> dict[str, Any]:
    return {"values": series.values, "note": series.note or None, "failure": series.failure or None}


def _verdict(row: Row, results: Results) -> str:
    failures = [results[measure].failure for measure in (row.ours, *row.peer) if results[measure].failure]
    if failures:
        return f"failed: {failures[0]}"
    ours, peer = figures(row, results)
    return "" if ours is None else row.goal.verdict(ours, peer)


def table(measured: list[tuple[Group, Results]], rounds: int) -> str:
    """All rows, and below them what is to be known of the figures."""
    lines = [HEADINGS, *(_cells(row, results) for group, results in measured for row in group.rows)]
    # What failed may be long; nothing comes behind it.
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS) - 1)]
    text = []
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        text.append(" | ".join([*cells, line[-1]]).rstrip())
    text.insert(1, "-|-".join("-" * width for width in [*widths, len(HEADINGS[-1])]))
    return "\n".join([*text, *_footnotes(measured, rounds)])


def _cells(row: Row, results: Results) -> tuple[str, ...]:
    ours, peer = figures(row, results)
    ratio = row.goal.ratio(ours, peer) if ours is not None else None
    return (
        row.what,
        row.against,
        _amount(ours, row.unit),
        _amount(peer, row.unit),
        "" if ratio is None else f"{ratio:.2f}",
        row.goal.text,
        _verdict(row, results),
    )


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    if unit == "s":
        return f"{value:.2f} s" if value >= 0.995 else f"{value:.3f} s"
    return f"{value:.1f} {unit}" if unit == "MB" else f"{value:g} {unit}"


def _footnotes(measured: list[tuple[Group, Results]], rounds: int) -> list[str]:
    notes = [f"\nMedians of {rounds} round(s); sizes in 10^6 bytes."]
    for group, results in measured:
        for measure, series in results.items():
            if _capped(measure, rounds) and series.values:
                notes.append(f"{group.name}: {measure.name}: {len(series.values)} time(s) only")
            if series.note:
                notes.append(f"{group.name}: {series.note}")
        for row in group.rows:
            if len(row.peer) > 1:
                parts = [
                    f"{measure.name} {_amount(results[measure].median(), row.unit)}"
                    for measure in row.peer
                    if results[measure].values
                ]
                notes.append(f"{group.name}: {', '.join(parts)}")
    return notes


def _capped(measure: Measure, rounds: int) -> bool:
    return measure.most_rounds is not None and measure.most_rounds < rounds
