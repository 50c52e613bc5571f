"""`imagefs tar`. What GNU tar makes of it is in tests/fuse/test_copy_equals_mount.py."""

import io
import os
import pty
import subprocess
import sys
import tarfile

import pytest
from support.command import Imagefs
from support.interruption import interrupted
from support.odd import CAPABILITY, LATIN, LONG, SPARSE_SIZE, odd_archive

import imagefs as library


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> Imagefs:
    imagefs = Imagefs(tmp_path_factory.mktemp("odd") / "store")
    imagefs("import", "--no-unpack", "-", stdin=odd_archive())
    return imagefs


def tar(odd: Imagefs, *arguments: str) -> bytes:
    return odd("tar", *arguments).out.encode("utf-8", "surrogateescape")


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data), encoding="utf-8", errors="surrogateescape") as archive:
        return {info.name: info for info in archive.getmembers()}


def test_members(odd):
    data = tar(odd, "odd:1")
    assert len(data) % 10_240 == 0
    found = members(data)
    names = list(found)
    assert names[:3] == [".", "./.hidden", "./absolute"]
    assert all(os.path.dirname(name) in names[:position] for position, name in enumerate(names) if position)
    assert {f"./{LATIN}", "./café", f"./{LONG}/{LONG}/{LONG}", f"./{LATIN}-{LONG}"} <= set(names)
    assert (found["./across"].type, found["./setuid"].type) == (tarfile.REGTYPE, tarfile.LNKTYPE)
    assert found["./setuid"].linkname == found["./d/across-again"].linkname == "./across"
    assert found["./secret"].uid == 3_000_000_000
    assert found["./d/old"].mtime == -86_400.5
    assert found["./d"].pax_headers["mtime"].startswith("1600000000.12345")
    assert (found["./disk"].devmajor, found["./disk"].devminor) == (259, 70_000)
    noted = found["./noted"].pax_headers
    assert noted["SCHILY.xattr.user.note"] == "a\0b"
    assert noted["SCHILY.xattr.security.capability"].encode("utf-8", "surrogateescape") == CAPABILITY
    assert found["./sparse"].size == SPARSE_SIZE
    assert len(data) < 3_072_000 + SPARSE_SIZE, "holes are not written out"


def test_contents(odd):
    with tarfile.open(fileobj=io.BytesIO(tar(odd, "odd:1"))) as archive:
        assert archive.extractfile("./becomes-file").read() == b"now a file"
        assert archive.extractfile("./big").read() == bytes(range(256)) * 12_000
        sparse = archive.extractfile("./sparse").read()
    assert sparse[:4096] == bytes(4096)
    assert sparse[4096:8192] == b"data" * 1024
    assert sparse[-512:] == b"e" * 512
    assert len(sparse) == SPARSE_SIZE


@pytest.mark.parametrize("arguments", [["odd:1", "/d"], ["odd:1", "d"], ["odd:1:/d"], ["odd:1:/to-folder"]])
def test_a_folder(odd, arguments):
    assert list(members(tar(odd, *arguments))) == [".", "./across-again", "./old"]


def test_equal_bytes(odd, tmp_path):
    other = Imagefs(tmp_path / "store")
    other("import", "-", stdin=odd_archive())
    assert tar(other, "odd:1") == tar(odd, "odd:1")
    odd("tar", "odd:1", "-o", tmp_path / "out.tar")
    assert (tmp_path / "out.tar").read_bytes() == tar(odd, "odd:1")


def test_it_never_seeks(odd):
    class Stream:
        def __init__(self) -> None:
            self.size = 0

        def write(self, data: bytes) -> None:
            self.size += len(data)

    stream = Stream()
    with library.Store(odd.store) as store:
        library.write_tar(store, "odd:1", stream)
    assert stream.size == len(tar(odd, "odd:1"))


@pytest.mark.parametrize(
    ("arguments", "status", "problem"),
    [
        (["odd:1", "/nope"], 1, "imagefs: odd:1:/nope: No such file or directory\n"),
        (["odd:1", "/one"], 1, "imagefs: odd:1:/one: Not a directory\n"),
        (["nowhere"], 1, "imagefs: nowhere: no such image\n"),
        (["odd:1:/d", "/d"], 2, "given twice"),
    ],
)
def test_errors_leave_no_file(odd, tmp_path, arguments, status, problem):
    result = odd("tar", "-o", tmp_path / "out.tar", *arguments, check=False)
    assert result.status == status
    assert problem in result.err
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("where", "arguments"),
    [("imagefs.browse.tarout.write_tar", ["tar", "odd:1"]), ("imagefs.api.export_archive", ["export", "odd:1"])],
)
@pytest.mark.parametrize(("how", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_an_interruption_leaves_no_file(odd, tmp_path, where, arguments, how, status):
    done = interrupted(odd, where, how, *arguments, "-o", tmp_path / "out.tar")
    assert (done.returncode, done.stderr.strip()) == (status, b"")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("command", ["tar", "export"])
def test_to_a_pipe_by_its_path(odd, tmp_path, command):
    odd(command, "odd:1", "-o", tmp_path / "out.tar")
    expected = (tmp_path / "out.tar").read_bytes()
    for path in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
        assert odd(command, "odd:1", "-o", path).out.encode("utf-8", "surrogateescape") == expected


def test_what_can_be_written_in_place_of(odd, tmp_path):
    """A file of the longest name there is; one that a link leads to; one that has no name any more."""
    longest = "n" * 255
    odd("tar", "odd:1:/d", "-o", tmp_path / longest)
    expected = (tmp_path / longest).read_bytes()
    assert len(expected) == 10_240
    (tmp_path / "link").symlink_to(longest)
    (tmp_path / longest).write_bytes(b"old")
    odd("tar", "odd:1:/d", "-o", tmp_path / "link")
    assert (tmp_path / longest).read_bytes() == expected
    assert (tmp_path / "link").is_symlink()
    command = [sys.executable, "-m", "imagefs", "--store", str(odd.store), "tar", "odd:1:/d", "-o", "/dev/stdout"]
    with open(tmp_path / "unnamed", "w+b") as unnamed:
        os.unlink(tmp_path / "unnamed")
        subprocess.run(command, stdout=unnamed, check=True)
        assert os.pread(unnamed.fileno(), 20_000, 0) == expected
    assert sorted(os.listdir(tmp_path)) == sorted([longest, "link"])


@pytest.mark.parametrize(
    ("name", "problem"),
    [("", "Is a directory"), ("file/out.tar", "Not a directory"), ("n" * 256, "File name too long")],
)
def test_what_cannot_be_written(odd, tmp_path, name, problem):
    (tmp_path / "file").write_text("")
    result = odd("tar", "odd:1", "-o", f"{tmp_path}/{name}", check=False)
    assert (result.status, result.err) == (1, f"imagefs: {tmp_path}/{name}: {problem}\n")
    assert os.listdir(tmp_path) == ["file"]


def test_a_tar_to_a_terminal_is_refused(odd):
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "imagefs", "--store", str(odd.store), "tar", "odd:1"]
    done = subprocess.run(command, stdout=child, stderr=subprocess.PIPE, check=False)
    os.close(child)
    os.close(parent)
    assert done.returncode == 2
    assert b"terminal" in done.stderr
