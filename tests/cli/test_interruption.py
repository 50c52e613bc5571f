"""Imports that are killed, or that run side by side."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from support.archives import OciArchive, digest_of, file, gzip_layer, uncompressed
from support.interruption import interrupted

from imagefs import Store

LAYERS = [gzip_layer(file(f"f{number}", os.urandom(900_000))) for number in range(4)]


@pytest.fixture
def data() -> bytes:
    archive = OciArchive()
    archive.add_image(LAYERS, name="app:1")
    return archive.bytes()


def start(imagefs, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "imagefs", "--store", str(imagefs.store), "import", "-q", "-"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, **options)


def wait_for_a_layer(imagefs) -> None:
    end = time.monotonic() + 10
    while not any(path.startswith("layers/") for path in imagefs.files()):
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_import_leaves_content_under_a_timed_lease_and_no_name(imagefs, data, how):
    process = start(imagefs, stderr=subprocess.DEVNULL)
    process.stdin.write(data[: len(data) * 2 // 3])
    process.stdin.flush()
    wait_for_a_layer(imagefs)
    process.send_signal(how)
    process.stdin.close()
    assert process.wait(20) != 0
    assert json.loads(imagefs("images", "--json").out) == []
    finished = {path for path in imagefs.files() if path.startswith(("blobs/", "layers/"))}
    assert finished
    imagefs("gc")
    assert {path for path in imagefs.files() if path.startswith(("blobs/", "layers/"))} == finished
    assert not [path for path in imagefs.files() if path.startswith(("tmp/", "leases/"))]

    imagefs("import", "-q", "-", stdin=data)
    assert json.loads(imagefs("images", "--json").out)[0]["name"] == "docker.io/library/app:1"

    with Store(imagefs.store) as store:  # a day later
        store.catalog.connection.execute("UPDATE lease SET expires_at = 1")
    imagefs("rm", "app:1")
    imagefs("gc")
    assert imagefs.files() == []


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "SIGINT"])
@pytest.mark.parametrize(
    "where",
    [
        "imagefs.store.blobs.sync_directory",
        "imagefs.store.unpacked.sync_file",
        "imagefs.store.unpacked.sync_directory",
        "imagefs.store.ingest.start_unpacking",
        "imagefs.store.ingest.receive",
    ],
)
def test_whatever_it_was_at_what_is_in_its_place_is_whole(imagefs, tmp_path, data, where, how):
    """Layers are put in their places by a thread of their own, while the next one arrives."""
    (tmp_path / "app.tar").write_bytes(data)
    done = interrupted(imagefs, where, how, "import", "-q", tmp_path / "app.tar")
    assert done.returncode == {"SIGKILL": -9, "SIGTERM": 143, "SIGINT": 130}[how], done.stderr
    assert json.loads(imagefs("images", "--json").out) == []
    imagefs("gc")
    assert not [path for path in imagefs.files() if path.startswith(("tmp/", "leases/"))]
    finished = set()
    for path in imagefs.files():
        content = (imagefs.store / path).read_bytes()
        if path.startswith("blobs/"):
            assert path.removeprefix("blobs/").replace("/", ":") == digest_of(content)
        elif path.endswith("layer.tar"):
            assert path.split("/")[1] == digest_of(content)
            assert path.replace("layer.tar", "index.sqlite") in imagefs.files()
            finished.add(digest_of(content))
    assert finished <= {digest_of(uncompressed(blob)) for blob in LAYERS}
    imagefs("import", "-q", tmp_path / "app.tar")
    assert "removed 0 bytes" in imagefs("gc").out


def test_layers_are_unpacked_while_the_rest_still_arrives(imagefs, data):
    process = start(imagefs)
    half = data.index(LAYERS[0]) + len(LAYERS[0]) + 512 * 600
    process.stdin.write(data[:half])
    process.stdin.flush()
    wait_for_a_layer(imagefs)
    assert process.poll() is None, "it still waits for the rest"
    process.stdin.write(data[half:])
    process.stdin.close()
    assert process.wait(20) == 0


def test_a_running_import_is_safe_from_gc(imagefs, data):
    process = start(imagefs)
    half = len(data) * 2 // 3
    process.stdin.write(data[:half])
    process.stdin.flush()
    wait_for_a_layer(imagefs)
    for _ in range(3):
        imagefs("gc")
    process.stdin.write(data[half:])
    process.stdin.close()
    assert process.wait(20) == 0
    unpacked = {path.split("/")[1] for path in imagefs.files() if path.startswith("layers/")}
    assert len(unpacked) == len(LAYERS)
    for blob in LAYERS:
        assert (imagefs.store / "blobs" / digest_of(blob).replace(":", "/")).read_bytes() == blob


def test_imports_of_the_same_archive_side_by_side(imagefs, data):
    imagefs("images")
    processes = [start(imagefs, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(4)]
    for process in processes:
        process.stdin.write(data)
        process.stdin.close()
    for process in processes:
        assert process.wait(60) == 0, process.stderr.read()
    assert not [path for path in imagefs.files() if path.startswith(("tmp/", "leases/"))]
    assert len(json.loads(imagefs("images", "--json").out)) == 1
    assert "removed 0 bytes" in imagefs("gc").out
