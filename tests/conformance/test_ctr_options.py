"""The options of `ctr images import` and `imagefs import`, side by side: the same names for the same digests."""

import json
from pathlib import Path

import pytest
from support.archives import AMD64, ARM64, OciArchive, docker_archive, file, gzip_layer, layer

from .conftest import imagefs, imported_images, run

pytestmark = pytest.mark.peer

LOW, HIGH = gzip_layer(file("low", b"1" * 3000)), gzip_layer(file("high", b"2" * 3000))
PLAIN = layer(file("plain", b"3" * 3000))


def mixed() -> bytes:
    """An image with a tag alone, one with a full name, one with both, and one without a name."""
    archive = OciArchive()
    archive.add_image([LOW], tag="one")
    archive.add_image([HIGH], tag="quay.io/a/b:two")
    archive.add_image([LOW, HIGH], tag="three", name="reg.test/base:three")
    archive.add_image([HIGH, LOW])
    return archive.bytes()


def platforms() -> bytes:
    archive = OciArchive()
    archive.add_index(
        [
            archive.add_manifest([LOW, layer(file("own", each["architecture"].encode()))], each)
            for each in (AMD64, ARM64)
        ],
        name="reg.test/app:1",
    )
    return archive.bytes()


def docker() -> bytes:
    return docker_archive([([PLAIN, LOW], ["app:1", "localhost:5000/a/b:2"]), ([PLAIN], None)])


ARCHIVES = {"mixed": mixed, "platforms": platforms, "docker": docker}


@pytest.fixture(params=sorted(ARCHIVES))
def archive(request, scratch) -> Path:
    path = scratch / f"{request.param}.tar"
    path.write_bytes(ARCHIVES[request.param]())
    return path


BASE = "reg.test/base"


@pytest.mark.parametrize(
    "options",
    [
        ["--base-name", BASE],
        ["--base-name", BASE, "--digests"],
        ["--base-name", BASE, "--digests", "--skip-digest-for-named"],
        ["--base-name", BASE, "--index-name", "reg.test/all:1"],
    ],
    ids=" ".join,
)
def test_names(containerd, archive, scratch, options):
    containerd("images", "import", "--all-platforms", "--no-unpack", *options, archive)
    theirs = containerd.images()
    # ctr 1.6 holds to the base name what stands in place of a tag; ctr 2 and imagefs every name, as the option says.
    # So the image goes by its digest where it is to have a name by it.
    outside = {name for name in theirs if not name.startswith((f"{BASE}:", f"{BASE}@", "reg.test/all:1"))}
    expected = {name: digest for name, digest in theirs.items() if name not in outside}
    if "--digests" in options:
        expected |= {f"{BASE}@{theirs[name]}": theirs[name] for name in outside}
    if not expected and archive.stem == "platforms":
        with pytest.raises(AssertionError, match=r"no image in it has a name that begins with reg\.test/base"):
            imagefs(scratch / "store", "import", *options, archive)
        return
    imagefs(scratch / "store", "import", "--all-platforms", "--no-unpack", *options, archive)
    ours = imported_images(scratch / "store")
    if "--digests" not in options:
        # ctr forgets images that have no name; here they get the one that the option's help speaks of.
        ours = {name: digest for name, digest in ours.items() if "@" not in name}
    assert ours == expected


def test_names_without_options(containerd, archive, scratch):
    """The prefix of bare tags is another: the archive's name instead of the day."""
    containerd("images", "import", "--all-platforms", "--no-unpack", archive)
    imagefs(scratch / "store", "import", archive)
    expected = {
        f"localhost/{archive.stem}:{name.rpartition(':')[2]}" if name.startswith("import-") else name
        for name in containerd.images()
    }
    assert {name for name in imported_images(scratch / "store") if not name.startswith("sha256:")} == expected


@pytest.mark.parametrize("wanted", ["linux/amd64", "linux/arm64"])
def test_one_platform(containerd, scratch, wanted):
    """ctr takes the whole archive in, and later collects what no image refers to; nothing else is kept here either."""
    path = scratch / "platforms.tar"
    path.write_bytes(platforms())
    containerd("images", "import", "--platform", wanted, "--no-unpack", path)
    imagefs(scratch / "store", "import", "--platform", wanted, path)
    assert imported_images(scratch / "store") == containerd.images()
    shown = json.loads(imagefs(scratch / "store", "images", "--json"))[0]["platforms"]
    assert [each.removesuffix("/v8") for each in shown] == [wanted]


def test_labels(containerd, scratch):
    path = scratch / "mixed.tar"
    path.write_bytes(mixed())
    imagefs(scratch / "store", "import", "--label", "a=b", "--label", "c=d", path)
    imagefs(scratch / "store", "export", "-o", scratch / "out.tar", "quay.io/a/b:two")
    containerd("images", "import", "--no-unpack", scratch / "out.tar")
    assert "a=b" not in containerd("images", "list")  # labels are the store's, no archive carries them


def test_compressed_blobs(containerd, scratch):
    path = scratch / "docker.tar"
    path.write_bytes(docker())
    containerd("images", "import", "--compress-blobs", "--no-unpack", path)
    imagefs(scratch / "store", "import", "--compress-blobs", path)
    theirs, ours = containerd.images(), imported_images(scratch / "store")
    for name in ("docker.io/library/app:1", "localhost:5000/a/b:2"):
        their_manifest = json.loads(containerd.blob(theirs[name]))
        our_manifest = json.loads((scratch / "store" / "blobs" / ours[name].replace(":", "/")).read_bytes())
        assert their_manifest["config"] == our_manifest["config"]
        kinds = [each["mediaType"] for each in their_manifest["layers"]]
        assert [each["mediaType"] for each in our_manifest["layers"]] == kinds
        assert our_manifest["layers"][1] == their_manifest["layers"][1]  # it came compressed
        blob = scratch / "store" / "blobs" / our_manifest["layers"][0]["digest"].replace(":", "/")
        assert run("gzip", "-dc", blob).encode() == PLAIN
