"""`imagefs ls`."""

import json
import os
from base64 import b64decode

import pytest
from support.archives import OciArchive, directory, file, gzip_layer, symlink
from support.command import Imagefs
from support.odd import LATIN, odd_archive
from support.terminals import shown_on_terminal


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> Imagefs:
    imagefs = Imagefs(tmp_path_factory.mktemp("odd") / "store")
    imagefs("import", "--no-unpack", "-", stdin=odd_archive())
    return imagefs


def test_names_sorted_by_their_bytes(odd):
    names = odd("ls", "odd:1").out.replace("new\nline", "new line").splitlines()
    assert names == sorted(names, key=os.fsencode)
    assert {".hidden", "across", LATIN, "café", "new line \x1b[31m"} <= set(names)
    assert not {"gone", "three"} & set(names)


def test_a_file_lists_itself_and_a_link_what_it_leads_to(odd):
    assert odd("ls", "odd:1:/one").lines == ["/one"]
    assert odd("ls", "odd:1:/d").lines == ["across-again", "old"]
    assert odd("ls", "odd:1:/to-folder").lines == ["across-again", "old"]
    assert odd("ls", "odd:1:/link").lines == ["/link"]
    assert odd("ls", "odd:1:/dangling").lines == ["/dangling"]


def test_long_format(odd, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    lines = {line.split()[-1]: line.split() for line in odd("ls", "-l", "odd:1").lines if "->" not in line}
    assert lines["d"] == ["drwxrwxrwt", "1", "7", "8", "0", "2020-09-13", "12:26", "d"]
    assert lines["setuid"][:5] == ["-rwsr-xr-x", "3", "1000", "1000", "2"]
    assert lines["null"][:6] == ["crw-rw-rw-", "1", "0", "0", "1,", "3"]
    assert lines["disk"][:6] == ["brw-rw----", "1", "0", "6", "259,", "70000"]
    assert lines["sparse"][4] == "3000000"
    assert odd("ls", "-l", "odd:1:/link").lines == ["lrwxrwxrwx 1 0 0 5 2009-02-13 23:31 /link -> d/old"]
    assert odd("ls", "-l", "odd:1:/d/old").lines == ["-rw-r--r-- 1 0 0 3 1969-12-30 23:59 /d/old"]
    starts = {len(line) - len(line.split(None, 4)[4]) for line in odd("ls", "-l", "odd:1:/unwritable").lines}
    assert len(starts) == 1, "the columns are even"


def test_recursive(odd):
    assert odd("ls", "-R", "odd:1:/unwritable").lines == [
        "/unwritable:", "below", "file", "", "/unwritable/below:", "file",
    ]  # fmt: skip
    assert "/implied/parents:" in odd("ls", "-lR", "odd:1").lines


def test_json(odd):
    found = {each["path"]: each for each in json.loads(odd("ls", "--json", "odd:1").out)}
    assert found["/d"]["mode"] == "1777"
    assert (found["/d"]["mtime"], found["/d"]["mtimeNanoseconds"] // 1000) == (1_600_000_000, 123_456)
    assert (found["/d"]["uid"], found["/d"]["gid"]) == (7, 8)
    assert (found["/sparse"]["type"], found["/sparse"]["size"]) == ("file", 3_000_000)
    assert found["/link"]["target"] == "d/old"
    assert found["/disk"]["device"] == [259, 70_000]
    assert b64decode(found["/noted"]["xattrs"]["user.note"]) == b"a\0b"
    assert b64decode(found["/to-latin"]["targetBase64"]) == os.fsencode(LATIN)
    assert {each["nlink"] for each in found.values() if each["path"] in ("/one", "/two", "/to-long")} == {2}
    assert found["/one"]["layer"] != found["/link"]["layer"]
    assert "pathBase64" not in found["/one"]
    assert [each["path"] for each in json.loads(odd("ls", "-R", "--json", "odd:1:/implied").out)] == [
        "/implied/parents",
        "/implied/parents/here",
    ]
    assert json.loads(odd("ls", "--json", "odd:1:/to-folder").out)[0]["type"] == "symlink"
    assert json.loads(odd("ls", "--json", "odd:1:/noted").out)[0]["path"] == "/noted"


def test_an_empty_folder(imagefs):
    archive = OciArchive()
    archive.add_image([gzip_layer(directory("empty"), symlink("a", "a"))], name="app:1")
    imagefs("import", "-", stdin=archive.bytes())
    assert imagefs("ls", "app:1:/empty").out == ""
    assert imagefs("ls", "-l", "app:1:/empty").out == ""
    assert json.loads(imagefs("ls", "--json", "app:1:/empty").out) == []
    assert imagefs("ls", "-R", "app:1").out == "/:\na\nempty\n\n/empty:\n"
    assert imagefs("ls", "app:1:/a").lines == ["/a"], "a link to itself"


def test_the_lowest_layers(odd):
    assert {"gone", "three"} <= set(odd("ls", "odd:1#1").lines)
    assert odd("ls", "odd:1@linux-amd64:/d").lines == ["across-again", "old"]


def test_nothing_steers_a_terminal(odd):
    done, shown = shown_on_terminal(odd, "stdout", "ls", "odd:1")
    assert done.returncode == 0
    lines = shown.replace(b"\r\n", b"\n").split(b"\n")
    assert rb"new\x0aline \x1b[31m" in lines
    assert rb"caf\xe9" in lines
    assert "café".encode() in lines
    assert b"\x1b" not in shown


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("odd:1:/nope", "odd:1:/nope: No such file or directory"),
        ("odd:1:/one/below", "odd:1:/one/below: Not a directory"),
        ("odd:1:/one/", "odd:1:/one/: Not a directory"),
        ("odd:1:/\x1b[2J", r"odd:1:/\x1b[2J: No such file or directory"),
        ("odd:1#9", "docker.io/library/odd:1#9: it has 4 layers"),
        ("nowhere", "nowhere: no such image"),
    ],
)
def test_errors(odd, address, problem):
    result = odd("ls", address, check=False)
    assert (result.status, result.err, result.out) == (1, f"imagefs: {problem}\n", "")


def test_a_folder_of_many(imagefs):
    archive = OciArchive()
    archive.add_image([gzip_layer(*(file(f"wide/{number:05}") for number in range(5000)))], name="wide:1")
    imagefs("import", "-", stdin=archive.bytes())
    assert imagefs("ls", "wide:1:/wide").lines == [f"{number:05}" for number in range(5000)]
