"""`imagefs cat`, and what all commands that look into images do with errors and pipes."""

import sqlite3
import subprocess
import sys
import tracemalloc
from contextlib import contextmanager

import pytest
from support.archives import OciArchive, file, zstd_layer
from support.command import Imagefs
from support.odd import SPARSE_SIZE, odd_archive

from imagefs.browse.address import parse
from imagefs.browse.difference import Side, differences
from imagefs.browse.opened import opened
from imagefs.browse.paths import find
from imagefs.cli.errors import told
from imagefs.store.store import Store


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> Imagefs:
    imagefs = Imagefs(tmp_path_factory.mktemp("odd") / "store")
    imagefs("import", "-", stdin=odd_archive())
    return imagefs


def test_files_one_after_the_other(odd):
    assert odd("cat", "odd:1:/d/old", "odd:1:/becomes-file", "odd:1#1:/gone").out == "oldnow a filegone"


@pytest.mark.parametrize("path", ["/link", "/absolute", "/to-folder/old", "/../d/./old", "/d/../to-folder//old"])
def test_links_are_followed_inside_the_image(odd, path):
    assert odd("cat", f"odd:1:{path}").out == "old"


def test_links_are_no_way_out(odd):
    result = odd("cat", "odd:1:/../../../../etc/passwd", check=False)
    assert (result.status, result.out) == (1, "")


def test_hard_links_to_other_layers(odd):
    assert odd("cat", "odd:1:/across").out == "#!"


def test_holes_are_zeros(odd):
    expected = bytes(4096) + b"data" * 1024
    expected += bytes(SPARSE_SIZE - 512 - len(expected)) + b"e" * 512
    assert odd("cat", "odd:1:/sparse").out.encode() == expected
    assert odd("cat", "odd:1:/hole").out.encode() == bytes(SPARSE_SIZE)


def test_a_file_of_several_pieces(odd):
    assert odd("cat", "odd:1:/big").out.encode("utf-8", "surrogateescape") == bytes(range(256)) * 12_000


def test_what_is_no_file_is_told_and_the_rest_is_printed(odd):
    wrong = ["/d", "/null", "/pipe", "/dangling", "/nope"]
    result = odd("cat", *(f"odd:1:{path}" for path in wrong), "odd:1:/d/old", check=False)
    assert (result.status, result.out) == (1, "old")
    assert result.err.splitlines() == [
        "imagefs: odd:1:/d: Is a directory",
        "imagefs: odd:1:/null: not a regular file",
        "imagefs: odd:1:/pipe: not a regular file",
        "imagefs: odd:1:/dangling: No such file or directory",
        "imagefs: odd:1:/nope: No such file or directory",
    ]


def test_an_image_without_a_path_is_wrong_usage(odd):
    result = odd("cat", "odd:1", check=False)
    assert result.status == 2
    assert "IMAGE:PATH" in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["cat", "odd:1:/big"], ["tar", "odd:1"], ["ls", "--json", "-R", "odd:1"], ["find", "odd:1"], ["images"],
        ["tar", "-o", "/dev/stdout", "odd:1"], ["which", "odd:1:/d"], ["diff", "odd:1#0", "odd:1"], ["--help"],
        ["diff", "--exit-code", "odd:1#0", "odd:1"], ["diff", "--json", "odd:1#0", "odd:1"], ["ls", "--help"],
    ],
)  # fmt: skip
def test_a_reader_that_has_enough(odd, arguments):
    """As with SIGPIPE, which a shell shows as 141, and without a word."""
    command = [sys.executable, "-m", "imagefs", "--store", str(odd.store), *arguments]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    running.stdout.close()
    assert running.stderr.read() == b""
    running.stderr.close()
    assert running.wait() == 141


@pytest.mark.parametrize(
    "arguments", [["ls", "odd:1"], ["cat", "odd:1:/d/old"], ["images"], ["tar", "odd:1"], ["diff", "odd:1#0", "odd:1"]]
)
def test_without_a_standard_output(odd, arguments):
    done = without("1", odd, *arguments)
    assert (done.returncode, done.stderr) == (1, b"imagefs: standard output: it is closed\n")


def test_what_prints_nothing_needs_no_standard_streams(odd, tmp_path):
    assert without("1", odd, "cp", "odd:1:/d/old", tmp_path).returncode == 0
    assert (tmp_path / "old").read_bytes() == b"old"
    assert without("2", odd, "cat", "odd:1:/d/old").stdout == b"old"
    assert without("2", odd, "cat", "odd:1:/nope").returncode == 1
    closed = without("0", odd, "import", "-")
    assert (closed.returncode, closed.stderr) == (1, b"imagefs: /dev/null: empty file\n")


def without(stream, odd, *arguments):
    """Run a command with a stream closed."""
    closing = f"exec {stream}>&-; " * bool(stream)
    command = [sys.executable, "-m", "imagefs", "--store", str(odd.store), *map(str, arguments)]
    return subprocess.run(
        ["sh", "-c", f'{closing}exec "$@"', "sh", *command], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )


def test_a_full_disk(odd):
    command = [sys.executable, "-m", "imagefs", "--store", str(odd.store), "cat", "odd:1:/big"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr == b"imagefs: No space left on device\n"


def test_errors_name_the_image_as_it_was_called(odd):
    for address in ("odd:1:/nope", "odd:1:nope"):
        assert odd("cat", address, check=False).err == "imagefs: odd:1:/nope: No such file or directory\n"


def test_a_database_that_fails_may_be_one_of_the_temporary_files(monkeypatch):
    monkeypatch.setenv("TMPDIR", "/some/where")
    error = sqlite3.OperationalError("database or disk is full")
    assert told(error) == "a database in the store or in /some/where: database or disk is full"


def test_odd_letters_in_an_error(odd):
    result = odd("cat", "odd:1:/\udcff\x1b\u202e", check=False)
    assert result.err == "imagefs: odd:1:/\\xff\\x1b\\u202e: No such file or directory\n"
    assert odd("ls", "odd:1:/\udcff", check=False).err == "imagefs: odd:1:/\\xff: No such file or directory\n"


def test_deep_folders_cost_what_they_are_deep(imagefs):
    """And not the square of that: no path is kept for each folder on the way."""
    path = "a/" * 4000
    archive = OciArchive()
    archive.add_image([zstd_layer(file(f"{path}f", b"before"))], name="deep:1")
    archive.add_image([zstd_layer(file(f"{path}f", b"after!"))], name="deep:2")
    imagefs("import", "-", stdin=archive.bytes())
    with (
        Store(imagefs.store) as store,
        opened(store, parse("deep:1")) as before,
        opened(store, parse("deep:2")) as after,
        memory(30_000_000),
    ):
        assert len(find(before.chain, f"/{path}f".encode()).names) == 4001
        (found,) = differences(Side(before.chain), Side(after.chain))
        assert found.path == (*[b"a"] * 4000, b"f")
    assert imagefs("diff", "deep:1", "deep:2").out == f"C /{path}f (content)\n"


@contextmanager
def memory(most):
    """A block that may take so many bytes."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most
