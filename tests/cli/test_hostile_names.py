"""No command prints what steers a terminal, whatever an image has for names, labels and configuration."""

import json

import pytest
from support.archives import (
    AMD64,
    OCI_MANIFEST,
    OciArchive,
    TarEntry,
    digest_of,
    directory,
    file,
    gzip_layer,
    layer,
    symlink,
    tar_of,
)
from support.command import Imagefs

EVIL = "\x1b]0;evil\x07\x1b[31m\x9b2J\r\u202e"
"""A title, a colour, a screen wiped by an 8-bit control, a line begun again, and text from right to left."""

COMMANDS = [
    ("images",), ("images", "--json"), ("images", "--filter", f"label={EVIL}"), ("inspect", "app:1"),
    ("inspect", "--json", "app:1"), ("inspect", "art:1"), ("usage", "app:1"), ("usage", "--json", "app:1"),
    ("check",), ("check", "--json"), ("content", "ls"), ("content", "ls", "--json"), ("which", f"app:1:/{EVIL}"),
    ("which", "--json", f"app:1:/{EVIL}"), ("diff", "app:1#1", "app:1"), ("diff", "--json", "app:1#1", "app:1"),
    ("label", "app:1"), ("label", "app:1", f"{EVIL}={EVIL}"), ("ls", "--json", "app:1"), ("gc", "--json"),
    ("events", "--since", "1h", "--until", "0s"), ("prune", "--dry-run"), ("tag", "app:1", "other:1"),
    ("rm", "other:1"), ("export", "app:1", "-o", "/dev/null"), ("import", "-", "--json"), ("load",), ("gc",),
]  # fmt: skip

FAILURES = [
    ("ls", f"app:1:/{EVIL}/no"), ("cat", f"app:1:/d{EVIL}"), ("cp", f"app:1:/{EVIL}none", "/tmp"), ("ls", EVIL),
    ("inspect", EVIL), ("tag", "app:1", EVIL), ("rm", EVIL), ("export", EVIL, "-o", "/dev/null"),
    ("images", "--filter", f"{EVIL}=1"), ("images", "--filter", f"until={EVIL}"), ("import", "--label", EVIL, "-"),
    ("import", "--platform", EVIL, "-"), ("import", "--limit", EVIL, "-"), ("content", "get", EVIL),
    ("import", EVIL), ("which", f"app:1:/none{EVIL}"), ("umount", EVIL),
]  # fmt: skip


def hostile_archive() -> bytes:
    archive = OciArchive()
    lower = gzip_layer(file("a"))
    upper = layer(
        file(EVIL, b"1", xattrs={f"user.{EVIL}": b"1"}), directory("d" + EVIL), symlink("l" + EVIL, EVIL),
        TarEntry("h" + EVIL, b"1", link=f"none{EVIL}"),
    )  # fmt: skip
    archive.add_image(
        [lower, upper],
        name="docker.io/library/app:1",
        platform={**AMD64, "variant": EVIL},
        annotations={EVIL: EVIL},
        created=EVIL,
        author=EVIL,
        history=[{"created_by": EVIL, "comment": EVIL, "author": EVIL, "created": EVIL}] * 2,
        config={"Env": [EVIL], "Labels": {EVIL: EVIL}, "Entrypoint": [EVIL], "User": EVIL, "Volumes": {EVIL: {}}},
    )
    artifact = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": EVIL,
        "config": {"mediaType": EVIL, "digest": archive.add_blob(b"{}"), "size": 2},
        "layers": [{"mediaType": EVIL, "digest": archive.add_blob(b"x"), "size": 1, "annotations": {EVIL: EVIL}}],
        "annotations": {EVIL: EVIL},
    }
    archive.name(archive.add_document(artifact, OCI_MANIFEST), name="docker.io/library/art:1")
    return archive.bytes()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Imagefs:
    imagefs = Imagefs(tmp_path_factory.mktemp("hostile") / "store")
    imagefs("import", "--label", f"{EVIL}={EVIL}", "-", stdin=hostile_archive())
    return imagefs


def is_harmless(text: str) -> bool:
    return all(letter.isprintable() or letter in "\n\u200b" for letter in text)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]).encode("unicode_escape"))
def test_what_commands_print(hostile, command):
    result = hostile(*command, stdin=hostile_archive())
    assert is_harmless(result.out), result
    assert is_harmless(result.err), result
    if "--json" in command:
        json.loads(result.out)


@pytest.mark.parametrize("command", FAILURES, ids=lambda command: command[0])
def test_what_errors_say(hostile, command):
    result = hostile(*command, stdin=b"x" * 1000, check=False)
    assert result.status in (1, 2)
    assert is_harmless(result.out), result
    assert is_harmless(result.err), result
    assert "Traceback" not in result.err


BROKEN = {
    "a layer": lambda archive: archive.add_image([layer(file(f"{EVIL}/.wh."))], name="x:1"),
    "a blob's name": lambda archive: archive.extra.update({f"blobs/sha256/{EVIL}": b"x"}),
    "an annotation": lambda archive: archive.name({"mediaType": EVIL, "digest": EVIL, "size": 1}, tag=EVIL),
    "a media type": lambda archive: archive.name({"mediaType": EVIL, "digest": "sha256:" + "0" * 64, "size": 1}),
    "a layout": lambda archive: archive.extra.update({"oci-layout": json.dumps({"imageLayoutVersion": EVIL}).encode()}),
    "a docker image": lambda archive: archive.extra.update(
        {"manifest.json": json.dumps([{"Config": EVIL, "RepoTags": [EVIL], "Layers": [EVIL]}]).encode()}
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_broken_archives_are_told_with(hostile, tmp_path, case):
    archive = OciArchive()
    BROKEN[case](archive)
    path = tmp_path / f"{EVIL}.tar"
    archive.write(path)
    result = hostile("import", "-q", path, check=False)
    assert result.status == 1, result
    assert is_harmless(result.err), result
    assert len(result.err.splitlines()) == 1


def test_what_is_told_of_layers_as_they_arrive(tmp_path):
    imagefs, blob = Imagefs(tmp_path / "store"), layer(file("a"))
    config = json.dumps({**AMD64, "rootfs": {"type": "layers", "diff_ids": [digest_of(blob)]}}).encode()
    name = f"{EVIL}/layer.tar"
    manifest = json.dumps([{"Config": "c.json", "RepoTags": ["app:1"], "Layers": [name]}]).encode()
    result = imagefs("load", stdin=tar_of([("manifest.json", manifest), ("c.json", config), (name, blob)]))
    assert "layer.tar: unpacked" in result.err
    assert is_harmless(result.err), result


def test_a_layer_that_cannot_be_extracted_over_others(tmp_path):
    """What is logged, and no error."""
    imagefs = Imagefs(tmp_path / "store")
    archive = OciArchive()
    loop = "l" + EVIL
    archive.add_image([layer(symlink(loop, loop)), layer(file(f"{loop}/x"))], name="docker.io/library/app:1")
    imagefs("import", "-", stdin=archive.bytes())
    result = imagefs("ls", "--json", "app:1")
    assert "not extractable over the layers below it" in result.err
    assert is_harmless(result.err), result
