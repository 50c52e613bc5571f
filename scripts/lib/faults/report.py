"""What was found, in lines and in a table."""

from collections import Counter, defaultdict

from faults.injecting import Fault
from faults.judging import Run

FAULTS = [fault for fault in Fault if fault is not Fault.NONE]


class Rows:
    """The table in the making: a row for each operation."""

    def __init__(self) -> None:
        self.count = 0
        self.complaints = 0
        self._points: dict[str, Counter[str]] = defaultdict(Counter)
        self._endings: dict[str, Counter[str]] = defaultdict(Counter)
        self._wrong: Counter[str] = Counter()

    def add(self, run: Run) -> None:
        """Count a run."""
        self.count += 1
        self._points[run.operation][run.fault.value] += 1
        self._endings[run.operation][run.verdict.ended] += 1
        self._wrong[run.operation] += bool(run.verdict.complaints)
        self.complaints += bool(run.verdict.complaints)

    def table(self) -> str:
        """The table: points by fault, how the commands ended, in how many runs something was wrong."""
        width = max(map(len, self._points), default=9)
        lines = [f"{'operation':{width}}  " + "".join(f"{fault.value:>10}" for fault in FAULTS) + "  wrong  endings"]
        for operation, points in self._points.items():
            counts = "".join(f"{points[fault.value]:10}" for fault in FAULTS)
            endings = ", ".join(f"{ending} {count}" for ending, count in sorted(self._endings[operation].items()))
            lines.append(f"{operation:{width}}  {counts}  {self._wrong[operation]:5}  {endings}")
        return "\n".join(lines)


def line(run: Run) -> str:
    """One run in a line: what, where, and what is wrong."""
    where = f"{run.operation}: {run.fault.value} at {run.number}, {run.point}: {run.verdict.ended}"
    rubbish = f" [left {', '.join(run.verdict.rubbish)}]" if run.verdict.rubbish else ""
    return f"{where}{rubbish}{''.join(f'; {each}' for each in run.verdict.complaints)}"
