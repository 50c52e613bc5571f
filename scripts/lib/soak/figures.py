"""What is measured, and how far it may grow."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20

Run = Callable[..., str]
"""Runs an imagefs command; answers what it printed."""


@dataclass(frozen=True)
class Bound:
    """How far a figure may go: `most` at any time, and beyond what it was in the first third no more than `growth`."""

    title: str
    most: int
    growth: int
    unit: int = 1

    def shown(self, value: int) -> str:
        """The figure as it is printed."""
        return f"{value / self.unit:.1f}" if self.unit > 1 else str(value)


def _of_a_process(name: str) -> dict[str, Bound]:
    return {
        f"{name}.memory": Bound(f"{name} MiB", 512 * MIB, 24 * MIB, MIB),
        f"{name}.open_files": Bound(f"{name} files", 1000, 64),
        f"{name}.threads": Bound(f"{name} threads", 48, 24),
    }


# Both mounts and whatever command runs have a lease each, and what a command that was just running leaves goes with
# the next collection.
BOUNDS: Mapping[str, Bound] = {
    **_of_a_process("all"),
    **_of_a_process("one"),
    "leases": Bound("leases", 8, 6),
    "wal": Bound("WAL MiB", 32 * MIB, 24 * MIB, MIB),
    "blobs": Bound("blobs", 200, 100),
    "layers": Bound("layers", 100, 50),
    "temporary": Bound("tmp", 16, 16),
}

Sample = Mapping[str, int]


def sample(run: Run, store: Path, mounts: Mapping[str, Path]) -> dict[str, int]:
    """Measure once."""
    found = {}
    for name, mountpoint in mounts.items():
        told = json.loads(run("stats", "--json", str(mountpoint)))
        for figure in ("memory", "open_files", "threads"):
            found[f"{name}.{figure}"] = told[figure]
    wal = store / "catalog.sqlite-wal"
    found["leases"] = len(os.listdir(store / "leases"))
    found["wal"] = wal.stat().st_size if wal.exists() else 0
    found["blobs"] = len(os.listdir(store / "blobs/sha256"))
    found["layers"] = len(os.listdir(store / "layers"))
    found["temporary"] = len(os.listdir(store / "tmp"))
    return found


def beyond(samples: Sequence[Sample], bounds: Mapping[str, Bound] = BOUNDS) -> list[str]:
    """What went beyond its bound, in words; the first third of the samples is where the others begin from."""
    first = samples[: max(len(samples) // 3, 1)]
    found = []
    for name, bound in bounds.items():
        most, before = max(each[name] for each in samples), max(each[name] for each in first)
        if most > bound.most:
            found.append(f"{bound.title}: {bound.shown(most)}, and at most {bound.shown(bound.most)} is right")
        elif most - before > bound.growth:
            found.append(f"{bound.title}: from {bound.shown(before)} to {bound.shown(most)}")
    return found
