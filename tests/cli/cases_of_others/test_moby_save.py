"""The cases of moby's tests of saving: releases 28.5 and 29."""

import io
import json
import tarfile

import pytest
from support.archives import AMD64, ARM64, digest_of, directory, file, layer, uncompressed
from support.cases import Cases, lines
from support.exported import blobs, dockers, entries, members
from support.inside import InsideImagefs
from support.special_images import RISCV64, multi_layer, multi_platform
from support.stored import platforms

from imagefs import Store

SAVE = Cases(
    "moby",
    "integration/image/save_test.go",
    lines("""
        TestSaveCheckTimes
        TestSaveOCI/busybox:latest
        TestSaveOCI/(the image's ID)
        TestSaveOCI/multilayer:latest
        TestSaveOCI/(a name with digest)
        TestSavePlatform
        TestSaveAndLoadPlatform/With no platforms specified
        TestSaveAndLoadPlatform/With single pulled platform
        TestSaveAndLoadPlatform/With single platform save and load
        TestSaveAndLoadPlatform/With multiple platforms save and load
        TestSaveAndLoadPlatform/With mixed platform save and load
        TestSaveRepoWithMultipleImages
        TestSaveDirectoryPermissions
    """),
)
"""Each of `TestSaveOCI` has four subtests: Manifest, Config, Containerd image name, OCI reference tag."""

SHALLOW = Cases(
    "moby",
    "daemon/containerd/image_save_test.go",
    lines("""
        TestImageMultiplatformSaveShallowWithNative/export without specific platform
        TestImageMultiplatformSaveShallowWithNative/export native
        TestImageMultiplatformSaveShallowWithNative/export multiple platforms
        TestImageMultiplatformSaveShallowWithNative/export missing
        TestImageMultiplatformSaveShallowWithNative/export multiple platforms with some missing
        TestImageMultiplatformSaveShallowWithoutNative/export without specific platform
        TestImageMultiplatformSaveShallowWithoutNative/export native
        TestImageMultiplatformSaveShallowWithoutNative/export arm64
        TestImageMultiplatformSaveShallowWithoutNative/export multiple platforms
        TestImageMultiplatformSaveShallowWithoutNative/export multiple platforms with some missing
        TestImageMultiplatformSaveShallowWithoutNative/export non existing platform
    """),
)


# -- integration/image/save_test.go


@SAVE.case("all times are 0, as with containerd's store there", "TestSaveCheckTimes")
def test_times(imagefs, path):
    imagefs("load", "-q", stdin=multi_layer("busybox:latest").bytes())
    imagefs("save", "busybox:latest", "-o", path)
    with tarfile.open(path) as archive:
        assert {member.mtime for member in archive} == {0}


@SAVE.table(
    "the same: one manifest, its layers and configuration as they were; names, but not for a digest",
    ("asked", "annotations"),
    {
        "TestSaveOCI/busybox:latest": (
            "busybox:latest",
            {
                "io.containerd.image.name": "docker.io/library/busybox:latest",
                "org.opencontainers.image.ref.name": "latest",
            },
        ),
        "TestSaveOCI/(the image's ID)": ("{digest}", {}),
        "TestSaveOCI/multilayer:latest": (
            "multilayer",
            {
                "io.containerd.image.name": "docker.io/library/multilayer:latest",
                "org.opencontainers.image.ref.name": "latest",
            },
        ),
        "TestSaveOCI/(a name with digest)": ("busybox@{digest}", {}),
    },
)
def test_a_saved_layout(imagefs, path, asked, annotations):
    name = "multilayer:latest" if asked == "multilayer" else "busybox:latest"
    archive = multi_layer(name)
    imagefs("load", "-q", stdin=archive.bytes())
    imagefs("save", asked.format(digest=archive.manifests[0]["digest"]), "-o", path)
    found = members(path)
    (entry,) = json.loads(found["index.json"])["manifests"]
    manifest = json.loads(found[f"blobs/{entry['digest'].replace(':', '/')}"])
    config = json.loads(found[f"blobs/{manifest['config']['digest'].replace(':', '/')}"])
    layers = [found[f"blobs/{each['digest'].replace(':', '/')}"] for each in manifest["layers"]]
    assert [len(each) for each in layers] == [each["size"] for each in manifest["layers"]]
    assert [digest_of(uncompressed(each)) for each in layers] == config["rootfs"]["diff_ids"]
    assert entry.get("annotations", {}) == annotations
    assert blobs(path) == set(archive.blobs)


def options(*texts: str) -> list[str]:
    return [option for text in texts for option in ("--platform", text)]


@SAVE.case("taken, where 28 refuses several platforms: as 29 does", "TestSavePlatform")
@SAVE.table(
    "the same platforms, saved and loaded",
    ("saved", "loaded", "expected"),
    {
        "TestSaveAndLoadPlatform/With no platforms specified": (
            [],
            [],
            ["linux/amd64", "linux/arm64/v8", "linux/riscv64"],
        ),
        "TestSaveAndLoadPlatform/With single pulled platform": (["linux/amd64"], ["linux/amd64"], ["linux/amd64"]),
        "TestSaveAndLoadPlatform/With single platform save and load": (
            ["linux/amd64"],
            ["linux/amd64"],
            ["linux/amd64"],
        ),
        "TestSaveAndLoadPlatform/With multiple platforms save and load": (
            ["linux/arm64/v8", "linux/riscv64"],
            ["linux/arm64/v8", "linux/riscv64"],
            ["linux/arm64/v8", "linux/riscv64"],
        ),
        "TestSaveAndLoadPlatform/With mixed platform save and load": (
            ["linux/arm64/v8", "linux/riscv64"],
            ["linux/riscv64"],
            ["linux/riscv64"],
        ),
    },
)
def test_platforms_saved_and_loaded(imagefs, tmp_path, path, saved, loaded, expected):
    name = "docker.io/library/alpine:latest"
    imagefs("load", "-q", stdin=multi_platform(AMD64, ARM64, RISCV64, name=name).bytes())
    imagefs("save", *options(*saved), "alpine:latest", "-o", path)
    whole, part = InsideImagefs(tmp_path / "whole"), InsideImagefs(tmp_path / "part")
    whole("load", "-q", "-i", path)
    assert platforms(whole, name) == (saved or expected)
    part("load", "-q", "-i", path, *options(*loaded))
    assert platforms(part, name) == expected


@SAVE.case("the same: both tags of the name without tag, and the other image", "TestSaveRepoWithMultipleImages")
def test_a_name_without_a_tag(imagefs, path):
    tags = ["foobar-save-multi-images-test:foo", "foobar-save-multi-images-test:bar", "busybox:latest"]
    for tag in [*tags, "other:1"]:
        imagefs("load", "-q", stdin=multi_layer(tag, foo=tag.encode()).bytes())
    imagefs("save", "foobar-save-multi-images-test", "busybox:latest", "-o", path)
    found = dockers(path)
    assert {name for entry in found for name in entry["RepoTags"]} == {f"docker.io/library/{tag}" for tag in tags}
    assert {entry["Config"] for entry in found} <= set(members(path))
    with Store(imagefs.store) as store:
        assert {each["digest"] for each in entries(path)} == {str(store.find_image(tag).target.digest) for tag in tags}


@SAVE.case("the same: layers are as they were, byte for byte", "TestSaveDirectoryPermissions")
def test_entries_of_a_layer(imagefs, path):
    user = {"uid": 1000, "gid": 1000}
    folders = [directory(name, **user) for name in ("opt/a/", "opt/a/b/")]
    data = layer(directory("opt/"), *folders, file("opt/a/b/c", **user))
    archive = multi_layer("built:latest")
    archive.name(archive.add_manifest([data]), name="owned:latest")
    imagefs("load", "-q", stdin=archive.bytes())
    imagefs("save", "owned:latest", "-o", path)
    ((name,),) = [entry["Layers"] for entry in dockers(path)]
    with tarfile.open(fileobj=io.BytesIO(members(path)[name])) as found:
        assert [(each.name, each.uid) for each in found] == [
            ("opt", 0),
            *((f"opt/{x}", 1000) for x in ("a", "a/b", "a/b/c")),
        ]


# -- daemon/containerd/image_save_test.go


def saved(imagefs, other, path, stored, missing, *wanted: str) -> tuple[int, list[str], str]:
    """Saves an image of which some platforms are there: the exit status, the saved platforms, what was said."""
    archive = multi_platform(*stored, name="partial:latest", missing=missing)
    imagefs("load", "-q", stdin=archive.bytes())
    result = imagefs("save", *options(*wanted), "partial:latest", "-o", path, check=False)
    if result.status:
        assert not path.exists()
        return result.status, [], result.err
    other("load", "-q", "-i", path)
    return 0, platforms(other, "docker.io/library/partial:latest"), result.err


NATIVE = "TestImageMultiplatformSaveShallowWithNative"
FOREIGN = "TestImageMultiplatformSaveShallowWithoutNative"


@SHALLOW.table(
    "the same: what was asked for and is there; what is not is told",
    ("stored", "missing", "wanted", "expected"),
    {
        f"{NATIVE}/export without specific platform": ((AMD64, RISCV64), [ARM64], [], ["linux/amd64", "linux/riscv64"]),
        f"{NATIVE}/export native": ((AMD64, RISCV64), [ARM64], ["linux/amd64"], ["linux/amd64"]),
        f"{NATIVE}/export multiple platforms": (
            (AMD64, RISCV64),
            [ARM64],
            ["linux/amd64", "linux/riscv64"],
            ["linux/amd64", "linux/riscv64"],
        ),
        f"{NATIVE}/export multiple platforms with some missing": (
            (AMD64, RISCV64),
            [ARM64],
            ["linux/arm64", "linux/riscv64"],
            ["linux/riscv64"],
        ),
        f"{FOREIGN}/export arm64": ((ARM64, RISCV64), [AMD64], ["linux/arm64"], ["linux/arm64/v8"]),
        f"{FOREIGN}/export multiple platforms": (
            (ARM64, RISCV64),
            [AMD64],
            ["linux/arm64", "linux/riscv64"],
            ["linux/arm64/v8", "linux/riscv64"],
        ),
    },
)
def test_platforms_that_are_there(imagefs, other, path, caplog, stored, missing, wanted, expected):
    assert saved(imagefs, other, path, stored, missing, *wanted)[:2] == (0, expected)
    absent = len(wanted) > len(expected)
    assert ("linux/arm64/v8 is listed but its content is not in the store" in caplog.text) == absent


@SHALLOW.table(
    "what is there is saved, as no platform is preferred; there, one is skipped and the other refused",
    ("wanted", "expected"),
    {
        f"{FOREIGN}/export without specific platform": ([], ["linux/arm64/v8", "linux/riscv64"]),
        f"{FOREIGN}/export multiple platforms with some missing": (["linux/arm64", "linux/amd64"], ["linux/arm64/v8"]),
    },
)
def test_platforms_without_that_of_the_machine(imagefs, other, path, wanted, expected):
    assert saved(imagefs, other, path, (ARM64, RISCV64), [AMD64], *wanted)[:2] == (0, expected)


@SHALLOW.table(
    "an error, as there, that tells what is listed from what is not",
    ("stored", "missing", "wanted", "expected"),
    {
        f"{NATIVE}/export missing": ((AMD64, RISCV64), [ARM64], "linux/arm64", "linux/arm64/v8 is listed but"),
        f"{FOREIGN}/export native": ((ARM64, RISCV64), [AMD64], "linux/amd64", "linux/amd64 is listed but"),
        f"{FOREIGN}/export non existing platform": (
            (ARM64, RISCV64),
            [AMD64],
            "linux/s390x",
            "not for linux/s390x, only for linux/arm64/v8, linux/riscv64, linux/amd64",
        ),
    },
)
def test_platforms_that_are_not_there(imagefs, other, path, stored, missing, wanted, expected):
    status, _, said = saved(imagefs, other, path, stored, missing, wanted)
    assert status == 1
    assert expected in said


@pytest.mark.parametrize("cases", [SAVE, SHALLOW], ids=lambda each: each.path)
def test_every_case_has_one_answer(cases):
    assert cases.unaccounted() == []
