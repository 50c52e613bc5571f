"""What is fast because the usual case is told apart answers as the slow way does, usual or not."""

import tempfile
import zlib
from contextlib import closing
from pathlib import Path
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from support.archives import directory, file, hardlink, layer, opaque, symlink, whiteout
from support.headers import header
from support.layers import make_index

from imagefs.errors import ArchiveError, LayerError
from imagefs.layers.builder import IndexBuilder
from imagefs.streams.chunks import ChunkReader
from imagefs.streams.tar import read_members
from imagefs.streams.tarfields import adler_vouched_for, number, numbers, varied_number

# -- header fields

odd_bytes = st.sampled_from(b"01789 \0-_+\x80\xff")


def fields(width: int) -> st.SearchStrategy[bytes]:
    octal = st.integers(0, 8 ** (width - 1) - 1).map(lambda value: b"%0*o\0" % (width - 1, value))
    return octal | st.lists(odd_bytes, min_size=width, max_size=width).map(bytes)


def outcome(function, *arguments):
    try:
        return function(*arguments)
    except ArchiveError as error:
        return str(error)


@settings(max_examples=500, deadline=None)
@given(field=fields(12))
def test_numbers_that_are_not_remembered(field):
    assert outcome(varied_number, field) == outcome(number, field)


@settings(max_examples=500, deadline=None)
@given(some=st.lists(fields(8), min_size=1, max_size=3))
def test_numbers_side_by_side(some):
    expected = [outcome(number, field) for field in some]
    broken = [each for each in expected if isinstance(each, str)]
    assert outcome(numbers, b"".join(some)) == (broken[0] if broken else tuple(expected))


def spoilt(block: bytes, position: int, value: int) -> bytes:
    return block[:position] + bytes([value]) + block[position + 1 :]


@settings(max_examples=500, deadline=None)
@given(name=st.binary(min_size=1, max_size=100), position=st.integers(0, 511), value=st.integers(0, 255))
def test_checksums(name, position, value):
    block = header(name, tail=b"\xff" * 100)
    assert adler_vouched_for(block[148:156]) == zlib.adler32(block) & 0xFFFF
    other = spoilt(block, position, value)
    if not 148 <= position < 156 and other != block:
        assert "no tar header" in outcome(lambda: list(read_members(ChunkReader([other, bytes(1024)]))))


# -- paths

parts = st.sampled_from(["a", "b", "c", ".", "..", "", ".wh.a", "n" * 256])
paths = st.lists(parts, min_size=1, max_size=4).map("/".join)
entries = st.one_of(
    st.builds(file, paths, st.just(b"1"), mode=st.integers(0, 0o777)),
    st.builds(directory, paths, mode=st.integers(0, 0o777)),
    st.builds(symlink, paths, st.sampled_from(["a", "../b", "/c", "a/b"])),
    st.builds(hardlink, paths, paths),
    st.builds(whiteout, st.sampled_from(["a", "a/b", "b/c"])),
    st.builds(opaque, st.sampled_from(["a", "b", "a/b"])),
)


class Forgetful(IndexBuilder):
    """Walks every path from the root."""

    def directory(self, path, *, ghost=False):
        self.names_changed()
        self._directories.clear()
        self._directories_before.clear()
        return super().directory(path, ghost=ghost)

    def remembered_directory(self, path):
        return None


def tables(path: Path, tar: bytes, builder: type[IndexBuilder], batch: int) -> object:
    """All that is in the index, or the error."""
    with mock.patch("support.layers.IndexBuilder", builder), mock.patch("imagefs.layers.writer.BATCH", batch):
        try:
            index = make_index(path, tar)
        except LayerError as error:
            return str(error)
    with closing(index):
        database = index._database
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {name: sorted(database.execute(f"SELECT * FROM {name}"), key=repr) for name in names}


@settings(max_examples=150, deadline=None)
@given(chosen=st.lists(entries, max_size=12), batch=st.sampled_from([1, 2, 1000]))
def test_paths_in_remembered_directories(chosen, batch):
    tar = layer(*chosen)
    with tempfile.TemporaryDirectory() as folder:
        usual = tables(Path(folder) / "usual", tar, IndexBuilder, 1000)
        slow = tables(Path(folder) / "slow", tar, Forgetful, batch)
    assert usual == slow
