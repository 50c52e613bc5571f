"""The kernel's protocol: the C headers are the oracle of its layout."""

import re
import stat
import struct
import subprocess

import pytest

from imagefs.fuse import wire
from imagefs.tree.filesystem import Attributes, Statistics

PROGRAM = r"""
#include <linux/fuse.h>
#include <stddef.h>
#include <stdio.h>
#define SIZE(type) printf("%s %zu\n", #type, sizeof(struct type))
#define AT(type, field) printf("%s.%s %zu\n", #type, #field, offsetof(struct type, field))
#define VALUE(name) printf("%s %d\n", #name, name)
int main(void) {
    SIZE(fuse_in_header); SIZE(fuse_out_header); SIZE(fuse_attr_out); SIZE(fuse_entry_out); SIZE(fuse_open_out);
    SIZE(fuse_getxattr_out); SIZE(fuse_statfs_out); SIZE(fuse_getxattr_in); SIZE(fuse_batch_forget_in);
    SIZE(fuse_forget_one);
    AT(fuse_in_header, opcode); AT(fuse_in_header, unique); AT(fuse_in_header, nodeid); AT(fuse_in_header, uid);
    AT(fuse_read_in, offset); AT(fuse_read_in, size); AT(fuse_release_in, fh); AT(fuse_forget_in, nlookup);
    AT(fuse_interrupt_in, unique); AT(fuse_out_header, error); AT(fuse_out_header, unique);
    AT(fuse_entry_out, entry_valid_nsec); AT(fuse_entry_out, attr); AT(fuse_attr_out, attr);
    AT(fuse_attr, size); AT(fuse_attr, blocks); AT(fuse_attr, mtime); AT(fuse_attr, mtimensec); AT(fuse_attr, mode);
    AT(fuse_attr, nlink); AT(fuse_attr, uid); AT(fuse_attr, gid); AT(fuse_attr, rdev); AT(fuse_attr, blksize);
    AT(fuse_direntplus, dirent); AT(fuse_dirent, off); AT(fuse_dirent, namelen); AT(fuse_dirent, type);
    AT(fuse_dirent, name); AT(fuse_kstatfs, bsize); AT(fuse_kstatfs, namelen); AT(fuse_kstatfs, frsize);
    AT(fuse_kstatfs, files);
    VALUE(FUSE_LOOKUP); VALUE(FUSE_FORGET); VALUE(FUSE_GETATTR); VALUE(FUSE_READLINK); VALUE(FUSE_OPEN);
    VALUE(FUSE_READ); VALUE(FUSE_STATFS); VALUE(FUSE_RELEASE); VALUE(FUSE_GETXATTR); VALUE(FUSE_LISTXATTR);
    VALUE(FUSE_OPENDIR); VALUE(FUSE_READDIR); VALUE(FUSE_RELEASEDIR); VALUE(FUSE_INTERRUPT); VALUE(FUSE_DESTROY);
    VALUE(FUSE_BATCH_FORGET); VALUE(FUSE_READDIRPLUS);
    VALUE(FOPEN_KEEP_CACHE); VALUE(FOPEN_CACHE_DIR);
}
"""

ATTRIBUTES = Attributes(
    ino=0x1122334455667788,
    mode=stat.S_IFCHR | 0o4751,
    nlink=3,
    uid=1000,
    gid=4_000_000_000,
    rdev=(0xFFF << 8) | 0x21 | (0x123 << 20),
    size=1 << 40,
    blocks=1 << 31,
    mtime_ns=1_700_000_000_123_456_789,
    valid=1.5,
)


@pytest.fixture(scope="module")
def header(tmp_path_factory):
    """Sizes, offsets and numbers, by name, as the kernel's header has them."""
    folder = tmp_path_factory.mktemp("header")
    subprocess.run(["gcc", "-x", "c", "-o", folder / "layout", "-"], input=PROGRAM, text=True, check=True)
    printed = subprocess.run([folder / "layout"], capture_output=True, text=True, check=True).stdout
    return {name: int(value) for name, value in re.findall(r"^(\S+) (\d+)$", printed, re.MULTILINE)}


def test_the_numbers_of_operations(header):
    numbers = {name.removeprefix("FUSE_"): value for name, value in header.items() if name.startswith("FUSE_")}
    assert len(numbers) == 17
    assert {name: getattr(wire, name) for name in numbers} == numbers
    assert header["FOPEN_KEEP_CACHE"] == wire.KEEP_CACHE
    assert header["FOPEN_CACHE_DIR"] == wire.CACHE_DIRECTORY


def test_the_sizes_of_replies(header):
    assert header["fuse_in_header"] == wire.IN_HEADER.size
    assert header["fuse_getxattr_in"] == wire.XATTR_IN.size
    assert header["fuse_out_header"] == len(wire.reply_header(1, 0))
    assert header["fuse_attr_out"] == len(wire.attr_out(ATTRIBUTES))
    assert header["fuse_entry_out"] == len(wire.entry_out(ATTRIBUTES)) == len(wire.miss_out(1.0))
    assert header["fuse_open_out"] == len(wire.open_out(1))
    assert header["fuse_getxattr_out"] == len(wire.xattr_size_out(1))
    assert header["fuse_statfs_out"] == len(wire.statfs_out(Statistics(1, 2)))


def test_a_request(header):
    raw = bytearray(header["fuse_in_header"]) + b"body"
    struct.pack_into("=I", raw, header["fuse_in_header.opcode"], wire.READ)
    struct.pack_into("=Q", raw, header["fuse_in_header.unique"], 77)
    struct.pack_into("=Q", raw, header["fuse_in_header.nodeid"], 1 << 62)
    struct.pack_into("=I", raw, header["fuse_in_header.uid"], 1000)
    request = wire.request(memoryview(raw))
    assert (request.operation, request.unique, request.inode, request.uid) == (wire.READ, 77, 1 << 62, 1000)
    assert bytes(request.body) == b"body"


def test_the_bodies_of_requests(header):
    raw = bytearray(64)
    struct.pack_into("=Q", raw, header["fuse_read_in.offset"], 1 << 33)
    struct.pack_into("=I", raw, header["fuse_read_in.size"], 4096)
    assert wire.READ_IN.unpack_from(raw) == (0, 1 << 33, 4096)
    assert header["fuse_release_in.fh"] == header["fuse_forget_in.nlookup"] == header["fuse_interrupt_in.unique"] == 0
    forgets = struct.pack("=II", 2, 0) + struct.pack("=QQQQ", 5, 1, 6, 2)
    assert header["fuse_batch_forget_in"] + 2 * header["fuse_forget_one"] == len(forgets)
    assert list(wire.forgets(memoryview(forgets + b"more"))) == [(5, 1), (6, 2)]
    assert wire.name(memoryview(b"12345678user.note\0"), 8) == b"user.note"


def test_an_error(header):
    raw = wire.reply_header(9, 0, 2)
    assert struct.unpack_from("=I", raw) == (len(raw),)
    assert struct.unpack_from("=i", raw, header["fuse_out_header.error"]) == (-2,)
    assert struct.unpack_from("=Q", raw, header["fuse_out_header.unique"]) == (9,)


@pytest.mark.parametrize("reply", ["attr_out", "entry_out", "direntry_plus"])
def test_attributes(header, reply):
    if reply == "attr_out":
        raw, start, valid = wire.attr_out(ATTRIBUTES), header["fuse_attr_out.attr"], 8
    else:
        raw = wire.entry_out(ATTRIBUTES) if reply == "entry_out" else wire.direntry_plus(b"name", ATTRIBUTES, 5)
        start, valid = header["fuse_entry_out.attr"], header["fuse_entry_out.entry_valid_nsec"]
        assert struct.unpack_from("=QQQQ", raw) == (ATTRIBUTES.ino, 0, 1, 1)
    assert struct.unpack_from("=I", raw, valid) == (500_000_000,)

    def at(field: str, kind: str) -> int:
        return struct.unpack_from(f"={kind}", raw, start + header[f"fuse_attr.{field}"])[0]

    assert struct.unpack_from("=Q", raw, start) == (ATTRIBUTES.ino,)
    assert (at("size", "Q"), at("blocks", "Q")) == (ATTRIBUTES.size, ATTRIBUTES.blocks)
    assert (at("mtime", "Q"), at("mtimensec", "I")) == (1_700_000_000, 123_456_789)
    assert (at("mode", "I"), at("nlink", "I")) == (ATTRIBUTES.mode, 3)
    assert (at("uid", "I"), at("gid", "I")) == (1000, 4_000_000_000)
    # The kernel's new_decode_dev.
    rdev = at("rdev", "I")
    assert ((rdev >> 8) & 0xFFF, (rdev & 0xFF) | (rdev >> 12 & 0xFFF00)) == (0xFFF, 0x12321)
    assert at("blksize", "I") == 4096


def test_a_time_before_1970(header):
    raw = wire.attr_out(Attributes(1, stat.S_IFREG, mtime_ns=-1))
    start = header["fuse_attr_out.attr"]
    assert struct.unpack_from("=q", raw, start + header["fuse_attr.mtime"]) == (-1,)
    assert struct.unpack_from("=I", raw, start + header["fuse_attr.mtimensec"]) == (999_999_999,)


@pytest.mark.parametrize("name", [b"n", b"seven77", b"eight888", b"n" * 255])
@pytest.mark.parametrize("reply", ["direntry", "direntry_plus"])
def test_directory_entries(header, name, reply):
    raw = getattr(wire, reply)(name, ATTRIBUTES, 5)
    start = header["fuse_direntplus.dirent"] if reply == "direntry_plus" else 0
    assert len(raw) % 8 == 0
    assert struct.unpack_from("=Q", raw, start) == (ATTRIBUTES.ino,)
    assert struct.unpack_from("=Q", raw, start + header["fuse_dirent.off"]) == (5,)
    assert struct.unpack_from("=I", raw, start + header["fuse_dirent.namelen"]) == (len(name),)
    assert struct.unpack_from("=I", raw, start + header["fuse_dirent.type"]) == (stat.S_IFCHR >> 12,)
    begin = start + header["fuse_dirent.name"]
    assert raw[begin:].rstrip(b"\0") == name


def test_statistics(header):
    raw = wire.statfs_out(Statistics(blocks=1000, inodes=20))
    assert struct.unpack_from("=QQQ", raw) == (1000, 0, 0)
    assert struct.unpack_from("=Q", raw, header["fuse_kstatfs.files"]) == (20,)
    sizes = [struct.unpack_from("=I", raw, header[f"fuse_kstatfs.{field}"])[0] for field in ("bsize", "frsize")]
    assert sizes == [512, 512]
    assert struct.unpack_from("=I", raw, header["fuse_kstatfs.namelen"]) == (255,)
