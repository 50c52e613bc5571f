import io

import pytest

from imagefs.errors import Truncated
from imagefs.streams.chunks import ChunkReader, chunks_of

DATA = bytes(range(256)) * 4


def reader(*sizes: int) -> ChunkReader:
    """A reader of DATA that arrives in chunks of these sizes, the rest in one."""
    pieces, position = [], 0
    for size in sizes:
        pieces.append(DATA[position : position + size])
        position += size
    return ChunkReader([*pieces, DATA[position:]])


@pytest.mark.parametrize("sizes", [(), (1,), (1, 1, 1), (10, 0, 0, 5), (100, 3, 700), (len(DATA),)])
def test_reads_do_not_depend_on_chunk_boundaries(sizes):
    source = reader(*sizes)
    assert source.read(3) == DATA[:3]
    assert source.peek(20) == DATA[3:23]
    assert source.position == 3
    assert source.read_exactly(100) == DATA[3:103]
    assert source.skip(50) == 50
    assert source.position == 153
    assert b"".join(source.take(300)) == DATA[153:453]
    assert source.position == 453
    assert b"".join(source.rest()) == DATA[453:]
    assert source.position == len(DATA)
    assert source.read(1) == b""


def test_read_and_skip_answer_less_at_the_end():
    source = ChunkReader([b"abc", b"de"])
    assert source.skip(3) == 3
    assert source.read(10) == b"de"
    assert source.skip(10) == 0
    assert list(source.take(5)) == []
    assert source.peek(5) == b""


def test_skip_counts_what_there_was():
    assert ChunkReader([b"abc", b"", b"de"]).skip(9) == 5


@pytest.mark.parametrize("sizes", [(), (1, 1, 1), (10, 0, 0, 5), (100, 3, 700), (len(DATA),)])
def test_reads_from_a_position_further_on(sizes):
    source = reader(*sizes)
    assert source.read_at(0, 5) == DATA[:5]
    assert source.read_at(5, 5) == DATA[5:10]
    assert source.read_at(99, 20) == DATA[99:119]
    assert source.position == 119
    assert source.read_at(len(DATA) - 3, 10) == DATA[-3:]
    assert source.read_at(len(DATA) + 7, 10) == b""
    assert source.position == len(DATA)


def test_read_exactly_raises_where_the_stream_is_short():
    source = ChunkReader([b"abc"])
    with pytest.raises(Truncated, match="after 3 bytes"):
        source.read_exactly(4)


def test_take_passes_whole_chunks_on_without_a_copy():
    first, second = b"x" * 100, b"y" * 100
    assert [id(piece) for piece in ChunkReader([first, second]).take(200)] == [id(first), id(second)]


def test_take_stops_at_its_size():
    source = ChunkReader([b"abcdef"])
    assert list(source.take(4)) == [b"abcd"]
    assert list(source.take(0)) == []
    assert source.read(2) == b"ef"


def test_peek_joins_chunks_and_takes_nothing():
    source = ChunkReader([b"a", b"", b"b", b"c"])
    assert source.peek(2) == b"ab"
    assert source.peek(100) == b"abc"
    assert source.position == 0
    assert b"".join(source.rest()) == b"abc"


def test_rest_counts_positions_chunk_by_chunk():
    source = ChunkReader([b"abc", b"", b"defg"])
    source.read(1)
    positions = [(piece, source.position) for piece in source.rest()]
    assert positions == [(b"bc", 3), (b"defg", 7)]


def test_chunks_are_pulled_only_when_needed():
    pulled = []

    def chunks():
        for number in range(5):
            pulled.append(number)
            yield b"0123456789"

    source = ChunkReader(chunks())
    assert source.read(15) == b"012345678901234"
    assert pulled == [0, 1]


def test_chunks_of_reads_a_stream_to_its_end():
    assert list(chunks_of(io.BytesIO(b"abcdefg"), 3)) == [b"abc", b"def", b"g"]
    assert list(chunks_of(io.BytesIO(b""))) == []
