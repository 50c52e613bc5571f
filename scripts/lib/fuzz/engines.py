"""What thinks of inputs: atheris, which follows what the code does with them, or hypothesis where that is missing."""

import random
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from fuzz.choices import Choices
from fuzz.mutation import change_bytes

MAX_SIZE = 16 << 10
"""How many bytes an input has at the most; what an import may make of it is bounded besides."""

MEMORY, SECONDS = 1500, 20
"""How many MiB and seconds one input may take."""

KEPT = Path(__file__).resolve().parents[3] / "tests" / "fuzz" / "corpus"
"""What was found before, by target."""


def has_atheris() -> bool:
    """Whether it is installed."""
    return find_spec("atheris") is not None


def with_atheris(target: str, corpus: Path, *, runs: int | None, seconds: float | None, findings: Path) -> None:
    """Fuzz a target, following its branches; ends the process. What it finds worth keeping it puts into the corpus."""
    import atheris  # type: ignore[import-untyped]  # it says nothing of its types

    with atheris.instrument_imports(include=["imagefs"]):  # before anything else loads them
        from fuzz import targets
    fill(corpus, target)
    findings.mkdir(exist_ok=True)
    arguments = [sys.argv[0], str(corpus), f"-max_len={MAX_SIZE}", f"-rss_limit_mb={MEMORY}", f"-timeout={SECONDS}"]
    arguments += [f"-artifact_prefix={findings}/{target}-", "-print_final_stats=1", "-verbosity=1", "-len_control=0"]
    arguments += [f"-runs={runs}"] if runs is not None else []
    arguments += [f"-max_total_time={round(seconds)}"] if seconds is not None else []
    atheris.Setup(arguments, targets.targets()[target])
    atheris.Fuzz()


def with_hypothesis(target: str, corpus: Path, *, runs: int | None, seconds: float | None, findings: Path) -> int:
    """Fuzz a target with what hypothesis draws, and changes to the corpus; answers how many inputs there were."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    from fuzz import targets

    fill(corpus, target)
    run = targets.targets()[target]
    begun = [path.read_bytes() for path in sorted(corpus.iterdir())]
    end = None if seconds is None else time.monotonic() + seconds
    drawn = st.one_of(
        st.binary(max_size=2048),
        st.tuples(st.sampled_from(begun), st.binary(max_size=64)).map(lambda each: change(*each)),
    )
    count = 0

    def once(data: bytes) -> None:
        nonlocal count
        count += 1
        try:
            run(data)
        except Exception:
            findings.mkdir(exist_ok=True)
            (findings / f"{target}-{count}").write_bytes(data)
            raise

    while (runs is None or count < runs) and (end is None or time.monotonic() < end):
        some = 1000 if runs is None else min(1000, runs - count)
        settings(
            max_examples=some, deadline=None, database=None, phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )(given(drawn)(once))()  # fmt: skip
    return count


def change(data: bytes, how: bytes) -> bytes:
    """An input that is changed as other bytes say."""
    return change_bytes(data, Choices(how))[:MAX_SIZE]


def inputs(target: str, count: int) -> Iterator[bytes]:
    """What a target begins with, and so many changes to it, the same each time."""
    chance = random.Random(target)
    begun = known(target)
    yield from begun
    for _ in range(count):
        yield change(chance.choice(begun), chance.randbytes(chance.choice([2, 8, 60])))


def known(target: str) -> list[bytes]:
    """What a target begins with: its seeds, and what was found before."""
    from fuzz import seeds

    return [*seeds.of(target), *(path.read_bytes() for path in sorted((KEPT / target).glob("*")))]


def fill(corpus: Path, target: str) -> None:
    """Put into a folder what a target begins with."""
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(known(target)):
        (corpus / f"seed-{number}").write_bytes(data)
