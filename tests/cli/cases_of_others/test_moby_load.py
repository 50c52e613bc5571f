"""The cases of moby's tests of loading, and the images that they are made with: releases 28.5 and 29."""

import json

import pytest
from support.archives import AMD64, ARM64, file, layer
from support.cases import Cases, lines
from support.special_images import (
    RISCV64,
    config_target,
    dangling,
    empty_fs,
    empty_index,
    labeled,
    manifests_of,
    multi_layer,
    multi_platform,
    text_plain,
    two_platform,
)
from support.stored import digests, everything, platforms

from imagefs import Store
from imagefs.store.standing import tally

DANGLING = Cases("moby", "integration/image/load_test.go", ["TestLoadDanglingImages"])
LOAD = Cases(
    "moby",
    "daemon/containerd/image_load_test.go",
    lines("""
        TestImageLoad/empty index
        TestImageLoad/single platform
        TestImageLoad/multi-platform image/one platform in index
        TestImageLoad/multi-platform image/all platforms in index
        TestImageLoad/multi-platform image/platform not included in index
        TestImageLoad/multi-platform image/platform included but blobs missing
        TestImageLoadMissing/empty index
        TestImageLoadMissing/single platform
        TestImageLoadMissing/2 platform image/platform not included in index
        TestImageLoadMissing/2 platform image/platform blobs missing
    """),
)
MANIFEST = Cases("moby", "image/tarexport/load_test.go", ["TestValidateManifest/nil", "TestValidateManifest/non-nil"])
IMAGES = Cases(
    "moby",
    "internal/testutil/specialimage",
    lines("""
        ConfigTarget
        Dangling
        EmptyFS
        EmptyIndex
        Labeled
        MultiLayer
        MultiPlatform
        PartialMultiPlatform
        RandomSinglePlatform
        TextPlain
        TwoPlatform
    """),
)


# -- integration/image/load_test.go


@DANGLING.case("the same: the old image stays, under its digest", "TestLoadDanglingImages")
def test_the_image_that_loses_its_name_stays(imagefs):
    old, new = (multi_layer("namedimage:latest", bar=data) for data in (b"1", b"2"))
    assert imagefs("load", "-q", stdin=old.bytes()).lines == ["Loaded image: namedimage:latest"]
    imagefs("load", "-q", stdin=new.bytes())
    before, after = (each.manifests[0]["digest"] for each in (old, new))
    assert before != after
    assert digests(imagefs) == {"docker.io/library/namedimage:latest": after, before: before}
    assert imagefs("cat", f"{before[7:19]}:/bar").out == "1"


# -- daemon/containerd/image_load_test.go


@LOAD.case("refused, as there; but nothing is loaded", "TestImageLoad/empty index", "TestImageLoadMissing/empty index")
def test_a_platform_of_an_index_without_any(imagefs):
    result = imagefs("load", "-q", "--platform", "linux/amd64", stdin=empty_index().bytes(), check=False)
    assert result.status == 1
    assert "docker.io/library/emptyindex:latest: nothing of it for linux/amd64 is in the archive" in result.err
    assert everything(imagefs) == set()


@LOAD.case(
    "the same: its own platform is loaded, another is refused, and what was loaded stays",
    "TestImageLoad/single platform",
    "TestImageLoadMissing/single platform",
)
def test_an_image_for_one_platform(imagefs):
    data = multi_layer("random:latest").bytes()
    result = imagefs("load", "-q", "--platform", "linux/arm64", stdin=data, check=False)
    assert result.status == 1
    assert "docker.io/library/random:latest: it is not for linux/arm64/v8, only for linux/amd64" in result.err
    assert everything(imagefs) == set()
    imagefs("load", "-q", "--platform", "linux/amd64", stdin=data)
    assert imagefs("load", "-q", "--platform", "linux/arm64", stdin=data, check=False).status == 1
    assert platforms(imagefs, "docker.io/library/random:latest") == ["linux/amd64"]


@LOAD.table(
    "the same platforms, and only those",
    ("wanted", "expected"),
    {
        "TestImageLoad/multi-platform image/one platform in index": (["linux/amd64"], ["linux/amd64"]),
        "TestImageLoad/multi-platform image/all platforms in index": (
            ["linux/amd64", "linux/arm64", "linux/riscv64"],
            ["linux/amd64", "linux/arm64/v8", "linux/riscv64"],
        ),
    },
)
def test_platforms_of_an_index(imagefs, wanted, expected):
    options = [text for each in wanted for text in ("--platform", each)]
    imagefs("load", "-q", *options, stdin=multi_platform(AMD64, ARM64, RISCV64).bytes())
    assert platforms(imagefs, "docker.io/library/multiplatform:latest") == expected


@LOAD.case(
    "refused, as there; but nothing is loaded, and it says which platforms there are",
    "TestImageLoad/multi-platform image/platform not included in index",
    "TestImageLoadMissing/2 platform image/platform not included in index",
)
def test_a_platform_that_the_index_does_not_have(imagefs):
    data = multi_platform(AMD64, ARM64).bytes()
    result = imagefs("load", "-q", "--platform", "linux/arm/v5", stdin=data, check=False)
    assert result.status == 1
    assert "it is not for linux/arm/v5, only for linux/amd64, linux/arm64/v8" in result.err
    assert everything(imagefs) == set()


@LOAD.case(
    "refused, as there; with --skip-missing it is kept as incomplete",
    "TestImageLoad/multi-platform image/platform included but blobs missing",
    "TestImageLoadMissing/2 platform image/platform blobs missing",
)
def test_a_platform_whose_manifest_is_missing(imagefs):
    archive = multi_platform(AMD64, ARM64)
    data = archive.bytes(leave_out=[f"blobs/{manifests_of(archive)[1].replace(':', '/')}"])
    arm = ["load", "-q", "--platform", "linux/arm64"]
    assert imagefs(*arm, stdin=data, check=False).status == 1
    assert everything(imagefs) == set()
    assert imagefs(*arm, "--skip-missing", stdin=data).lines == ["Loaded image: multiplatform:latest"]
    with Store(imagefs.store) as store:
        (record,) = store.images()
        assert (record.complete, record.platforms) == (False, ("linux/arm64/v8",))


# -- image/tarexport/load_test.go


@MANIFEST.table(
    "null is refused, as there; a list of no image, too, for nothing would be loaded",
    ("manifest", "said"),
    {
        "TestValidateManifest/nil": (b"null", "manifest.json: not a valid list"),
        "TestValidateManifest/non-nil": (b"[]", "manifest.json: it lists no image"),
    },
)
def test_a_manifest_that_lists_nothing(imagefs, manifest, said):
    result = imagefs("load", "-q", stdin=layer(file("manifest.json", manifest)), check=False)
    assert result.status == 1
    assert said in result.err
    assert everything(imagefs) == set()


# -- internal/testutil/specialimage


@IMAGES.table(
    "loaded, without a tree: it is none that could be mounted; exported again as it is",
    ("archive", "name"),
    {
        "ConfigTarget": (config_target(), "docker.io/library/config:latest"),
        "TextPlain": (text_plain(), "docker.io/tianon/test:text-plain"),
    },
)
def test_what_is_no_image(imagefs, other, path, archive, name):
    short = name.removeprefix("docker.io/").removeprefix("library/")
    assert imagefs("load", "-q", stdin=archive.bytes()).lines == [f"Loaded image: {short}"]
    assert platforms(imagefs, name) == []
    imagefs("export", name, "-o", path)
    other("load", "-q", "-i", path)
    assert digests(other) == digests(imagefs)
    with Store(other.store) as store:
        assert set(store.blobs) == set(archive.blobs)


@IMAGES.case("loaded by its digest, with the manifest that it has; with or without oci-layout", "Dangling")
@pytest.mark.parametrize("leave_out", [[], ["oci-layout"]])
def test_a_dangling_image(imagefs, leave_out):
    archive = dangling()
    digest = archive.manifests[0]["digest"]
    assert imagefs("load", "-q", stdin=archive.bytes(leave_out=leave_out)).lines == [f"Loaded image ID: {digest}"]
    assert digests(imagefs) == {digest: digest}
    assert imagefs("ls", f"{digest[7:19]}:/").lines == []


@IMAGES.case("loaded with --format docker: its tree is empty", "EmptyFS")
def test_an_empty_file_system(imagefs):
    assert imagefs("load", "-q", "--format", "docker", stdin=empty_fs()).lines == ["Loaded image: emptyfs:latest"]
    assert imagefs("ls", "emptyfs:/").lines == []


@IMAGES.case("taken with --skip-missing; there is no tree in it", "EmptyIndex")
def test_an_empty_index(imagefs):
    archive = empty_index()
    imagefs("load", "-q", "--skip-missing", stdin=archive.bytes())
    assert digests(imagefs) == {"docker.io/library/emptyindex:latest": archive.manifests[0]["digest"]}
    assert platforms(imagefs, "docker.io/library/emptyindex:latest") == []


@IMAGES.case("loaded; `images --filter label=` finds it by the labels in its configuration", "Labeled")
def test_labels_of_a_configuration(imagefs):
    imagefs("load", "-q", stdin=labeled({"on_prune": "keep"}).bytes())
    imagefs("load", "-q", stdin=multi_layer().bytes())
    found = json.loads(imagefs("images", "--json", "--filter", "label=on_prune=keep").out)
    assert [each["name"] for each in found] == ["docker.io/library/labeled:latest"]
    assert imagefs("ls", "labeled:/").lines == []


@IMAGES.case("loaded, with the tree of all layers", "MultiLayer", "RandomSinglePlatform")
def test_an_image_with_a_file_in_each_layer(imagefs):
    archive = multi_layer()
    assert imagefs("load", "-q", stdin=archive.bytes()).lines == ["Loaded image: multilayer:latest"]
    assert digests(imagefs) == {"docker.io/library/multilayer:latest": archive.manifests[0]["digest"]}
    assert imagefs("ls", "multilayer:/").lines == ["bar", "foo", "hello"]


@IMAGES.case("loaded under the digest of its index, with all platforms", "MultiPlatform", "TwoPlatform")
def test_an_image_for_two_platforms(imagefs):
    archive = two_platform()
    assert imagefs("load", "-q", stdin=archive.bytes()).lines == ["Loaded image: twoplatform:latest"]
    assert digests(imagefs) == {"docker.io/library/twoplatform:latest": archive.manifests[0]["digest"]}
    assert platforms(imagefs, "docker.io/library/twoplatform:latest") == ["linux/amd64", "linux/arm64/v8"]


@IMAGES.case(
    "loaded, with the platforms that are there; that others are elsewhere makes it not incomplete",
    "PartialMultiPlatform",
)
def test_an_index_with_a_platform_that_is_elsewhere(imagefs):
    archive = multi_platform(AMD64, name="partial:latest", missing=[ARM64])
    imagefs("load", "-q", stdin=archive.bytes())
    assert platforms(imagefs, "docker.io/library/partial:latest") == ["linux/amd64"]
    with Store(imagefs.store) as store:
        (record,) = store.images()
        assert record.complete
        assert str(tally(store.blobs, record.target)) == "complete"


@pytest.mark.parametrize("cases", [DANGLING, LOAD, MANIFEST, IMAGES], ids=lambda each: each.path)
def test_every_case_has_one_answer(cases):
    assert cases.unaccounted() == []
