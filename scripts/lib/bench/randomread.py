"""Random reads by several processes at once, the same ones for every file system."""

import os
import random
import time
from collections.abc import Sequence
from pathlib import Path

PROCESSES = 8
READS = 2000
SIZE = 4096


def random_reads(root: Path, files: Sequence[tuple[str, int]]) -> float:
    """Seconds until all processes have made their reads of files, which are given with their sizes in bytes."""
    opened = [(os.open(root / name, os.O_RDONLY), size // SIZE) for name, size in files]
    try:
        start = time.perf_counter()
        children = [_start(number, opened) for number in range(PROCESSES)]
        failed = [child for child in children if os.waitpid(child, 0)[1]]
        taken = time.perf_counter() - start
    finally:
        for descriptor, _ in opened:
            os.close(descriptor)
    if failed:
        raise OSError(f"{len(failed)} of {PROCESSES} readers failed")
    return taken


def _start(number: int, opened: Sequence[tuple[int, int]]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        numbers = random.Random(number)
        for _ in range(READS):
            descriptor, blocks = numbers.choice(opened)
            os.pread(descriptor, SIZE, numbers.randrange(blocks) * SIZE)
        status = 0
    finally:
        os._exit(status)
