"""`imagefs usage`: what an image takes up, and what of it is shared."""

import json
from typing import Any

import pytest
from support.archives import AMD64, ARM64, OciArchive, digest_of, file, gzip_layer, layer, uncompressed, zstd_data
from support.inside import InsideImagefs
from support.store import bring

BASE = gzip_layer(*(file(f"f{number}", b"x" * 3000) for number in range(10)))
TOP, ARM, PACKED = gzip_layer(file("top")), gzip_layer(file("arm")), gzip_layer(file("packed"))
BASE_AGAIN = zstd_data(uncompressed(BASE))


@pytest.fixture
def imagefs(tmp_path) -> InsideImagefs:
    return InsideImagefs(tmp_path / "store")


@pytest.fixture
def several(imagefs) -> InsideImagefs:
    archive = OciArchive()
    archive.add_image([BASE, TOP], name="app:1", created="2024-05-06T07:08:09Z")
    pair = [archive.add_manifest([BASE_AGAIN, TOP], AMD64), archive.add_manifest([BASE_AGAIN, ARM], ARM64)]
    archive.add_index(pair, name="both:1")
    archive.add_image([BASE])
    bring(imagefs, archive)
    imagefs("tag", "app:1", "app:2")
    return imagefs


def usage(imagefs: InsideImagefs, image: str) -> dict[str, Any]:
    return json.loads(imagefs("usage", "--json", image).out)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_layers(several):
    header, base, top, *_ = several("usage", "app:1").lines
    assert cells(header) == ["LAYER", "PLATFORM", "DIGEST", "SIZE", "UNCOMPRESSED", "FILES", "SHARED WITH"]
    position, platform, digest, size, uncompressed_size, files, names = cells(base)
    assert (position, platform, digest) == ("1", "linux/amd64", digest_of(BASE)[7:19])
    assert (size, uncompressed_size, files) == (f"{len(BASE)} bytes", "41.0 kB", "11")
    (dangling,) = [each for each in usage(several, "app:1")["layers"][0]["sharedWith"] if each.startswith("sha256:")]
    assert names == f"docker.io/library/both:1, {dangling[:19]}"
    assert cells(top)[-1] == "docker.io/library/both:1"


def test_a_layer_that_is_shared_as_another_blob_is_shared(several):
    base, top, arm = usage(several, "both:1")["layers"]
    assert [each["digest"] for each in (base, top, arm)] == [digest_of(each) for each in (BASE_AGAIN, TOP, ARM)]
    assert base["sharedWith"][:2] == ["docker.io/library/app:1", "docker.io/library/app:2"]
    assert arm["sharedWith"] == []


def test_a_layer_of_several_platforms_is_told_once(several):
    base, top, arm = usage(several, "both:1")["layers"]
    assert (base["position"], base["platforms"]) == (1, ["linux/amd64", "linux/arm64/v8"])
    assert (top["position"], top["platforms"]) == (2, ["linux/amd64"])
    assert (arm["position"], arm["platforms"]) == (2, ["linux/arm64/v8"])


def test_uncompressed_sizes_and_files(several):
    base, top = usage(several, "app:1")["layers"]
    assert (base["uncompressedSize"], base["files"]) == (len(uncompressed(BASE)), 11)
    assert (base["size"], base["diffID"]) == (len(BASE), digest_of(uncompressed(BASE)))
    assert (top["uncompressedSize"], top["files"]) == (len(uncompressed(TOP)), 2)


def test_totals(several):
    found = usage(several, "app:1")
    (row,) = [each for each in json.loads(several("images", "--json").out) if each["name"] == "docker.io/library/app:1"]
    assert found["size"] == row["size"]
    assert found["sharedSize"] == len(BASE) + len(TOP), "its other name has as much of it, but is no other image"
    assert found["uniqueSize"] == found["size"] - found["sharedSize"]
    folders = [several.store / "layers" / digest_of(uncompressed(each)) for each in (BASE, TOP)]
    assert found["derivedSize"] == sum(file.stat().st_size for folder in folders for file in folder.iterdir())
    *_, blobs, derived = several("usage", "app:1").lines
    assert blobs.startswith("blobs: ")
    assert blobs.endswith(f"{len(BASE) + len(TOP)} bytes shared")
    assert derived.startswith("unpacked: ")


def test_what_only_one_image_has_goes_when_it_is_removed(several):
    unique = usage(several, "both:1")["uniqueSize"]
    before = sum(path.stat().st_size for path in several.store.glob("blobs/*/*"))
    several("rm", "both:1")
    several("gc")
    assert before - sum(path.stat().st_size for path in several.store.glob("blobs/*/*")) == unique > 0


def test_what_was_never_unpacked(imagefs):
    archive = OciArchive()
    archive.add_image([PACKED], name="app:1")
    bring(imagefs, archive, unpacking=False)
    assert cells(imagefs("usage", "app:1").lines[1])[3:] == [f"{len(PACKED)} bytes", "-", "-", "-"]
    found = usage(imagefs, "app:1")
    assert (found["layers"][0]["uncompressedSize"], found["layers"][0]["files"]) == (None, None)
    assert found["derivedSize"] == 0


def test_platforms_that_lack_something_have_no_layers_to_tell(imagefs):
    archive = OciArchive()
    archive.add_index([archive.add_manifest([BASE], AMD64), archive.add_manifest([ARM], ARM64)], name="both:1")
    del archive.blobs[digest_of(ARM)]
    bring(imagefs, archive, skip_missing=True)
    assert [each["digest"] for each in usage(imagefs, "both:1")["layers"]] == [digest_of(BASE)]


def test_many_that_share_are_counted(imagefs):
    archive = OciArchive()
    for number in range(20):
        archive.add_image([BASE], name=f"app:{number:02}", number=number)
    bring(imagefs, archive)
    name = "docker.io/library/app"
    assert cells(imagefs("usage", "app:00").lines[1])[-1] == f"{name}:01, {name}:02, {name}:03 and 16 more"
    assert len(usage(imagefs, "app:00")["layers"][0]["sharedWith"]) == 19


def test_a_plain_layer_is_its_own_tar(imagefs):
    plain = layer(file("a", b"a" * 5000))
    archive = OciArchive()
    archive.add_image([plain], name="app:1")
    bring(imagefs, archive)
    (told,) = usage(imagefs, "app:1")["layers"]
    assert told["size"] == told["uncompressedSize"] == len(plain)


def test_another_image_that_is_damaged_is_passed_over(several):
    (row,) = [
        each for each in json.loads(several("images", "--json").out) if each["name"] == "docker.io/library/both:1"
    ]
    path = several.store / "blobs" / row["digest"].replace(":", "/")
    path.chmod(0o644)
    path.write_bytes(b"[]")
    assert usage(several, "app:1")["layers"][1]["sharedWith"] == []
    result = several("usage", "both:1", check=False)
    assert (result.status, result.out) == (1, "")
    assert f"imagefs: docker.io/library/both:1: {row['digest']}: not a valid index" in result.err


def test_no_such_image(several):
    result = several("usage", "nowhere", check=False)
    assert (result.status, result.err) == (1, "imagefs: nowhere: no such image\n")
