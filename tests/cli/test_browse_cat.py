"""`imagefs cat`, and what all commands that look into images do with errors and pipes."""

import subprocess
import sys

import pytest
from support.command import Imagefs
from support.odd import SPARSE_SIZE, odd_archive


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
    "arguments", [["cat", "odd:1:/big"], ["tar", "odd:1"], ["ls", "--json", "-R", "odd:1"], ["find", "odd:1"]]
)
def test_a_reader_that_has_enough(odd, arguments):
    command = [sys.executable, "-m", "imagefs", "--store", str(odd.store), *arguments]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    running.stdout.close()
    assert running.stderr.read() == b""
    running.stderr.close()
    assert running.wait() == 1


def test_a_full_disk(odd):
    command = [sys.executable, "-m", "imagefs", "--store", str(odd.store), "cat", "odd:1:/big"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(b"imagefs: No space left on device\n")
