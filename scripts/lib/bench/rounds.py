"""Takes measurements in rounds: each goes through all contestants, so that a slow minute of the machine hits all."""

import sys
import time

from bench.figures import Group, Measure, Noted, Series
from bench.machine import ProgramFailed

Results = dict[Measure, Series]


def measure(group: Group, rounds: int) -> Results:
    """All measurements of a group. One that fails is not tried again, and the others go on."""
    results = {measure: Series([]) for measure in group.measures()}
    for number in range(rounds * group.repeats):
        for each, series in results.items():
            most = each.most_rounds
            if series.failure or (most is not None and number >= most * group.repeats):
                continue
            began = time.perf_counter()
            _take(each, series)
            _say(group, each, series, time.perf_counter() - began)
    return results


def _take(measure: Measure, series: Series) -> None:
    try:
        taken = measure.take()
    # Whatever goes wrong, with a peer or with us, is told in its row and costs no other row.
    except Exception as error:
        series.failure = str(error) if isinstance(error, ProgramFailed) else f"{type(error).__name__}: {error}"
        return
    if isinstance(taken, Noted):
        series.values.append(taken.value)
        series.note = taken.note
    else:
        series.values.append(taken)


def _say(group: Group, measure: Measure, series: Series, whole: float) -> None:
    result = series.failure or f"{series.values[-1]:.4g}"
    print(f"{group.name}: {measure.name}: {result}  [{whole:.1f} s with what it needs]", file=sys.stderr, flush=True)
