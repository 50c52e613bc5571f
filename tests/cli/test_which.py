"""`imagefs which`: which layer a path comes from, and what it was before."""

import base64
import json

import pytest
from support.archives import (
    ARM64,
    OciArchive,
    character_device,
    digest_of,
    directory,
    file,
    gzip_layer,
    hardlink,
    opaque,
    symlink,
    uncompressed,
    whiteout,
)
from support.command import Imagefs

LAYERS = [
    gzip_layer(
        directory("etc"), file("etc/passwd", b"root\n", mode=0o600), symlink("bin", "usr/bin"),
        file("usr/bin/sh", b"#!"), file("srv/old"), file("srv/older"),
    ),
    gzip_layer(file("etc/passwd", b"root\nme\n", uid=7, mtime=1_700_000_000.25), whiteout("srv/old")),
    gzip_layer(hardlink("etc/shadow", "etc/passwd"), opaque("srv"), character_device("null", 1, 3)),
]  # fmt: skip
HISTORY = [
    {"created": "2024-01-01T00:00:00Z", "created_by": "ADD rootfs.tar /\n  # done"},
    {"created_by": 'CMD ["sh"]', "empty_layer": True},
    {"created_by": "RUN useradd\x1b[31m me"},
    {"comment": "by hand"},
]


@pytest.fixture
def app(imagefs: Imagefs) -> Imagefs:
    archive = OciArchive()
    archive.add_image(LAYERS, name="app:1", history=HISTORY)
    imagefs("import", "-", stdin=archive.bytes())
    return imagefs


def versions(app, path):
    return json.loads(app("which", "--json", path).out)["versions"]


def test_the_layer_and_what_was_before(app):
    diff_ids = [digest_of(uncompressed(each)) for each in LAYERS]
    assert app("which", "app:1:/etc/passwd").lines == [
        "docker.io/library/app:1:/etc/passwd",
        "layer 2 of 3: file, -rw-r--r-- 7:0, 8 bytes, 2023-11-14T22:13:20.25Z",
        f"  diff ID  {diff_ids[1]}",
        f"  blob     {digest_of(LAYERS[1])}",
        r"  made by  RUN useradd\x1b[31m me",
        "layer 1 of 3: file, -rw------- 0:0, 5 bytes, 2020-09-13T12:26:40Z",
        f"  diff ID  {diff_ids[0]}",
        f"  blob     {digest_of(LAYERS[0])}",
        "  made by  ADD rootfs.tar / # done",
    ]


def test_json(app):
    found = json.loads(app("which", "--json", "app:1:/etc/passwd").out)
    newest, oldest = found.pop("versions")
    assert found == {"image": "docker.io/library/app:1", "path": "/etc/passwd", "present": True, "layers": 3}
    assert oldest == {
        "what": "file",
        "position": 1,
        "diffID": digest_of(uncompressed(LAYERS[0])),
        "blob": digest_of(LAYERS[0]),
        "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
        "history": {
            "created": "2024-01-01T00:00:00Z",
            "createdBy": "ADD rootfs.tar /\n  # done",
            "author": None,
            "comment": None,
        },
        "mode": "0600",
        "uid": 0,
        "gid": 0,
        "mtime": 1_600_000_000,
        "mtimeNanoseconds": 0,
        "size": 5,
    }
    assert newest["history"]["createdBy"] == "RUN useradd\x1b[31m me"


def test_links_on_the_way_are_followed(app):
    result = app("which", "app:1:/bin/sh")
    assert result.lines[0] == "docker.io/library/app:1:/usr/bin/sh"
    assert result.lines[1].startswith("layer 1 of 3: file, ")
    assert app("which", "app:1:/bin").lines[1].startswith("layer 1 of 3: symlink -> usr/bin, lrwxrwxrwx ")


def test_what_was_removed(app):
    lines = app("which", "app:1:/srv/old").lines
    assert lines[1] == "layer 2 of 3: removed, by a whiteout of /srv/old"
    assert lines[5].startswith("layer 1 of 3: file, ")
    removed, made = versions(app, "app:1:/srv/older")
    assert removed["what"] == "removed"
    assert removed["position"] == 3
    assert removed["removedBy"] == {"how": "opaque directory", "path": "/srv"}
    assert made["position"] == 1
    assert not json.loads(app("which", "--json", "app:1:/srv/old").out)["present"]
    lines = app("which", "app:1:/srv/older").lines
    assert lines[1] == "layer 3 of 3: removed, by an opaque whiteout in /srv"
    assert lines[4] == "  made by  by hand"


def test_hard_links_and_devices(app):
    line = app("which", "app:1:/etc/shadow").lines[1]
    assert line.startswith("layer 3 of 3: file, -rw-r--r-- 7:0, 8 bytes, ")
    assert line.endswith(", a hard link to /etc/passwd of layer 2")
    (version,) = versions(app, "app:1:/etc/shadow")
    assert version["linkTo"] == {"path": "/etc/passwd", "position": 2, "diffID": digest_of(uncompressed(LAYERS[1]))}
    assert app("which", "app:1:/null").lines[1].startswith("layer 3 of 3: character device 1, 3, crw-r--r-- ")
    assert versions(app, "app:1:/null")[0]["device"] == [1, 3]


def test_the_lowest_layers_only(app):
    assert app("which", "app:1#1:/srv/old").lines[1].startswith("layer 1 of 1: file, ")
    assert app("which", "app:1#0:/srv/old", check=False).status == 1


def test_the_name_says_which_layers(app):
    assert app("which", "app:1#1:/srv/old").lines[0] == "docker.io/library/app:1#1:/srv/old"
    assert json.loads(app("which", "--json", "app:1#1:/srv/old").out)["image"] == "docker.io/library/app:1#1"


def test_another_platform(imagefs):
    archive = OciArchive()
    manifests = [archive.add_manifest([gzip_layer(file("a"))]), archive.add_manifest([gzip_layer(file("b"))], ARM64)]
    archive.add_index(manifests, name="two:1")
    imagefs("import", "-", stdin=archive.bytes())
    assert imagefs("which", "two:1@linux-arm64-v8:/b").lines[0] == "docker.io/library/two:1@linux-arm64-v8:/b"
    assert imagefs("which", "two:1@linux-arm64-v8:/a", check=False).status == 1


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("app:1:/nothing", "docker.io/library/app:1:/nothing: no layer has it or ever had it"),
        ("app:1:/etc/passwd/x", "docker.io/library/app:1:/etc/passwd/x: no layer has it or ever had it"),
        ("app:1#0:/etc", "docker.io/library/app:1#0:/etc: no layer has it or ever had it"),
        ("app:1:/etc/passwd/..", "docker.io/library/app:1:/etc/passwd/..: Not a directory"),
        ("other:/etc", "other: no such image"),
        ("app:1", "app:1: neither IMAGE:/PATH nor a path in an imagefs mount"),
        ("/etc/passwd", "/etc/passwd: neither IMAGE:/PATH nor a path in an imagefs mount"),
        ("./a:/b", "./a:/b: neither IMAGE:/PATH nor a path in an imagefs mount"),
        ("app:1#4:/etc", "docker.io/library/app:1#4: it has 3 layers"),
    ],
)
def test_errors(app, argument, message):
    result = app("which", argument, check=False)
    assert (result.status, result.out, result.err) == (1, "", f"imagefs: {message}\n")


def test_an_image_without_a_history(imagefs):
    archive = OciArchive()
    archive.add_image(LAYERS, name="app:1", history=HISTORY[:2])
    imagefs("import", "-", stdin=archive.bytes())
    assert imagefs("which", "app:1:/etc").lines[-1] == "  made by  (the image does not say)"
    assert versions(imagefs, "app:1:/etc")[0]["history"] is None


def test_nothing_steers_a_terminal(imagefs):
    archive = OciArchive()
    names = ["esc\x1b[31m", "line\nfeed", "latin\udce9", "right\u202eleft", "ünïcode"]
    members = [file("-".join(names)), symlink("link", "to\x07\udce9")]
    archive.add_image([gzip_layer(*members), gzip_layer(hardlink("hard", "-".join(names)))], name="odd:1")
    imagefs("import", "-", stdin=archive.bytes())
    shown = r"esc\x1b[31m-line\x0afeed-latin\xe9-right\u202eleft-ünïcode"
    assert imagefs("which", f"odd:1:/{'-'.join(names)}").lines[0] == f"docker.io/library/odd:1:/{shown}"
    assert f"a hard link to /{shown} of layer 1" in imagefs("which", "odd:1:/hard").lines[1]
    assert r"symlink -> to\x07\xe9," in imagefs("which", "odd:1:/link").lines[1]
    found = json.loads(imagefs("which", "--json", f"odd:1:/{'-'.join(names)}").out)
    assert base64.b64decode(found["pathBase64"]) == b"/" + "-".join(names).encode("utf-8", "surrogateescape")
    assert found["path"] == "/esc\x1b[31m-line\nfeed-latin\ufffd-right\u202eleft-ünïcode"
    (link,) = versions(imagefs, "odd:1:/link")
    assert base64.b64decode(link["targetBase64"]) == b"to\x07\xe9"


def test_times_that_no_calendar_has(imagefs):
    archive = OciArchive()
    archive.add_image([gzip_layer(file("a", mtime=10**15), file("b", mtime=-1.5))], name="odd:1")
    imagefs("import", "-", stdin=archive.bytes())
    assert imagefs("which", "odd:1:/a").lines[1].endswith(", @1000000000000000")
    assert imagefs("which", "odd:1:/b").lines[1].endswith(", 1969-12-31T23:59:58.5Z")
    (version,) = versions(imagefs, "odd:1:/b")
    assert (version["mtime"], version["mtimeNanoseconds"]) == (-2, 500_000_000)
