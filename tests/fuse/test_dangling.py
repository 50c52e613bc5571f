"""Images without a name in a mount: under their digest, with their content, in the layout without annotations."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.archives import AMD64, ARM64, OciArchive, digest_of, file, gzip_layer

LOW, HIGH = gzip_layer(file("low", b"low")), gzip_layer(file("high", b"high"))


def archive(blob: bytes, name: str | None) -> OciArchive:
    made = OciArchive()
    made.add_image([blob], name=name)
    return made


def eventually(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def entries(root: Path) -> list[dict]:
    return json.loads((root / "index.json").read_bytes())["manifests"]


def test_an_image_without_a_name_goes_by_its_digest(imagefs, mount):
    unnamed = archive(LOW, None)
    imagefs("import", "-", stdin=unnamed.bytes())
    root = mount()
    (digest,) = (each["digest"] for each in unnamed.manifests)
    assert [path.name for path in (root / "images").iterdir()] == [digest]
    assert (root / "images" / digest / "low").read_bytes() == b"low"
    assert [(each["digest"], each.get("annotations")) for each in entries(root)] == [(digest, None)]
    assert json.loads((root / "manifest.json").read_bytes())[0]["RepoTags"] is None


def test_a_live_mount_shows_the_image_that_lost_its_name_until_it_is_removed(imagefs, mount):
    old, new = archive(LOW, "app:1"), archive(HIGH, "app:1")
    imagefs("import", "-", stdin=old.bytes())
    root = mount()
    app = root / "images/docker.io/library/app:1"
    dangling = root / "images" / old.manifests[0]["digest"]
    assert (app / "low").read_bytes() == b"low"
    imagefs("import", "-", stdin=new.bytes())
    assert eventually(lambda: (app / "high").exists())
    assert (dangling / "low").read_bytes() == b"low"
    assert eventually(lambda: len(entries(root)) == 2)
    imagefs("rm", old.manifests[0]["digest"])
    assert eventually(lambda: not dangling.exists())
    assert eventually(lambda: len(entries(root)) == 1)


def test_one_image_without_a_name_can_be_mounted_by_itself(imagefs, mount):
    unnamed = archive(LOW, None)
    imagefs("import", "-", stdin=unnamed.bytes())
    root = mount("--view", "rootfs", unnamed.manifests[0]["digest"][7:19])
    assert [path.name for path in root.iterdir()] == ["low"]


@pytest.mark.parametrize("wanted", [["linux/amd64"], ["linux/arm64"], ["linux/amd64", "linux/arm64"]])
def test_the_layout_has_the_platforms_that_were_kept(imagefs, mount, wanted):
    made = OciArchive()
    manifests = [made.add_manifest([blob], each) for blob, each in ((LOW, AMD64), (HIGH, ARM64))]
    made.add_index(manifests, name="app:1")
    chosen = [each for name in wanted for each in ("--platform", name)]
    imagefs("import", "-", *chosen, stdin=made.bytes())
    root = mount()
    names = {path.name for path in (root / "blobs/sha256").iterdir()}
    kept = [digest_of(blob)[7:] in names for blob in (LOW, HIGH)]
    assert kept == ["linux/amd64" in wanted, "linux/arm64" in wanted]
    # What is left of an index is an index of its own, or the one manifest.
    expected = made.manifests[0] if len(wanted) == 2 else manifests[0 if "linux/amd64" in wanted else 1]
    assert entries(root)[0]["digest"] == expected["digest"]
    trees = {
        path.name: sorted(each.name for each in path.iterdir())
        for path in (root / "images/docker.io/library").iterdir()
    }
    assert trees["app:1"] == (["low"] if kept[0] else ["high"])


def test_an_incomplete_image_appears_in_a_live_mount_when_the_rest_comes(imagefs, mount):
    made = OciArchive()
    made.add_image([LOW, HIGH], name="app:1")
    missing = "blobs/" + digest_of(HIGH).replace(":", "/")
    imagefs("import", "--skip-missing", "-", stdin=made.bytes(leave_out=[missing]))
    root = mount()
    assert list((root / "images").iterdir()) == []
    imagefs("import", "-", stdin=archive(HIGH, "other:1").bytes())
    tree = root / "images/docker.io/library/app:1"
    assert eventually(tree.exists)
    assert sorted(path.name for path in tree.iterdir()) == ["high", "low"]
