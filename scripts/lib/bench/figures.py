"""What a row of the table is: two figures of one run, and what their ratio has to reach."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Noted:
    """A measured value with something to tell about it."""

    value: float
    note: str


@dataclass(frozen=True, eq=False)
class Measure:
    """Something to measure, again in each round; a slow one in no more than `most_rounds`."""

    name: str
    take: Callable[[], float | Noted]
    most_rounds: int | None = None


class Goal(Protocol):
    """What a row has to reach."""

    @property
    def text(self) -> str:
        """The goal in words."""

    def ratio(self, ours: float, peer: float | None) -> float | None:
        """The figure that is compared with the goal."""

    def verdict(self, ours: float, peer: float | None) -> str:
        """Whether it is reached: yes, no, or what a goal with two steps says."""

    def margin(self, ours: float, peer: float | None) -> float | None:
        """How far it is reached: 1 is just so, 2 twice as well, 0.5 half."""


@dataclass(frozen=True)
class Faster:
    """The peer takes at least `times` as long as we do."""

    times: float

    @property
    def text(self) -> str:
        return f"{self.times:g} times faster"

    def ratio(self, ours: float, peer: float | None) -> float | None:
        return None if peer is None else peer / ours

    def verdict(self, ours: float, peer: float | None) -> str:
        return _yes(self.margin(ours, peer))

    def margin(self, ours: float, peer: float | None) -> float | None:
        return None if peer is None else peer / ours / self.times


@dataclass(frozen=True)
class Rate(Faster):
    """Our rate is at least `times` the peer's, which does as much work."""

    @property
    def text(self) -> str:
        return f"{self.times:g} of its rate"


@dataclass(frozen=True)
class AtMost:
    """We take at most `times` what the peer takes; `bound` times, where it is given, is still allowed."""

    times: float
    bound: float | None = None

    @property
    def text(self) -> str:
        return f"{self.times:g} of it" + (f", {self.bound:g} at most" if self.bound else " at most")

    def ratio(self, ours: float, peer: float | None) -> float | None:
        return None if peer is None else ours / peer

    def verdict(self, ours: float, peer: float | None) -> str:
        ratio = self.ratio(ours, peer)
        if ratio is not None and self.bound and self.times < ratio <= self.bound:
            return "bound"
        return _yes(self.margin(ours, peer))

    def margin(self, ours: float, peer: float | None) -> float | None:
        return None if peer is None else self.times * peer / ours


@dataclass(frozen=True)
class Limit:
    """We take at most so much, whatever others do."""

    value: float
    unit: str

    @property
    def text(self) -> str:
        return f"{self.value:g} {self.unit} at most" if self.value else "none"

    def ratio(self, ours: float, peer: float | None) -> float | None:
        return None

    def verdict(self, ours: float, peer: float | None) -> str:
        return _yes(self.margin(ours, peer))

    def margin(self, ours: float, peer: float | None) -> float | None:
        if not self.value:
            return 1.0 if not ours else 1 / (1 + ours)
        return self.value / ours


@dataclass(frozen=True)
class Told:
    """No goal: the figures are for who reads them."""

    text: str = ""

    def ratio(self, ours: float, peer: float | None) -> float | None:
        return None if peer is None else peer / ours

    def verdict(self, ours: float, peer: float | None) -> str:
        return ""

    def margin(self, ours: float, peer: float | None) -> float | None:
        return None


@dataclass(frozen=True)
class Row:
    """One line of the table. Of several measurements on the peer's side, `combine` makes one figure."""

    what: str
    ours: Measure
    goal: Goal
    against: str = ""
    peer: tuple[Measure, ...] = ()
    combine: Callable[[Iterable[float]], float] = max
    unit: str = "s"


@dataclass(frozen=True)
class Group:
    """Rows that are measured together: in each round all their measurements once, or `repeats` times, in turn.

    What is `extra` is measured only when it is asked for by name.
    """

    name: str
    rows: tuple[Row, ...]
    repeats: int = 1
    extra: bool = False

    def measures(self) -> list[Measure]:
        """What is to be measured, each once, ours before the peers'."""
        return list(dict.fromkeys(measure for row in self.rows for measure in (row.ours, *row.peer)))


@dataclass
class Series:
    """What came of one measurement in all rounds, with the last note and the failure, if there was one."""

    values: list[float]
    note: str = ""
    failure: str = ""

    def median(self) -> float:
        """The value in the middle."""
        return statistics.median(self.values)


def _yes(margin: float | None) -> str:
    return "yes" if margin is not None and margin >= 1 else "no"
