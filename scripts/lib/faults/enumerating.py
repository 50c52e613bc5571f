"""Every point of every operation, with every fault: until a run comes to no further point."""

import random
import re
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path

from faults import running
from faults.injecting import Fault, Injector
from faults.judging import Judge, Run, Verdict
from faults.operations import Operation, Stores
from faults.powerloss import Replay

FAULTS = tuple(fault for fault in Fault if fault not in (Fault.NONE, Fault.POWER))
"""Those that happen at a point."""

_AT_ONCE = 16

_TURNS = (Fault.KILL, Fault.ENOSPC, Fault.KILL, Fault.EIO, Fault.FULL, Fault.KILL, Fault.EDQUOT, Fault.BROKEN)


class Enumeration:
    """The points of one operation; what it needs is made in `folder`."""

    def __init__(self, stores: Stores, operation: Operation, folder: Path) -> None:
        self.operation = operation
        self._stores, self._folder = stores, folder
        folder.mkdir(parents=True)
        self._judge = Judge(stores, operation, folder)

    def points(self) -> list[str]:
        """The points of a run without a fault, as they came."""
        return self._run(Fault.NONE, 0, self._folder / "counted")[0]

    def at(self, fault: Fault, number: int) -> Run:
        """Let a fault happen at one point, and judge what comes of it."""
        folder = self._folder / f"{fault.value}-{number}"
        # One at a time in a process, but several processes at a time.
        judge = Judge.__new__(Judge)
        judge.__dict__.update(self._judge.__dict__, _folder=folder)
        try:
            folder.mkdir()
            told, verdict = self._run(fault, number, folder / "place", judge)
        finally:
            shutil.rmtree(folder)
        return Run(self.operation.name, fault, number, told[0] if told else None, verdict)

    def _run(self, fault: Fault, number: int, folder: Path, judge: Judge | None = None) -> tuple[list[str], Verdict]:
        place = self._stores.begin(self.operation, folder)
        try:
            outcome = running.run(
                place.store,
                self._stores.arguments(self.operation, place),
                stdin=self._stores.stdin(self.operation),
                watch=(place.folder, lambda tell: Injector(fault, number, tell)),
            )
        except running.Hangs as error:
            return ["?"], Verdict("hangs", [str(error)], [])
        finally:
            if judge is None:
                shutil.rmtree(place.folder)
        told = [each.replace(str(place.folder) + "/", "") for each in outcome.told]
        if judge is None or not told:
            return told, Verdict("not reached", [], [])
        return told, judge.judge(place, outcome, fault)


_current: dict[str, Enumeration] = {}  # what the forked workers find


def at(name: str, fault: Fault, number: int) -> Run:
    """Let a fault happen at one point of an operation."""
    return _current[name].at(fault, number)


def prepare(stores: Stores, operations: Sequence[Operation], folder: Path) -> None:
    """Make what the operations need; before the workers that enumerate them begin."""
    for number, operation in enumerate(operations):
        _current[operation.name] = Enumeration(stores, operation, folder / str(number))


def enumerated(operation: str, executor: Executor, faults: Sequence[Fault] = FAULTS) -> Iterator[Run]:
    """All runs of an operation: each fault at the first point, the second, ... until a batch of runs comes to none."""
    for fault in faults:
        first, reached = 1, True
        while reached:
            numbers = range(first, first + _AT_ONCE)
            runs = list(executor.map(at, *zip(*((operation, fault, number) for number in numbers), strict=True)))
            yield from (run for run in runs if run.point is not None)
            # The order varies with the threads, and with it which run has a point more.
            reached = runs[-1].point is not None
            first += _AT_ONCE


def sampled(operation: str, executor: Executor, faults: Sequence[Fault]) -> Iterator[Run]:
    """One run for each kind of point that an operation has, with one of the faults by turns."""
    kinds: dict[str, list[int]] = {}
    for number, point in enumerate(_current[operation].points(), 1):
        kinds.setdefault(re.sub(r"[0-9a-f]{16,}(\.\d+)?", "*", point), []).append(number)
    chance = random.Random(operation)
    turns = [fault for fault in _TURNS if fault in faults] or faults
    chosen = [
        (operation, turns[(turn + chance.randrange(2)) % len(turns)], chance.choice(numbers))
        for turn, numbers in enumerate(kinds.values())
    ]
    yield from (run for run in executor.map(at, *zip(*chosen, strict=True)) if run.point is not None)


_replays: dict[str, Replay] = {}


def record(stores: Stores, operations: Sequence[Operation], folder: Path) -> None:
    """Record what the operations do to the disk; before the workers that replay them begin."""
    for number, operation in enumerate(operations):
        _replays[operation.name] = Replay(stores, operation, folder / str(number))


def _replayed(operation: str, moment: int, sampled: int) -> list[Run]:
    return list(_replays[operation].at(moment, sampled))


def replayed(operation: str, executor: Executor, *, every: int = 1, sampled: int = 3) -> Iterator[Run]:
    """Let the power go after every so many steps of an operation, and after the last one."""
    *others, last = _replays[operation].moments()
    moments = [*others[::every], last]
    for runs in executor.map(_replayed, *zip(*((operation, each, sampled) for each in moments), strict=True)):
        yield from runs
