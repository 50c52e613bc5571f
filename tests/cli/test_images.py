"""`images`, `inspect`, `gc`, and how images are named on the command line."""

import json
import os
import pty
import subprocess
import sys

import pytest
from support.archives import OciArchive, digest_of, file, gzip_layer
from support.command import Imagefs
from support.terminals import shown_on_terminal

LAYER = gzip_layer(file("a", b"a"))


@pytest.fixture
def app(imagefs: Imagefs) -> Imagefs:
    archive = OciArchive()
    archive.add_image([LAYER], name="app:1", created="2024-05-06T07:08:09Z")
    archive.add_image([LAYER, gzip_layer(file("b"))], name="localhost/debian-12:12")
    imagefs("import", "-", stdin=archive.bytes())
    return imagefs


def test_images(app):
    header, first, second = app("images").lines
    assert header.split() == ["NAME", "DIGEST", "PLATFORMS", "CREATED", "SIZE"]
    assert first.startswith("docker.io/library/app:1 ")
    assert "2024-05-06" in first
    assert second.startswith("localhost/debian-12:12 ")
    listed = json.loads(app("images", "--json").out)
    assert [each["name"] for each in listed] == ["docker.io/library/app:1", "localhost/debian-12:12"]
    assert listed[0]["platforms"] == ["linux/amd64"]


def test_inspect(app):
    found = json.loads(app("inspect", "--json", "app:1").out)
    (manifest,) = found["manifests"]
    assert manifest["digest"] == found["digest"]
    assert manifest["platform"] == "linux/amd64"
    assert [layer["digest"] for layer in manifest["layers"]] == [digest_of(LAYER)]
    assert manifest["layers"][0]["unpacked"]
    assert manifest["config"]["created"] == "2024-05-06T07:08:09Z"


@pytest.mark.parametrize("odd", [b'"\xff"', b"9" * 5000, b"1e999"])
def test_inspect_of_a_configuration_with_odd_values(imagefs, odd):
    archive = OciArchive()
    manifest = archive.add_manifest([LAYER], odd="HERE")
    document = json.loads(archive.blobs.pop(manifest["digest"]))
    config = archive.blobs.pop(document["config"]["digest"]).replace(b'"HERE"', odd)
    document["config"] |= {"digest": archive.add_blob(config), "size": len(config)}
    archive.name(archive.add_document(document, document["mediaType"]), name="app:1")
    imagefs("import", "-", stdin=archive.bytes())
    (manifest,) = json.loads(imagefs("inspect", "--json", "app:1").out)["manifests"]
    assert manifest["config"]["os"] == "linux"


@pytest.mark.parametrize("short", ["debian-12:12", "localhost/debian-12:12"])
def test_short_names(app, short):
    assert json.loads(app("inspect", "--json", short).out)["name"] == "localhost/debian-12:12"


def test_digest_prefixes(app):
    digest = json.loads(app("inspect", "--json", "app:1").out)["digest"]
    for prefix in (digest, digest[:19], digest[7:19]):
        assert json.loads(app("inspect", "--json", prefix).out)["name"] == "docker.io/library/app:1"


def test_gc_takes_what_a_killed_import_left(app):
    rubbish = app.store / "tmp" / "0123456789abcdef.0"
    rubbish.write_bytes(b"x")
    assert app("gc").lines == ["removed temporary 0123456789abcdef.0", "removed 1 byte"]
    assert not rubbish.exists()


def test_progress_is_a_bar_on_a_terminal(imagefs, tmp_path):
    archive = OciArchive()
    archive.add_image([LAYER], name="app:1")
    path = archive.write(tmp_path / "app.tar")
    done, shown = shown_on_terminal(imagefs, "stderr", "import", str(path), environment={"TERM": "xterm"})
    assert done.returncode == 0
    assert done.stdout == b"docker.io/library/app:1\n"
    assert b"app.tar" in shown
    assert b"bytes" in shown or b"kB" in shown
    assert f"{digest_of(LAYER)[7:19]}: unpacked".encode() in shown


def test_the_store_comes_from_the_environment(app, tmp_path):
    environment = {**os.environ, "IMAGEFS_STORE": str(app.store)}
    command = [sys.executable, "-m", "imagefs", "images"]
    assert b"app:1" in subprocess.run(command, env=environment, capture_output=True, check=True).stdout


def test_an_export_to_a_terminal_is_refused(app):
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "imagefs", "--store", str(app.store), "export", "-o", "-", "app:1"]
    done = subprocess.run(command, stdout=child, stderr=subprocess.PIPE, check=False)
    os.close(child)
    os.close(parent)
    assert done.returncode == 2
    assert b"terminal" in done.stderr
