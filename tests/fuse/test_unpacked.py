"""What a mount needs unpacked stays so, and comes back when somebody looks; and mounts whose lease was ended."""

import json
import time

import pytest
from support.archives import OciArchive, digest_of, file, gzip_layer, layer, uncompressed

LAYERS = [gzip_layer(file("packed", b"1" * 50_000)), layer(file("plain", b"2" * 9000))]
ALL = {digest_of(uncompressed(each)) for each in LAYERS}
TREE = "images/docker.io/library/app:1"


@pytest.fixture
def app(imagefs):
    archive = OciArchive()
    archive.add_image(LAYERS, name="app:1")
    imagefs("import", "-q", "-", stdin=archive.bytes())
    return imagefs


def unpacked(app) -> set[str]:
    return {path.name for path in (app.store / "layers").iterdir()}


def test_gc_drops_what_no_mount_uses_and_a_mount_unpacks_it_again(app, mount):
    root = mount()
    app("gc", "--unpacked")
    assert unpacked(app) == ALL
    app("umount", root)
    end = time.monotonic() + 20
    while json.loads(app("leases", "ls", "--json").out) and time.monotonic() < end:
        time.sleep(0.05)
    app("gc", "--unpacked")
    assert unpacked(app) == set()
    root = mount("app:1")
    assert (root / TREE / "packed").read_bytes() == b"1" * 50_000
    assert (root / TREE / "plain").read_bytes() == b"2" * 9000
    app("gc", "--keep-unpacked", "0")
    assert unpacked(app) == ALL


def test_a_mount_whose_lease_was_ended_goes_on(app, mount):
    root = mount()
    (lease,) = json.loads(app("leases", "ls", "--json").out)
    assert (lease["label"], lease["protects"][0]["images"]) == (f"mount {root}", ["docker.io/library/app:1"])
    assert app("leases", "rm", lease["id"], check=False).status == 1
    app("leases", "rm", "--force", lease["id"])
    app("tag", "app:1", "app:2")
    end = time.monotonic() + 20
    while not (root / TREE).with_name("app:2").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert sorted(path.name for path in (root / TREE).parent.iterdir()) == ["app:1", "app:2"]
    app("gc", "--unpacked")
    assert (root / TREE / "packed").read_bytes() == b"1" * 50_000
    app("umount", root)
