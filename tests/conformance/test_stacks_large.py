"""Trees that no path and no single call reaches the whole of: beyond PATH_MAX, and directories of 100,000 entries.

What is beyond a path of 4096 bytes, no peer unpacks; the stacks of `test_stacks.py` go as far as they do.
"""

import ctypes
import os
import random
import stat
import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pytest
from support.archives import MTIME, OciArchive, directory, file, opaque, symlink, whiteout
from support.headers import header

from .conftest import imagefs, mounted, run
from .stacks import tar
from .tree import differences, walk

pytestmark = [pytest.mark.fuse, pytest.mark.slow]

# -- what is mounted

DEPTH = 1000
NAMES = [b"%09d" % number for number in range(DEPTH)]
"""Names of nine bytes: a path of 10,000 bytes, more than twice PATH_MAX."""

WIDE = 100_000


def _below(depth: int, name: str) -> str:
    return "/".join([*(each.decode() for each in NAMES[:depth]), name])


def _exactly(length: int) -> str:
    """A path of a number of bytes, of names of 200 bytes but for the last."""
    path = "/".join(["p" * 200] * (length // 201))
    return f"{path}/{'q' * (length - len(path) - 1)}"


AT_THE_LIMIT = _exactly(4095)
"""The longest path that a system call takes, were it not for the mount point before it."""

BEYOND_THE_LIMIT = _exactly(4200)

DEEP = [
    tar(
        directory(_below(1, ""), mode=0o700),
        directory(_below(600, ""), mode=0o711, uid=6),
        file(_below(DEPTH, "leaf"), b"leaf"),
        file(_below(DEPTH, "gone")),
        file(_below(800, "hidden")),
        file(AT_THE_LIMIT, b"4095"),
        file(BEYOND_THE_LIMIT, b"4200"),
    ),
    tar(
        file(_below(500, "half"), b"half"),
        whiteout(_below(DEPTH, "gone")),
        opaque(_below(800, "x").removesuffix("/x")),
        file(_below(DEPTH, "above"), b"above"),
        symlink(_below(DEPTH, "up"), "../" * DEPTH + "top"),
        file("top", b"top"),
    ),
]
"""The opaque marker at 800 hides the lower layer's leaf, and nothing of what its own layer has below it."""


def _wide(count: int) -> list[bytes]:
    """A directory of many files, and a layer that removes some, replaces some and adds some."""
    lower = [header(b"d/", b"5", mode=0o755, mtime=MTIME)]
    lower += [header(b"d/f%06d" % number, mtime=MTIME) for number in range(count)]
    upper = [header(b"d/.wh.f%06d" % number) for number in range(0, count, 100)]
    upper += [header(b"d/f%06d" % number, mode=0o600, mtime=MTIME) for number in range(50, count, 100)]
    upper += [header(b"d/g%06d" % number, mtime=MTIME) for number in range(count // 100)]
    return [tar(*lower), tar(*upper)]


WIDE_NAMES = [b"f%06d" % number for number in range(WIDE) if number % 100] + [b"g%06d" % n for n in range(WIDE // 100)]


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Iterator[OciArchive]:
    made = OciArchive()
    made.add_image(DEEP, tag="deep", name="localhost/stacks/deep:1")
    made.add_image(_wide(WIDE), tag="wide", name="localhost/stacks/wide:1")
    made.add_image(_wide(2000), tag="less-wide", name="localhost/stacks/less-wide:1")
    return made


@pytest.fixture(scope="module")
def folder(need, tmp_path_factory) -> Iterator[Path]:
    need("root")
    made = tmp_path_factory.mktemp("large")
    yield made
    run("rm", "-rf", made)  # shutil.rmtree recurses


@pytest.fixture(scope="module")
def images(folder, archive) -> Iterator[Path]:
    imagefs(folder / "store", "import", archive.write(folder / "archive.tar"))
    with mounted(folder / "store", folder / "mnt") as mountpoint:
        yield mountpoint / "images" / "localhost" / "stacks"


# -- beyond PATH_MAX


def descend(names: Sequence[bytes], start: int) -> int:
    """A descriptor of the directory at the end of a path of any length, step by step; `start` is closed."""
    for name in names:
        step = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=start)
        os.close(start)
        start = step
    return start


@pytest.fixture
def deep(images) -> int:
    return os.open(images / "deep:1", os.O_RDONLY | os.O_DIRECTORY)


def read(name: str | bytes, at: int) -> bytes:
    descriptor = os.open(name, os.O_RDONLY, dir_fd=at)
    with open(descriptor, "rb") as opened:
        return opened.read()


def test_every_level_of_a_deep_tree_holds_what_the_layers_say(deep):
    listings = {500: {NAMES[500], b"half"}, DEPTH: {b"above", b"up"}, 0: {NAMES[0], b"top", b"p" * 200}}
    for depth, name in enumerate([*NAMES, None]):
        wanted = listings.get(depth, {name})
        assert {os.fsencode(each) for each in os.listdir(deep)} == wanted, depth
        status = os.fstat(deep)
        assert stat.S_ISDIR(status.st_mode)
        if depth in (1, 600):
            assert (stat.S_IMODE(status.st_mode), status.st_uid) == ((0o700, 0) if depth == 1 else (0o711, 6))
        if name is not None:
            deep = descend([name], deep)
    assert read("above", deep) == b"above"
    assert os.readlink("up", dir_fd=deep) == "../" * DEPTH + "top"
    assert read("up", deep) == b"top"  # 1,000 steps up, by the kernel
    os.close(deep)


def test_the_way_up_from_the_deepest_directory_ends_at_the_root(deep):
    root = os.fstat(deep).st_ino
    bottom = descend(NAMES, deep)
    top = descend([b".."] * DEPTH, bottom)
    assert os.fstat(top).st_ino == root
    os.close(top)


def test_a_deep_directory_is_found_again_under_its_number(deep, images):
    """The kernel may forget it at any time and ask anew."""
    first = descend(NAMES, deep)
    number = os.fstat(first).st_ino
    os.close(first)
    Path("/proc/sys/vm/drop_caches").write_text("2")
    again = descend(NAMES, os.open(images / "deep:1", os.O_RDONLY | os.O_DIRECTORY))
    assert os.fstat(again).st_ino == number
    assert sorted(os.listdir(again)) == ["above", "up"]
    os.close(again)


@pytest.mark.parametrize("path", [AT_THE_LIMIT, BEYOND_THE_LIMIT], ids=len)
def test_paths_at_and_beyond_path_max(deep, path):
    *names, last = os.fsencode(path).split(b"/")
    parent = descend(names, deep)
    assert read(last, parent) == b"%d" % len(path)
    assert os.stat(last, dir_fd=parent).st_mtime_ns == MTIME * 1_000_000_000
    os.close(parent)


# -- directories of many entries

_ENTRY = struct.Struct("=QqHB")  # struct linux_dirent64: inode, offset of the next entry, length, type; then the name
_LIBC = ctypes.CDLL(None, use_errno=True)


def entries(descriptor: int, size: int) -> Iterator[tuple[bytes, int]]:
    """(name, offset after it) of what an open directory has from where it stands, `size` bytes a call."""
    buffer = ctypes.create_string_buffer(size)
    while True:
        count = _LIBC.getdents64(descriptor, buffer, ctypes.c_size_t(size))
        assert count >= 0, os.strerror(ctypes.get_errno())
        if count == 0:
            return
        found, position = buffer.raw[:count], 0
        while position < count:
            _, offset, length, _ = _ENTRY.unpack_from(found, position)
            name = found[position + _ENTRY.size : position + length].partition(b"\0")[0]
            if name not in (b".", b".."):
                yield name, offset
            position += length


@pytest.fixture
def wide(images) -> Iterator[int]:
    descriptor = os.open(images / "wide:1" / "d", os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def names(descriptor: int, size: int = 1 << 16) -> list[bytes]:
    return [name for name, _ in entries(descriptor, size)]


def test_a_directory_of_100_000_entries_is_listed_whole(wide):
    listed = names(wide)
    assert len(listed) == len(WIDE_NAMES)
    assert sorted(listed) == WIDE_NAMES


def test_listing_resumes_at_any_offset(wide):
    whole = list(entries(wide, 1 << 16))
    order = random.Random(1)
    places = [0, 1, 2, len(whole) - 2, len(whole) - 1, *order.sample(range(len(whole)), 12)]
    for place in places:  # forwards and backwards
        os.lseek(wide, whole[place][1], os.SEEK_SET)
        assert names(wide) == [name for name, _ in whole[place + 1 :]], place
    os.lseek(wide, 0, os.SEEK_SET)
    assert names(wide) == [name for name, _ in whole]


def test_listing_resumes_in_small_pieces(wide):
    """A few entries a call, and a jump after every few calls, from one end to the other."""
    whole = list(entries(wide, 1 << 16))
    for place in range(0, len(whole) - 100, len(whole) // 50):
        os.lseek(wide, whole[place][1], os.SEEK_SET)
        listed = [name for name, _ in islice(entries(wide, 128), 100)]
        assert listed == [name for name, _ in whole[place + 1 : place + 101]]


def test_an_offset_holds_for_a_later_open(wide, images):
    whole = list(entries(wide, 1 << 16))
    again = os.open(images / "wide:1" / "d", os.O_RDONLY | os.O_DIRECTORY)
    place = len(whole) // 2
    os.lseek(again, whole[place][1], os.SEEK_SET)
    assert names(again) == [name for name, _ in whole[place + 1 :]]
    os.close(again)


def test_two_readers_of_one_directory_do_not_disturb_each_other(wide, images):
    other = os.open(images / "wide:1" / "d", os.O_RDONLY | os.O_DIRECTORY)
    first, second = entries(wide, 4096), entries(other, 1 << 15)
    one = [name for name, _ in islice(first, 1000)]
    two = [name for name, _ in second]
    one += [name for name, _ in first]
    os.close(other)
    assert sorted(one) == sorted(two) == WIDE_NAMES


@pytest.mark.peer
def test_a_directory_of_many_entries_is_what_umoci_unpacks(need, images, archive, folder):
    # 100,000 entries take umoci half a minute and show nothing that 2,000 do not.
    layout = archive.write_folder(folder / "layout")
    run(need("umoci"), "unpack", "--image", f"{layout}:less-wide", folder / "bundle")
    expected = walk(folder / "bundle" / "rootfs")
    assert len(expected) == 2002
    ignoring = [(b".", "mtime_ns")]  # no layer has an entry for the root
    assert differences(expected, walk(images / "less-wide:1"), ignoring=ignoring) == []
