import gzip
import io
import random
import subprocess

import pytest

from imagefs.streams import gzipping
from imagefs.streams.gzipping import BLOCK, gzip_compressed

NOISE = random.Random(1).randbytes(BLOCK)


def compressed(data: bytes, size: int) -> bytes:
    return b"".join(gzip_compressed(data[start : start + size] for start in range(0, len(data), size)))


@pytest.mark.parametrize("size", [1000, BLOCK - 1, BLOCK, 3 * BLOCK])
@pytest.mark.parametrize(
    "data", [b"", b"x", NOISE, NOISE + b"x", b"text\n" * BLOCK, bytes(3 * BLOCK)], ids=lambda data: str(len(data))
)
def test_what_comes_out_is_one_member_of_what_went_in(data, size):
    packed = compressed(data, size)
    assert gzip.decompress(packed) == data
    assert subprocess.run(["gzip", "-dc"], input=packed, capture_output=True, check=True).stdout == data
    with gzip.open(io.BytesIO(packed)) as opened:
        opened.read()
        assert opened.mtime == 0


def test_the_bytes_depend_on_the_content_alone(monkeypatch):
    data = NOISE * 5 + b"text\n" * 1000
    packed = compressed(data, BLOCK)
    assert compressed(data, 7000) == packed
    monkeypatch.setattr(gzipping.os, "cpu_count", lambda: 7)
    assert compressed(data, 3 * BLOCK) == packed


def test_blocks_lean_on_each_other():
    """The window before a block is its dictionary: what repeats over the border is not told again."""
    half = NOISE[: 20 << 10]
    packed = compressed(NOISE[: BLOCK - len(half)] + half + half, BLOCK)
    assert len(packed) < len(compressed(NOISE, BLOCK)) + len(half) / 4


def test_it_reads_no_more_than_it_has_threads_for(monkeypatch):
    monkeypatch.setattr(gzipping.os, "cpu_count", lambda: 2)
    taken = 0

    def chunks():
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield NOISE

    stream = gzip_compressed(chunks())
    next(stream)  # the header
    next(stream)
    assert taken < 10
    stream.close()
