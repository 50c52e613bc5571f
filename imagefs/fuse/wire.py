"""The kernel's FUSE protocol, as far as a read-only file system meets it: what requests and replies are made of.

The structures are those of linux/fuse.h, in the machine's byte order, as they have been since protocol 7.9 (Linux
2.6.29). Older kernels are refused: pyfuse3, which negotiates the session, wants 7.21. Sizes and offsets are in bytes.
"""

import mmap
import struct
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import msgspec

from imagefs.tree.filesystem import Attributes, Statistics

LOOKUP, FORGET, GETATTR, READLINK, OPEN, READ, STATFS, RELEASE = 1, 2, 3, 5, 14, 15, 17, 18
GETXATTR, LISTXATTR, OPENDIR, READDIR, RELEASEDIR = 22, 23, 27, 28, 29
INTERRUPT, DESTROY, IOCTL, BATCH_FORGET, READDIRPLUS = 36, 38, 39, 42, 44
"""The operations that are answered; to all others the answer is `ENOSYS`, after which the kernel knows what to do."""

KEEP_CACHE = 1 << 1
"""In the reply to `OPEN`: the pages that the kernel has of the file stay valid."""

CACHE_DIRECTORY = 1 << 3
"""In the reply to `OPENDIR`: the kernel may keep the listing; with `KEEP_CACHE`, from one opening to the next."""

BLOCK_SIZE = 512
"""What the blocks of statfs(2) are."""

NAME_MAX = 255

_IO_SIZE = 4096  # st_blksize
_NANOSECONDS = 1_000_000_000
_UINT64 = (1 << 64) - 1

_MAX_PAGES = 256
"""The largest request that libfuse negotiates, in pages, unless the system allows more."""

IN_HEADER = struct.Struct("=IIQQIIIHH")
_OUT_HEADER = struct.Struct("=IiQ")
_ATTR = "QQQQQQIIIIIIIIII"
_ATTR_OUT = struct.Struct(f"=QII{_ATTR}")
_ENTRY = f"QQQQII{_ATTR}"
_ENTRY_OUT = struct.Struct(f"={_ENTRY}")
_DIRENT = struct.Struct("=QQII")
_DIRENT_PLUS = struct.Struct(f"={_ENTRY}QQII")
_OPEN_OUT = struct.Struct("=QII")
_XATTR_OUT = struct.Struct("=II")
_IOCTL_OUT = struct.Struct("=iIII")
_STATFS_OUT = struct.Struct("=QQQQQIIIIIIIIII")

_PADDING = [bytes(-length % 8) for length in range(8)]  # entries begin at multiples of eight

READ_IN = struct.Struct("=QQI")
"""`READ`, `READDIR` and `READDIRPLUS`: handle, offset, size."""

HANDLE_IN = struct.Struct("=Q")
"""`RELEASE` and `RELEASEDIR`: the handle."""

FORGET_IN = struct.Struct("=Q")
"""`FORGET`: how often the kernel was told of the inode."""

XATTR_IN = struct.Struct("=II")
"""`GETXATTR` and `LISTXATTR`: size of the buffer, 0 to ask for the size; and padding, behind which a name may be."""

INTERRUPT_IN = struct.Struct("=Q")
"""`INTERRUPT`: the number of the request that nobody waits for any more."""

IOCTL_IN = struct.Struct("=QIIQII")
"""`IOCTL`: handle, flags, command, argument, size of what comes with it, size of the answer's buffer."""

_BATCH_IN = struct.Struct("=II")
_BATCH_ENTRY = struct.Struct("=QQ")


class Request(msgspec.Struct):
    """One request: what to do, its number, the inode, who asks, the operation's own part.

    `began` is when it was taken from the device, in nanoseconds of `time.perf_counter_ns`.
    """

    operation: int
    unique: int
    inode: int
    uid: int
    body: memoryview
    began: int = 0


def buffer_size() -> int:
    """How large a buffer the kernel wants for a request: the largest write, and its header on a page of its own."""
    pages = _MAX_PAGES
    with suppress(OSError, ValueError):  # since Linux 6.13
        pages = max(pages, int(Path("/proc/sys/fs/fuse/max_pages_limit").read_text()))
    return (pages + 1) * mmap.PAGESIZE


def request(buffer: memoryview) -> Request:
    """The request in the bytes that one read(2) from the device gave."""
    _, operation, unique, inode, uid, _, _, _, _ = IN_HEADER.unpack_from(buffer)
    return Request(operation, unique, inode, uid, buffer[IN_HEADER.size :])


def name(body: memoryview, start: int = 0) -> bytes:
    """The file name in a request's body, which ends with a NUL."""
    return bytes(body[start:-1])


def forgets(body: memoryview) -> Iterator[tuple[int, int]]:
    """(inode, count) of a `BATCH_FORGET`."""
    count, _ = _BATCH_IN.unpack_from(body)
    end = _BATCH_IN.size + count * _BATCH_ENTRY.size
    return _BATCH_ENTRY.iter_unpack(body[_BATCH_IN.size : end])


def reply_header(unique: int, size: int, error: int = 0) -> bytes:
    """What goes before a reply of `size` bytes, or is all of it where there is an `error`, an errno."""
    return _OUT_HEADER.pack(_OUT_HEADER.size + size, -error, unique)


def _attr(attributes: Attributes) -> tuple[int, ...]:
    seconds, nanoseconds = divmod(attributes.mtime_ns, _NANOSECONDS)
    seconds &= _UINT64  # times before 1970 are negative, and the kernel takes them back
    return (
        attributes.ino, attributes.size, attributes.blocks, seconds, seconds, seconds,
        nanoseconds, nanoseconds, nanoseconds, attributes.mode, attributes.nlink, attributes.uid, attributes.gid,
        # As the kernel's new_encode_dev packs it: the C library's without its high half.
        attributes.rdev & 0xFFFFFFFF,
        _IO_SIZE, 0,
    )  # fmt: skip


@lru_cache(maxsize=16)
def _valid(seconds: float) -> tuple[int, int]:
    whole = int(seconds)
    return whole, int((seconds - whole) * _NANOSECONDS)


@lru_cache(maxsize=16)
def _entry_valid(seconds: float) -> tuple[int, int, int, int, int]:
    """What stands between an entry's inode and its attributes: the generation, how long its name and they are valid."""
    whole, nanoseconds = _valid(seconds)
    return 0, whole, whole, nanoseconds, nanoseconds


def attr_out(attributes: Attributes) -> bytes:
    """The reply to `GETATTR`."""
    return _ATTR_OUT.pack(*_valid(attributes.valid), 0, *_attr(attributes))


def entry_out(attributes: Attributes) -> bytes:
    """The reply to `LOOKUP`."""
    return _ENTRY_OUT.pack(attributes.ino, *_entry_valid(attributes.valid), *_attr(attributes))


def miss_out(valid: float) -> bytes:
    """The reply to a `LOOKUP` of what is not there, which the kernel remembers for `valid` seconds.

    Inode 0 says so; `ENOENT` it would ask for again.
    """
    return _ENTRY_OUT.pack(0, *_entry_valid(valid), *[0] * 16)


def open_out(handle: int, flags: int = 0) -> bytes:
    """The reply to `OPEN` and `OPENDIR`."""
    return _OPEN_OUT.pack(handle, flags, 0)


def xattr_size_out(size: int) -> bytes:
    """The reply to a `GETXATTR` or `LISTXATTR` that asks for the size."""
    return _XATTR_OUT.pack(size, 0)


def ioctl_out(data: bytes) -> bytes:
    """The reply to `IOCTL`, which returns the size of the data."""
    return _IOCTL_OUT.pack(len(data), 0, 0, 0) + data


def statfs_out(totals: Statistics) -> bytes:
    """The reply to `STATFS`: all blocks and inodes are in use."""
    return _STATFS_OUT.pack(totals.blocks, 0, 0, totals.inodes, 0, BLOCK_SIZE, NAME_MAX, BLOCK_SIZE, *[0] * 7)


def direntry_plus(entry_name: bytes, attributes: Attributes, position: int) -> bytes:
    """One entry of the reply to `READDIRPLUS`; a later request goes on at `position`."""
    inode, length = attributes.ino, len(entry_name)
    return (
        _DIRENT_PLUS.pack(
            inode, *_entry_valid(attributes.valid), *_attr(attributes), inode, position, length, attributes.mode >> 12
        )
        + entry_name
        + _PADDING[length % 8]
    )


def direntry(entry_name: bytes, attributes: Attributes, position: int) -> bytes:
    """One entry of the reply to `READDIR`."""
    length = len(entry_name)
    return _DIRENT.pack(attributes.ino, position, length, attributes.mode >> 12) + entry_name + _PADDING[length % 8]
