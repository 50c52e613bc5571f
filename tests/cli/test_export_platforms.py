"""Platforms in `imagefs export`, and content that is missing, or not to be given away."""

import json
import os

import pytest
from support.archives import AMD64, ARM64, OciArchive, digest_of, uncompressed
from support.command import Imagefs
from support.exported import (
    FOREIGN_TYPE,
    OWN,
    S390X,
    SHARED,
    Multi,
    blobs,
    dockers,
    entries,
    members,
    rows,
    take,
    windows,
)
from support.inside import InsideImagefs

from imagefs import ImportOptions, Store, import_archive

V6, V7 = ({"architecture": "arm", "os": "linux", "variant": variant} for variant in ("v6", "v7"))


@pytest.fixture
def imagefs(tmp_path) -> InsideImagefs:
    return InsideImagefs(tmp_path / "store")


# -- platforms


def test_what_is_complete_goes_out_whatever_the_format(imagefs, tmp_path):
    image = Multi(AMD64, ARM64, S390X)
    take(imagefs, image.archive, digest_of(image.layers[1]))
    for form, skip in [("oci+docker", []), ("oci", []), ("oci+docker", ["--skip-manifest-json"])]:
        imagefs("export", "--format", form, *skip, "-o", tmp_path / "a.tar", "multi:1")
        assert ("manifest.json" in members(tmp_path / "a.tar")) == (form == "oci+docker" and not skip)
        assert image.index["digest"] not in blobs(tmp_path / "a.tar")
        other = InsideImagefs(tmp_path / f"{form}{skip}")
        other("import", tmp_path / "a.tar")
        assert rows(other)["docker.io/library/multi:1"][1] == ["linux/amd64", "linux/s390x"]


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (["--platform", "linux/s390x"], [2]),
        (["--platform", "arm64"], [1]),
        (["--platform", "linux/s390x", "--platform", "linux/amd64"], [0, 2]),
        (["--platform", "linux/s390x,linux/amd64"], [0, 2]),
        (["--platform", "linux/arm64/v8,linux/amd64,linux/s390x"], [0, 1, 2]),
        ([], [0, 1, 2]),
    ],
)
@pytest.mark.parametrize("command", ["export", "save"])
def test_platforms(imagefs, tmp_path, command, wanted, left):
    image = Multi(AMD64, ARM64, S390X)
    take(imagefs, image.archive)
    imagefs(command, *wanted, "-o", tmp_path / "a.tar", "multi:1")
    (entry,) = entries(tmp_path / "a.tar")
    chosen = [image.manifests[each]["digest"] for each in left]
    assert blobs(tmp_path / "a.tar").intersection(each["digest"] for each in image.manifests) == set(chosen)
    if len(left) == 1:
        assert entry["digest"] == chosen[0]
    elif len(left) == 3:
        assert entry["digest"] == image.index["digest"]
    else:
        document = json.loads(members(tmp_path / "a.tar")[f"blobs/{entry['digest'].replace(':', '/')}"])
        assert [each["digest"] for each in document["manifests"]] == chosen
    # Docker's is the first that was asked for.
    first = {"linux/s390x": 2, "arm64": 1, "linux/s390x,linux/amd64": 2, "linux/arm64/v8,linux/amd64,linux/s390x": 1}
    expected = image.manifests[first.get(wanted[1], 0) if len(wanted) > 1 else 0]["digest"]
    config = json.loads(image.archive.blobs[expected])["config"]["digest"]
    assert [each["Config"] for each in dockers(tmp_path / "a.tar")] == [f"blobs/{config.replace(':', '/')}"]


def test_an_older_variant_serves(imagefs, tmp_path):
    image = Multi(V6, V7, AMD64)
    take(imagefs, image.archive)
    imagefs("export", "--platform", "linux/arm/v8", "-o", tmp_path / "a.tar", "multi:1")
    assert entries(tmp_path / "a.tar")[0]["digest"] == image.manifests[1]["digest"]
    refusal = imagefs("export", "--platform", "linux/arm/v5", "-o", tmp_path / "b.tar", "multi:1", check=False)
    assert "multi:1: not for linux/arm/v5, only for linux/arm/v6, linux/arm/v7, linux/amd64\n" in refusal.err


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ("linux/s390x", "not for linux/s390x, only for linux/amd64, linux/arm64/v8"),
        ("linux/arm64", "linux/arm64/v8 is listed but its content is not in the store"),
        (
            "linux/arm64,linux/s390x",
            "not for linux/s390x, only for linux/amd64, linux/arm64/v8; "
            "linux/arm64/v8 is listed but its content is not in the store",
        ),
    ],
)
@pytest.mark.parametrize("absent", ["manifest", "layer"])
def test_platforms_that_cannot_go_out(imagefs, tmp_path, absent, wanted, problem):
    image = Multi(AMD64, ARM64)
    take(imagefs, image.archive, image.manifests[1]["digest"] if absent == "manifest" else digest_of(image.layers[1]))
    refusal = imagefs("export", "--platform", wanted, "-o", tmp_path / "a.tar", "multi:1", check=False)
    assert (refusal.status, refusal.err) == (1, f"imagefs: docker.io/library/multi:1: {problem}\n")
    assert os.listdir(tmp_path) == ["store"]


def test_an_image_for_one_platform(imagefs, tmp_path):
    archive = OciArchive()
    entry = archive.add_image([SHARED], name="one:1", platform=ARM64)
    take(imagefs, archive)
    imagefs("export", "--platform", "linux/arm64", "-o", tmp_path / "a.tar", "one:1")
    assert entries(tmp_path / "a.tar")[0]["digest"] == entry["digest"]
    refusal = imagefs("export", "--platform", "linux/amd64", "-o", tmp_path / "b.tar", "one:1", check=False)
    assert refusal.err == "imagefs: docker.io/library/one:1: not for linux/amd64, only for linux/arm64/v8\n"


def test_what_is_left_out_of_several_platforms_is_said_in_one_line(imagefs, tmp_path):
    image = Multi(AMD64, ARM64, S390X)
    take(imagefs, image.archive, image.manifests[1]["digest"])
    result = Imagefs(imagefs.store)(
        "export", "--platform", "linux/arm64,linux/amd64,linux/ppc64le", "-o", tmp_path / "a.tar", "multi:1"
    )
    assert result.err == (
        "imagefs: docker.io/library/multi:1: not for linux/ppc64le, only for linux/amd64, linux/arm64/v8, linux/s390x; "
        "linux/arm64/v8 is listed but its content is not in the store; exported without\n"
    )
    assert entries(tmp_path / "a.tar")[0]["digest"] == image.manifests[0]["digest"]


def test_all_platforms(imagefs, tmp_path):
    image = Multi(AMD64, ARM64, S390X)
    take(imagefs, image.archive)
    imagefs("export", "--all-platforms", "-o", tmp_path / "a.tar", "multi:1")
    assert entries(tmp_path / "a.tar")[0]["digest"] == image.index["digest"]
    assert blobs(tmp_path / "a.tar") == image.archive.blobs.keys()


@pytest.mark.parametrize("absent", ["manifest", "layer"])
def test_all_platforms_have_to_be_there(imagefs, tmp_path, absent):
    image = Multi(AMD64, ARM64, S390X)
    lost = [image.manifests[1]["digest"] if absent == "manifest" else digest_of(image.layers[1])]
    take(imagefs, image.archive, *lost)
    refusal = imagefs("export", "--all-platforms", "-o", tmp_path / "a.tar", "multi:1", check=False)
    problem = f"not all of it is in the store: linux/arm64/v8 lacks {lost[0]}"
    assert (refusal.status, refusal.err) == (1, f"imagefs: docker.io/library/multi:1: {problem}\n")


def test_platforms_that_are_not_kept_are_absent(imagefs, tmp_path):
    image = Multi(AMD64, ARM64)
    take(imagefs, image.archive, platforms=("linux/arm64",))
    take(imagefs, Multi(AMD64, ARM64, name="all:1").archive)
    imagefs("export", "-o", tmp_path / "a.tar", "multi:1")
    assert entries(tmp_path / "a.tar")[0]["digest"] == image.manifests[1]["digest"]
    refusal = imagefs("export", "--all-platforms", "-o", tmp_path / "b.tar", "multi:1", check=False)
    assert "multi:1: not all of it is in the store: linux/amd64 is not kept in it\n" in refusal.err
    # Who asks by digest gets what any of its names keeps.
    imagefs("export", "-o", tmp_path / "c.tar", image.index["digest"])
    assert entries(tmp_path / "c.tar")[0]["digest"] == image.index["digest"]


@pytest.mark.parametrize("wanted", ["", "linux/amd64/v1/x", "nothing", "linux/amd64,", "linux/\x1b[2J"])
def test_what_is_no_platform(imagefs, tmp_path, wanted):
    image = Multi(AMD64, ARM64)
    take(imagefs, image.archive)
    refusal = Imagefs(imagefs.store)("export", "--platform", wanted, "-o", tmp_path / "a.tar", "multi:1", check=False)
    assert (refusal.status, "\x1b" in refusal.err) == (2, False)
    assert os.listdir(tmp_path) == ["store"]


# -- what is missing


def test_what_is_missing_is_skipped(imagefs, tmp_path):
    """The index as it is, whole manifests, and what there is of others."""
    image = Multi(AMD64, ARM64, S390X)
    lost = {image.manifests[2]["digest"], digest_of(image.layers[1])}
    take(imagefs, image.archive, *lost)
    imagefs("export", "--skip-missing", "-o", tmp_path / "a.tar", "multi:1")
    assert entries(tmp_path / "a.tar")[0]["digest"] == image.index["digest"]
    unreachable = {
        digest_of(image.layers[2]),
        json.loads(image.archive.blobs[image.manifests[2]["digest"]])["config"]["digest"],
    }
    assert blobs(tmp_path / "a.tar") == image.archive.blobs.keys() - lost - unreachable
    assert len(dockers(tmp_path / "a.tar")) == 1
    other = InsideImagefs(tmp_path / "other")
    with Store(other.store) as store, open(tmp_path / "a.tar", "rb") as stream:
        (record,) = import_archive(store, stream, ImportOptions(skip_missing=True))
    assert not record.complete
    other("import", "-", stdin=image.archive.bytes())
    assert rows(other) == {
        "docker.io/library/multi:1": (image.index["digest"], ["linux/amd64", "linux/arm64/v8", "linux/s390x"])
    }


def test_what_is_missing_is_skipped_for_some_platforms_only(imagefs, tmp_path):
    image = Multi(AMD64, ARM64, S390X)
    take(imagefs, image.archive, digest_of(image.layers[1]))
    imagefs("export", "--skip-missing", "--platform", "linux/arm64,linux/s390x", "-o", tmp_path / "a.tar", "multi:1")
    assert entries(tmp_path / "a.tar")[0]["digest"] == image.index["digest"]
    there = blobs(tmp_path / "a.tar")
    assert {image.manifests[1]["digest"], *(each["digest"] for each in image.manifests[2:])} <= there
    assert image.manifests[0]["digest"] not in there
    refusal = imagefs(
        "export", "--skip-missing", "--platform", "mips", "-o", tmp_path / "b.tar", "multi:1", check=False
    )
    assert "multi:1: not for linux/mips, only for linux/amd64, linux/arm64/v8, linux/s390x\n" in refusal.err


def test_an_image_that_is_not_complete_goes_out_no_other_way(imagefs, tmp_path):
    archive = OciArchive()
    entry = archive.add_image([SHARED, OWN], name="one:1")
    take(imagefs, archive, digest_of(OWN))
    for options in ([], ["--all-platforms"], ["--format", "docker"]):
        refusal = imagefs("export", *options, "-o", tmp_path / "a.tar", "one:1", check=False)
        problem = f"no platform of it is complete in the store: linux/amd64 lacks {digest_of(OWN)}"
        assert (refusal.status, refusal.err) == (1, f"imagefs: docker.io/library/one:1: {problem}\n")
    imagefs("export", "--skip-missing", "-o", tmp_path / "a.tar", "one:1")
    assert entries(tmp_path / "a.tar")[0]["digest"] == entry["digest"]
    assert blobs(tmp_path / "a.tar") == archive.blobs.keys() - {digest_of(OWN)}
    assert dockers(tmp_path / "a.tar") == []
    refusal = imagefs("export", "--skip-missing", "--format", "docker", "-o", tmp_path / "b.tar", "one:1", check=False)
    assert (refusal.status, len(refusal.err.splitlines())) == (1, 1)


def test_an_image_of_which_nothing_is_there(imagefs, tmp_path):
    archive = OciArchive()
    entry = archive.add_image([SHARED], name="one:1")
    take(imagefs, archive, *archive.blobs)
    refusal = imagefs("export", "--skip-missing", "-o", tmp_path / "a.tar", "one:1", check=False)
    problem = f"the store has nothing of it, not even {entry['digest']}"
    assert (refusal.status, refusal.err) == (1, f"imagefs: docker.io/library/one:1: {problem}\n")


# -- layers that may not be given away


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("command", [["export", "--skip-non-distributable"], ["save"]])
def test_layers_that_are_not_to_be_given_away_stay_behind(imagefs, tmp_path, command, there):
    archive, content = windows("windows:1")
    take(imagefs, archive, *([] if there else [digest_of(SHARED)]))
    imagefs(*command, "-o", tmp_path / "a.tar", "windows:1")
    assert entries(tmp_path / "a.tar")[0]["digest"] == content
    assert blobs(tmp_path / "a.tar") == archive.blobs.keys() - {digest_of(SHARED)}
    (entry,) = dockers(tmp_path / "a.tar")
    assert entry["Layers"] == [f"blobs/{digest_of(each).replace(':', '/')}" for each in (SHARED, OWN)]
    source = {"mediaType": FOREIGN_TYPE, "digest": digest_of(SHARED), "size": len(SHARED)}
    source["urls"] = ["https://example.org/layer"]
    assert entry["LayerSources"] == {digest_of(uncompressed(SHARED)): source}
    other = InsideImagefs(tmp_path / "other")
    other("import", tmp_path / "a.tar")
    assert rows(other)["docker.io/library/windows:1"][0] == content
    refusal = imagefs("export", "-o", tmp_path / "b.tar", "windows:1", check=False)
    assert refusal.status == (0 if there else 1)
    if there:
        assert blobs(tmp_path / "b.tar") == archive.blobs.keys()
        assert "LayerSources" not in dockers(tmp_path / "b.tar")[0]


def test_dockers_own_format_says_where_such_layers_come_from(imagefs, tmp_path):
    archive, _ = windows("windows:1")
    take(imagefs, archive)
    imagefs("export", "--format", "docker", "--skip-non-distributable", "-o", tmp_path / "a.tar", "windows:1")
    (entry,) = dockers(tmp_path / "a.tar")
    diff_ids = [digest_of(uncompressed(each)) for each in (SHARED, OWN)]
    assert entry["Layers"] == [f"{each[7:]}.tar" for each in diff_ids]
    assert list(entry["LayerSources"]) == diff_ids[:1]
    assert set(members(tmp_path / "a.tar")) == {"manifest.json", entry["Config"], entry["Layers"][1]}
    other = InsideImagefs(tmp_path / "other")
    other("import", tmp_path / "a.tar")
    (described,) = json.loads(other("inspect", "--json", "windows:1").out)["manifests"]
    assert described["layers"][0]["mediaType"] == FOREIGN_TYPE
