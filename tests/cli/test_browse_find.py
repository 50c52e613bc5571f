"""`imagefs find`. What a glob matches is in tests/unit/test_matching.py."""

import pytest
from support.command import Imagefs
from support.odd import LATIN, LONG, odd_archive


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> Imagefs:
    imagefs = Imagefs(tmp_path_factory.mktemp("odd") / "store")
    imagefs("import", "--no-unpack", "-", stdin=odd_archive())
    return imagefs


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["odd:1", "old"], ["/d/old"]),
        (["odd:1", "to-*"], ["/to-folder", "/to-latin", "/to-long"]),
        (["odd:1", "/unwritable/*"], ["/unwritable/below", "/unwritable/file"]),
        (["odd:1", "unwritable/**"], ["/unwritable/below", "/unwritable/below/file", "/unwritable/file"]),
        (["odd:1", "caf?"], ["/café", f"/{LATIN}"][::-1]),
        (["odd:1", ".*"], ["/.hidden"]),
        (["odd:1:/unwritable", "file"], ["/unwritable/below/file", "/unwritable/file"]),
        (["odd:1:/to-folder", "*"], ["/d", "/d/across-again", "/d/old"]),
        (["odd:1:/implied/parents/here"], ["/implied/parents/here"]),
        (["odd:1", "--type", "b", "--type", "c"], ["/disk", "/null"]),
        (["odd:1", "--type", "p"], ["/pipe"]),
        (["odd:1", "gone"], []),
        (["odd:1#1", "gone"], ["/gone"]),
        (["odd:1", f"**/{LONG}", "--type", "f"], [f"/{LONG}/{LONG}/{LONG}"]),
        (["odd:1:/unwritable/below", "/"], []),
        (["odd:1:/unwritable", "/below"], []),
        (["odd:1:/unwritable", "/unwritable/below"], ["/unwritable/below"]),
        (["odd:1", "/unwritable/"], []),
    ],
)
def test_paths(odd, arguments, found):
    found = sorted(found, key=lambda name: name.encode("utf-8", "surrogateescape"))
    assert odd("find", *arguments).lines == found


def test_names_for_xargs(odd):
    assert odd("find", "-0", "odd:1", "new*").out == "/new\nline \x1b[31m\0"


def test_long_format(odd):
    (line,) = odd("find", "-l", "odd:1", "setuid").lines
    assert line.split()[:5] == ["-rwsr-xr-x", "3", "1000", "1000", "2"]
    assert line.endswith(" /setuid")
    (line,) = odd("find", "-l", "odd:1", "link").lines
    assert line.endswith(" /link -> d/old")


def test_errors(odd):
    result = odd("find", "odd:1:/nope", "*", check=False)
    assert (result.status, result.err) == (1, "imagefs: odd:1:/nope: No such file or directory\n")
    result = odd("find", "odd:1", "{1..100000}", check=False)
    assert result.status == 2
    assert "limit" in result.err
