"""Written tar headers, read back by `tarfile` and by imagefs' own reader."""

import io
import os
import tarfile

import pytest

from imagefs.browse.tarheaders import header, padding, sparse_map
from imagefs.streams import tar
from imagefs.streams.chunks import ChunkReader

CASES = {
    "plain": {"name": b"./a"},
    "everything in its place": {
        "name": b"./a", "mode": 0o7777, "uid": 2_097_151, "gid": 1000, "size": 5, "mtime_ns": 1_600_000_000 * 10**9
    },
    "large numbers": {"name": b"./a", "uid": 2_097_152, "gid": 4_294_967_294, "mtime_ns": 2**33 * 10**9},
    "nanoseconds": {"name": b"./a", "mtime_ns": 1_600_000_000_123_456_789},
    "before the epoch": {"name": b"./a", "mtime_ns": -1_500_000_000},
    "100 bytes": {"name": b"n" * 100, "link": b"l" * 100, "flag": b"2"},
    "101 bytes": {"name": b"n" * 101, "link": b"l" * 101, "flag": b"2"},
    "UTF-8": {"name": "./café".encode(), "link": "é".encode(), "flag": b"2"},
    "not UTF-8": {"name": b"./caf\xe9", "link": b"\xff", "flag": b"1"},
    "long and not UTF-8": {"name": b"./caf\xe9" * 30, "link": b"\xff" * 120, "flag": b"1"},
    "device": {"name": b"./d", "flag": b"4", "device": (4095, 1_048_575)},
    "all ones": {"name": b"\xff" * 100, "link": b"\xff" * 100, "flag": b"2", "mode": 0o7777, "uid": 2_097_151},
    "attributes": {"name": b"./a", "xattrs": [(b"user.empty", b""), (b"user.note", b"a=b\0\n\xff")]},
    "lengths that count themselves": {
        "name": b"./a", "xattrs": [(b"user.%02d" % size, b"y" * size) for size in range(70, 100)]
    },
}  # fmt: skip


def archive_of(case: dict) -> bytes:
    options = {"flag": b"0", **case}
    size = options.get("size", 0)
    return header(options.pop("name"), options.pop("flag"), **options) + bytes(size) + padding(size) + bytes(1024)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_own_reader(case):
    (member,) = tar.read_members(ChunkReader([archive_of(case)]))
    for key, value in case.items():
        if key == "flag":
            assert member.type == value
        elif key == "device":
            assert (member.device_major, member.device_minor) == value
        elif key == "xattrs":
            assert member.xattrs == tuple(value)
        else:
            assert getattr(member, key) == value, key


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_tarfile(case):
    with tarfile.open(fileobj=io.BytesIO(archive_of(case)), encoding="utf-8", errors="surrogateescape") as archive:
        (info,) = archive.getmembers()
    assert os.fsencode(info.name) == case["name"]
    assert os.fsencode(info.linkname) == case.get("link", b"")
    assert info.mode == case.get("mode", 0o644)
    assert (info.uid, info.gid) == (case.get("uid", 0), case.get("gid", 0))
    assert info.mtime == pytest.approx(case.get("mtime_ns", 0) / 1e9)
    assert info.uname == info.gname == ""


def test_a_size_of_more_than_octal_digits():
    block = header(b"./a", b"0", size=1 << 33)
    assert b"size=8589934592\n" in block


def test_names_of_attributes_are_escaped_as_gnu_tar_does():
    assert b"SCHILY.xattr.user.a%3Db%25c=value\n" in header(b"./a", b"0", xattrs=[(b"user.a=b%c", b"value")])


def test_bytes_that_are_no_utf8_are_declared_only_in_records():
    assert b"hdrcharset" not in header(b"./caf\xe9", b"0")
    assert b"hdrcharset=BINARY" in header(b"./caf\xe9" * 20, b"0")


@pytest.mark.parametrize("pieces", [[], [(0, 3)], [(512, 700)], [(4096, 3), (9000, 1000)], [(10_000, 0)]])
@pytest.mark.parametrize("name", [b"./sparse", b"./caf\xe9", b"./" + b"n" * 200])
def test_sparse_files(pieces, name):
    data = b"".join(bytes([65 + number]) * length for number, (_, length) in enumerate(pieces))
    listed = sparse_map(10_000, pieces)
    stored = len(listed) + len(data)
    archive = (
        header(name, b"0", size=stored, real_size=10_000) + listed + data + padding(stored) + bytes(1024)
    )  # fmt: skip
    expected = bytearray(10_000)
    position = 0
    for offset, length in pieces:
        expected[offset : offset + length] = data[position : position + length]
        position += length

    with tarfile.open(fileobj=io.BytesIO(archive), encoding="utf-8", errors="surrogateescape") as opened:
        (info,) = opened.getmembers()
        assert os.fsencode(info.name) == name
        assert opened.extractfile(info).read() == expected
    (member,) = tar.read_members(ChunkReader([archive]))
    assert (member.name, member.size) == (name, 10_000)
    assert member.sparse == tuple((offset, length) for offset, length in pieces if length)
