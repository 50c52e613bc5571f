import os

import pytest
from support.archives import digest_of

from imagefs.store.twins import Comparison

DATA = os.urandom(3_500_000)
SIZES = [1 << 20, 1000, 999_999]


@pytest.fixture
def kept(tmp_path):
    """Keep some bytes as the store would, under their digest or another one."""

    def keep(data: bytes, content: str | None = None) -> dict:
        path = tmp_path / str(len(os.listdir(tmp_path)))
        path.write_bytes(data)
        return {content or digest_of(data): path}

    return keep


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def changed(position: int) -> bytes:
    return DATA[:position] + bytes([DATA[position] ^ 1]) + DATA[position + 1 :]


@pytest.mark.parametrize("size", SIZES)
def test_what_is_the_same_to_the_end_has_its_digest(kept, size):
    twins = kept(changed(len(DATA) - 1)) | kept(DATA) | kept(changed(0))
    with Comparison(iter(pieces(DATA, size)), twins, "sha256") as comparison:
        assert comparison.digest() == digest_of(DATA)
        assert b"".join(comparison.content()) == DATA, "it can still be had"


def test_few_of_many_twins_are_open_at_once(kept):
    twins = {}
    for number in range(50):
        twins |= kept(changed(number))
    before = len(os.listdir("/proc/self/fd"))
    opened = []

    def content():
        for piece in pieces(DATA, 1 << 20):
            opened.append(len(os.listdir("/proc/self/fd")))
            yield piece

    with Comparison(content(), twins, "sha256") as comparison:
        assert comparison.digest() is None
        assert b"".join(comparison.content()) == DATA
    assert max(opened) - before <= 16


@pytest.mark.parametrize("size", SIZES)
def test_what_can_be_read_again_is_hashed(kept, size):
    twins = kept(changed(len(DATA) - 1)) | kept(changed(0))
    for each in (twins, {}):
        with Comparison(pieces(DATA, size), each, "sha256") as comparison:
            assert comparison.digest() is None
            assert b"".join(comparison.content()) == DATA
    with Comparison(pieces(DATA, size), twins | kept(DATA), "sha256") as comparison:
        assert comparison.digest() == digest_of(DATA)
        assert b"".join(comparison.content()) == DATA


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("positions", [(0,), (2_000_000,), (len(DATA) - 1,), (0, 1_500_000, 3_400_000), ()])
def test_what_differs_somewhere_is_given_whole(kept, size, positions):
    twins = {}
    for position in positions:
        twins |= kept(changed(position))
    with Comparison(iter(pieces(DATA, size)), twins, "sha256") as comparison:
        assert comparison.digest() is None
        assert b"".join(comparison.content()) == DATA


@pytest.mark.parametrize("other", [DATA[:-1], DATA + b"x", b""])
def test_a_stream_of_another_length_is_no_twin(kept, other):
    with Comparison(iter(pieces(other, 1 << 20)), kept(DATA), "sha256") as comparison:
        assert comparison.digest() is None
        assert b"".join(comparison.content()) == other


def test_a_file_that_is_not_what_its_name_says_is_no_twin(kept):
    rotten = kept(DATA, content=digest_of(b"what it once was"))
    with Comparison(iter(pieces(DATA, 1 << 20)), rotten, "sha256") as comparison:
        assert comparison.digest() is None
        assert b"".join(comparison.content()) == DATA


def test_a_file_that_is_gone_is_no_twin(kept, tmp_path):
    twins = kept(DATA) | {digest_of(b"gone"): tmp_path / "gone"}
    with Comparison(iter(pieces(DATA, 1 << 20)), twins, "sha256") as comparison:
        assert comparison.digest() == digest_of(DATA)


def test_what_the_stream_raises_comes_through(kept):
    def broken():
        yield DATA[:1000]
        raise OSError("broken")

    with Comparison(broken(), kept(DATA), "sha256") as comparison, pytest.raises(OSError, match="broken"):
        comparison.digest()
