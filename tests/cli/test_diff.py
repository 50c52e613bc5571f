"""`imagefs diff`: what differs between two images, or two points of one chain."""

import base64
import json

import pytest
from support.archives import (
    OciArchive,
    character_device,
    digest_of,
    directory,
    fifo,
    file,
    gzip_layer,
    hardlink,
    layer,
    symlink,
    whiteout,
)
from support.command import Imagefs

BASE = layer(
    directory("etc"), file("etc/passwd", b"root\n"), file("etc/motd", b"hello\n"), file("etc/hosts", b"::1\n"),
    file("srv/a", b"same"), hardlink("srv/b", "srv/a"), symlink("bin", "usr/bin"), file("dir/x"), fifo("pipe"),
    character_device("null", 1, 3), file("attributes", xattrs={"user.a": b"1"}), file("big", b"1" * 3_000_000),
)  # fmt: skip
ABOVE = layer(
    file("etc/passwd", b"me\n"), file("etc/motd", b"HELLO\n"), file("etc/hosts", b"::1\n", mtime=1), whiteout("srv/b"),
    file("srv/c", b"new"), symlink("bin", "sbin"), file("dir"), file("pipe"), character_device("null", 1, 5),
    file("attributes", mode=0o600, uid=1, xattrs={"user.a": b"\xff"}), file("big", b"1" * 2_999_999 + b"2"),
)  # fmt: skip

CHANGES = [
    "C /attributes (mode, owner, xattrs)",
    "C /big (content)",
    "C /bin (target)",
    "C /dir (type, mode, mtime)",
    "D /dir/x",
    "C /etc/hosts (mtime)",
    "C /etc/motd (content)",
    "C /etc/passwd (content, size)",
    "C /null (device)",
    "C /pipe (type)",
    "D /srv/b",
    "A /srv/c",
]


@pytest.fixture
def app(imagefs: Imagefs) -> Imagefs:
    archive = OciArchive()
    archive.add_image([BASE], name="app:1")
    archive.add_image([BASE, ABOVE], name="app:2")
    archive.add_image([layer(file("other"))], name="other")
    imagefs("import", "-", stdin=archive.bytes())
    return imagefs


def test_text(app):
    assert app("diff", "app:1", "app:2").lines == CHANGES
    assert app("diff", "app:2#1", "app:2").lines == CHANGES
    assert app("diff", "app:2", "app:2").lines == []
    assert app("diff", "app:1", "app:2#1").lines == []


def test_backwards(app):
    lines = app("diff", "app:2", "app:1").lines
    assert [line for line in lines if line[0] != "C"] == ["A /dir/x", "A /srv/b", "D /srv/c"]
    assert "C /dir/ (type, mode, mtime)" in lines


def test_the_empty_tree(app):
    everything = app("diff", "app:1#0", "app:1").lines
    assert everything == [
        "A /attributes", "A /big", "A /bin", "A /dir/", "A /dir/x", "A /etc/", "A /etc/hosts", "A /etc/motd",
        "A /etc/passwd", "A /null", "A /pipe", "A /srv/", "A /srv/a", "A /srv/b",
    ]  # fmt: skip
    assert app("diff", "app:1", "other#0").lines == [line.replace("A", "D", 1) for line in everything]


def test_json(app):
    found = json.loads(app("diff", "--json", "app:1", "app:2").out)
    assert [each["path"] for each in found] == [line.split(" ")[1] for line in CHANGES]
    changes = {each["path"]: each.get("changes") for each in found}
    origin = [{"position": 1, "diffID": digest_of(BASE)}, {"position": 2, "diffID": digest_of(ABOVE)}]
    assert changes["/attributes"] == {
        "mode": ["0644", "0600"],
        "owner": [[0, 0], [1, 0]],
        "xattrs": [{"user.a": "MQ=="}, {"user.a": "/w=="}],
    }
    assert changes["/bin"] == {"target": ["usr/bin", "sbin"]}
    assert changes["/dir"]["type"] == ["directory", "file"]
    assert changes["/etc/hosts"] == {"mtime": [[1_600_000_000, 0], [1, 0]]}
    assert changes["/etc/motd"] == {"content": origin}
    assert changes["/etc/passwd"] == {"content": origin, "size": [5, 3]}
    assert changes["/null"] == {"device": [[1, 3], [1, 5]]}
    assert {"path": "/srv/c", "kind": "added", "type": "file"} in found
    assert {"path": "/srv/b", "kind": "removed", "type": "file"} in found
    assert json.loads(app("diff", "--json", "app:1", "app:1").out) == []


def test_subtrees(app):
    assert app("diff", "app:1:/etc", "app:2:/etc").lines == [line for line in CHANGES if "/etc/" in line]
    assert app("diff", "app:1:/srv", "app:2:/srv/").lines == ["D /srv/b", "A /srv/c"]
    assert app("diff", "app:1:/etc/motd", "app:2:/etc/motd").lines == ["C /etc/motd (content)"]
    assert app("diff", "app:1:/etc/motd", "app:1:/etc/passwd").lines == ["C /etc/passwd (content, size)"]
    assert app("diff", "app:1:/srv", "app:1:/dir").lines == ["D /dir/a", "D /dir/b", "A /dir/x"]


def test_links_lead_to_what_is_compared(imagefs):
    archive = OciArchive()
    archive.add_image([layer(file("usr/bin/a"), symlink("bin", "/usr/bin"))], name="old")
    archive.add_image([layer(file("bin/a"), file("bin/b"))], name="new")
    imagefs("import", "-", stdin=archive.bytes())
    assert imagefs("diff", "old:/bin", "new:/bin").lines == ["A /bin/b"]


def test_ignore(app):
    assert app("diff", "--ignore", "mtime", "app:1:/etc", "app:2:/etc").lines == [
        "C /etc/motd (content)", "C /etc/passwd (content, size)",
    ]  # fmt: skip
    lines = app("diff", "--ignore", "content", "--ignore", "mtime", "app:1:/etc", "app:2:/etc").lines
    assert lines == ["C /etc/passwd (size)"]
    assert app("diff", "--ignore", "colour", "app:1", "app:2", check=False).status == 2


def test_exit_code(app):
    assert app("diff", "app:1", "app:2").status == 0
    assert app("diff", "--exit-code", "app:1", "app:1").status == 0
    assert app("diff", "--exit-code", "app:1", "app:2", check=False).status == 1
    assert app("diff", "--exit-code", "--ignore", "mtime", "app:1:/etc/hosts", "app:2:/etc/hosts").status == 0
    trouble = app("diff", "--exit-code", "app:1", "app:3", check=False)
    assert (trouble.status, trouble.err) == (2, "imagefs: app:3: no such image\n")
    assert app("diff", "app:1", "app:3", check=False).status == 1
    result = app("diff", "app:1:/nothing", "app:2", check=False)
    assert (result.status, result.err) == (1, "imagefs: docker.io/library/app:1:/nothing: No such file or directory\n")


def test_all_errors_of_exit_code(app):
    """Also those that are not about images."""
    catalog = app.store / "catalog.sqlite"
    catalog.write_bytes(b"no database" * 1000)
    for path in app.store.glob("catalog.sqlite-*"):
        path.unlink()
    result = app("diff", "--exit-code", "app:1", "app:2", check=False)
    assert result.status == 2
    assert result.err.endswith(": file is not a database\n")
    assert len(result.err.splitlines()) == 1


def test_hard_links(imagefs):
    archive = OciArchive()
    linked = layer(file("a", b"a"), hardlink("b", "a"), hardlink("c", "a"))
    archive.add_image([linked], name="linked")
    archive.add_image([linked, layer(file("c", b"a"))], name="copied")
    archive.add_image([linked, layer(whiteout("c"))], name="removed")
    imagefs("import", "-", stdin=archive.bytes())
    assert imagefs("diff", "linked", "copied").lines == ["C /a (links)", "C /b (links)", "C /c (links)"]
    found = json.loads(imagefs("diff", "--json", "linked", "copied").out)
    assert [each["changes"]["links"] for each in found] == [
        [["/b", "/c"], ["/b"]], [["/a", "/c"], ["/a"]], [["/a", "/b"], []],
    ]  # fmt: skip
    assert imagefs("diff", "--ignore", "links", "linked", "copied").lines == []
    assert imagefs("diff", "linked", "removed").lines == ["D /c"]


def test_many_names_of_one_file(imagefs):
    archive = OciArchive()
    for number, data in enumerate((b"a", b"b")):
        archive.add_image(
            [layer(file("f0", data), *[hardlink(f"f{name}", "f0") for name in range(1, 3000)])], name=f"many:{number}"
        )
    imagefs("import", "-", stdin=archive.bytes())
    lines = imagefs("diff", "many:0", "many:1").lines
    assert lines == sorted(f"C /f{name} (content)" for name in range(3000))


def test_sparse_files_of_many_pieces(imagefs):
    def sparse(count, data):
        pieces = "".join(f"{8192 * number}\n1\n" for number in range(count))
        content = f"{count}\n{pieces}".encode()
        content += bytes(-len(content) % 512) + data
        return file("sparse", content, pax={
            "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "sparse",
            "GNU.sparse.realsize": str(8192 * count),
        })  # fmt: skip

    archive = OciArchive()
    count = 6000
    archive.add_image([layer(sparse(count, b"x" * count))], name="sparse:1")
    archive.add_image([layer(file("other"), sparse(count, b"x" * count))], name="sparse:2")
    archive.add_image([layer(sparse(count, b"x" * (count - 1) + b"y"))], name="sparse:3")
    imagefs("import", "-", stdin=archive.bytes())
    assert imagefs("diff", "sparse:1", "sparse:2").lines == ["A /other"]
    assert imagefs("diff", "sparse:1", "sparse:3").lines == ["C /sparse (content)"]


def test_the_order_of_a_report(imagefs):
    """By path name by name, with names that have lost a link among those that were met on the way."""
    archive = OciArchive()
    linked = layer(file("a/b", b"1"), file("a-b", b"2"), hardlink("a/c", "a-b"), hardlink("z", "a-b"), file("y", b"3"))
    archive.add_image([linked], name="order:1")
    archive.add_image([linked, layer(file("a/b", b"!"), file("y", b"?"), file("z", b"2"), file("a0"))], name="order:2")
    imagefs("import", "-", stdin=archive.bytes())
    assert imagefs("diff", "order:1", "order:2").lines == [
        "C /a/b (content)", "C /a/c (links)", "C /a-b (links)", "A /a0", "C /y (content)", "C /z (links)",
    ]  # fmt: skip


def test_sparse_files(imagefs):
    def sparse(data, start):
        return {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": f"{start},{len(data)}",
                "GNU.sparse.size": str(1 << 40), "GNU.sparse.numblocks": "1"}  # fmt: skip

    archive = OciArchive()
    for name, data, start in (("one", b"x", 1 << 39), ("same", b"x", 1 << 39), ("moved", b"x", 1), ("other", b"y", 1)):
        archive.add_image([layer(file(name), file("sparse", data, pax=sparse(data, start)))], name=name)
    imagefs("import", "-", stdin=archive.bytes())
    assert imagefs("diff", "one", "same").lines == ["D /one", "A /same"]
    assert imagefs("diff", "one", "moved").lines == ["A /moved", "D /one", "C /sparse (content)"]
    assert imagefs("diff", "moved", "other").lines == ["D /moved", "A /other", "C /sparse (content)"]


def test_nothing_steers_a_terminal(imagefs):
    archive = OciArchive()
    archive.add_image([gzip_layer(file("a\x1b[2J\n\udcff"))], name="odd")
    archive.add_image([gzip_layer(symlink("a", "b"))], name="link")
    archive.add_image([gzip_layer(symlink("a", "\udcff"))], name="odd-link")
    imagefs("import", "-", stdin=archive.bytes())
    assert imagefs("diff", "odd#0", "odd").lines == [r"A /a\x1b[2J\x0a\xff"]
    (found,) = json.loads(imagefs("diff", "--json", "odd#0", "odd").out)
    assert base64.b64decode(found["pathBase64"]) == b"/a\x1b[2J\n\xff"
    (found,) = json.loads(imagefs("diff", "--json", "link", "odd-link").out)
    assert found["changes"] == {"target": ["b", {"base64": "/w=="}]}
