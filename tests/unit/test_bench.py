"""The table of the benchmark: when a goal is reached, what of several figures counts, and what a failure costs."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "lib"))

from bench.figures import AtMost, Faster, Group, Limit, Measure, Noted, Rate, Row
from bench.machine import ProgramFailed
from bench.report import as_json, table
from bench.rounds import measure


def taking(name: str, *values: float, most_rounds: int | None = None) -> Measure:
    left = list(values)
    return Measure(name, lambda: left.pop(0), most_rounds)


def row_of(group: Group, rounds: int = 1) -> dict:
    (row,) = group.rows
    return as_json(group, row, measure(group, rounds))


@pytest.mark.parametrize(
    ("goal", "ours", "peer", "ratio", "reached"),
    [
        (Faster(4), 1.0, 4.0, 4.0, "yes"),
        (Faster(4), 1.0, 3.9, 3.9, "no"),
        (Rate(0.6), 5.0, 3.0, 0.6, "yes"),
        (AtMost(1.3), 1.2, 1.0, 1.2, "yes"),
        (AtMost(1.3), 1.4, 1.0, 1.4, "no"),
        (AtMost(1.0, 1.3), 1.25, 1.0, 1.25, "bound"),
        (AtMost(1.0, 1.3), 1.0, 1.0, 1.0, "yes"),
        (AtMost(1.0, 1.3), 1.5, 1.0, 1.5, "no"),
        (Limit(80, "MB"), 80.0, None, None, "yes"),
        (Limit(80, "MB"), 81.0, None, None, "no"),
        (Limit(0, "requests"), 0.0, None, None, "yes"),
        (Limit(0, "requests"), 1.0, None, None, "no"),
    ],
)
def test_goals(goal, ours, peer, ratio, reached):
    assert goal.ratio(ours, peer) == (pytest.approx(ratio) if ratio is not None else None)
    assert goal.verdict(ours, peer) == reached
    assert (goal.margin(ours, peer) >= 1) == (reached == "yes")


@pytest.mark.parametrize(("combine", "peer"), [(max, 3.0), (sum, 5.0)])
def test_several_figures_make_one_after_their_medians(combine, peer):
    parts = (taking("a", 1.0, 2.0, 9.0), taking("b", 3.0, 3.0, 3.0))
    found = row_of(Group("g", (Row("w", taking("o", 1.0, 1.0, 8.0), AtMost(1), "p", parts, combine),)), rounds=3)
    assert (found["imagefs"], found["peer"]) == (1.0, peer)


def test_contestants_take_turns():
    order = []

    def noting(name: str, most_rounds: int | None = None) -> Measure:
        return Measure(name, lambda: order.append(name) or 1.0, most_rounds)

    ours, peer = noting("o"), noting("p")
    slow = noting("slow", most_rounds=1)
    measure(Group("g", (Row("w", ours, AtMost(1), "p", (peer,)), Row("w", ours, AtMost(1), "s", (slow,)))), 2)
    assert order == ["o", "p", "slow", "o", "p"]


def test_a_failure_is_told_in_its_rows_and_costs_no_other():
    def fail() -> float:
        raise ProgramFailed("peer: exit 1: no")

    ours = taking("o", 1.0, 2.0)
    rows = (
        Row("one", ours, Faster(2), "broken", (Measure("broken", fail),)),
        Row("two", ours, Faster(2), "whole", (taking("whole", 4.0, 4.0),)),
    )
    group = Group("g", rows)
    results = measure(group, 2)
    broken, whole = (as_json(group, row, results) for row in rows)
    assert (broken["reached"], broken["ratio"]) == ("failed: peer: exit 1: no", None)
    assert (whole["reached"], whole["ratio"]) == ("yes", pytest.approx(4 / 1.5))
    assert "failed: peer: exit 1: no" in table([(group, results)], 2)


def test_the_table_tells_of_capped_rounds_and_notes():
    peer = Measure("slow", lambda: Noted(3.0, "a note"), most_rounds=1)
    group = Group("g", (Row("w", taking("o", 1.0, 1.0), Faster(2), "slow", (peer,)),))
    shown = table([(group, measure(group, 2))], 2)
    assert "g: slow: 1 time(s) only" in shown
    assert "g: a note" in shown
    assert "w    | slow    | 1.00 s  | 3.00 s | 3.00  | 2 times faster | yes" in shown
