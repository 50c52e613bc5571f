import io
import os
import random

import pytest

from imagefs.archive.source import ArchiveStream, Extent, FileReader
from imagefs.errors import ArchiveError
from imagefs.streams.chunks import ChunkReader

DATA = os.urandom(5_000_000)
START = 1234


@pytest.fixture
def file(tmp_path):
    (tmp_path / "file").write_bytes(DATA)
    with (tmp_path / "file").open("rb", buffering=0) as file:
        file.seek(START)
        yield file


def test_only_regular_files_are_read_by_their_descriptor(file, tmp_path):
    assert isinstance(ArchiveStream(file).reader(), FileReader)
    with (tmp_path / "file").open("rb") as buffered:
        assert isinstance(ArchiveStream(buffered).reader(), FileReader)

    class Changed(io.FileIO):
        def read(self, size=-1):
            return super().read(size).swapcase()

    with Changed(tmp_path / "file") as changed:
        assert not isinstance(ArchiveStream(changed).reader(), FileReader)
    assert not isinstance(ArchiveStream(io.BytesIO(DATA)).reader(), FileReader)


def test_a_file_is_read_from_where_it_stands(file):
    stream = ArchiveStream(file)
    assert stream.head == DATA[START : START + (1 << 20)]
    assert stream.read() == DATA[START:]


def test_it_reads_and_skips_as_a_stream_does(file):
    """Whatever is done in whatever order, a reader of the same bytes in chunks is the oracle."""
    choose = random.Random(1)
    for _ in range(50):
        reader = FileReader(file.fileno(), START, lambda _: None)
        oracle = ChunkReader([DATA[START:]])
        while oracle.peek(1):
            size = choose.choice([0, 1, 512, 5000, 1 << 20, 1_700_000])
            action = choose.choice(["read", "skip", "peek", "read_at"])
            arguments = (size,) if action != "read_at" else (oracle.position + choose.randrange(1_500_000), size)
            assert getattr(reader, action)(*arguments) == getattr(oracle, action)(*arguments), (action, arguments)
            assert reader.position == oracle.position
        assert reader.skip(10) == 0
        assert reader.read(10) == b""


def test_progress_tells_what_is_behind_even_if_it_was_skipped(file):
    told = []
    reader = FileReader(file.fileno(), START, told.append)
    reader.read(10)
    reader.skip(3_000_000)
    reader.read(10)
    reader.skip(9_000_000)
    assert told == sorted(told)
    assert told[-1] == len(DATA) - START


def test_an_extent_is_read_again_and_again_and_moves_nothing(file):
    reader = FileReader(file.fileno(), START, lambda _: None)
    reader.read(100)
    extent = reader.extent(50, 2_000_000)
    assert extent is not None
    for _ in range(2):
        assert b"".join(extent) == DATA[START + 50 : START + 2_000_050]
    assert reader.read(100) == DATA[START + 100 : START + 200]


def test_an_extent_that_the_file_does_not_have_to_its_end(file):
    reader = FileReader(file.fileno(), START, lambda _: None)
    assert reader.extent(1000, len(DATA) - START - 1000) is not None
    assert reader.extent(1000, len(DATA) - START - 999) is None
    with pytest.raises(ArchiveError, match="the archive ends inside it, 7 bytes early"):
        list(Extent(file.fileno(), len(DATA) - 1000, 1007))
