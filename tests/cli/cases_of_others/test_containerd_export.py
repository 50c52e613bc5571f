"""The cases of containerd's export tests, and of its calculation of sizes: releases 1.6, 1.7 and 2.4."""

import json
import re
from itertools import product

import click
import pytest
from support.archives import AMD64, ARM64, OciArchive, file, layer
from support.cases import Cases, lines
from support.exported import blobs, entries, members
from support.inside import InsideImagefs
from support.special_images import RISCV64, manifests_of, multi_platform

EXPORT = Cases(
    "containerd",
    "integration/client/export_test.go",
    lines("""
        TestExport
        TestExportDockerManifest
        TestExportAllCases/export all platforms without SkipMissing
        TestExportAllCases/export all platforms with SkipMissing
        TestExportAllCases/export full image
        TestExportAllCases/export multi-platform with SkipDockerManifest
        TestExportAllCases/export single-platform with SkipDockerManifest
        TestExportAllCases/export index only
        TestExportAllCases/export image setting ocispec.AnnotationRefName
    """),
)
"""`TestExport` and `TestExportDockerManifest` are 1.6's."""

FUZZ = Cases("containerd", "contrib/fuzz/content_fuzz_test.go", ["FuzzArchiveExport"])
"""The one of its tests that is about archives."""

USAGE = Cases(
    "containerd",
    "core/images/usage/calculator_test.go",
    lines("""
        TestUsageCalculation/simple
        TestUsageCalculation/simpleIndex
        TestUsageCalculation/stripLayersManifestOnly
        TestUsageCalculation/stripLayers
        TestUsageCalculation/manifestlimit
    """),
)
ALL_PLATFORMS = (AMD64, ARM64, RISCV64)


@pytest.fixture
def whole(imagefs) -> OciArchive:
    """An image of which the store has all platforms."""
    archive = multi_platform(*ALL_PLATFORMS, name="registry.test/app:1")
    imagefs("import", "-q", "-", stdin=archive.bytes())
    return archive


@pytest.fixture
def partial(imagefs) -> OciArchive:
    """The same of which it has one platform."""
    archive = multi_platform(*ALL_PLATFORMS, name="registry.test/app:1")
    imagefs("import", "-q", "-", "--platform", "linux/amd64", stdin=archive.bytes())
    return archive


def of_manifest(archive: OciArchive, digest: str) -> set[str]:
    """The digests of a manifest and of what it refers to."""
    manifest = json.loads(archive.blobs[digest])
    return {digest, manifest["config"]["digest"], *(each["digest"] for each in manifest["layers"])}


DOCUMENTS = {"oci-layout", "index.json", "manifest.json"}


def documents(path) -> set[str]:
    return {name for name in members(path) if not name.startswith("blobs/")}


@EXPORT.case("the same three documents", "TestExport")
def test_the_documents_of_an_archive(whole, imagefs, path):
    imagefs("export", "--platform", "linux/amd64", "registry.test/app:1", "-o", path)
    assert documents(path) == DOCUMENTS
    assert blobs(path) == of_manifest(whole, manifests_of(whole)[0])


@EXPORT.case("the same, for all platforms and for one", "TestExportDockerManifest")
@pytest.mark.parametrize("platforms", [[], ["--platform", "linux/amd64"]])
def test_archives_without_manifest_json(whole, imagefs, path, platforms):
    imagefs("export", "--skip-manifest-json", *platforms, "registry.test/app:1", "-o", path)
    assert documents(path) == DOCUMENTS - {"manifest.json"}


@EXPORT.case(
    "an error, as there, with --all-platforms; and it says which platforms lack what",
    "TestExportAllCases/export all platforms without SkipMissing",
)
def test_all_platforms_where_one_is_there(partial, imagefs, path):
    result = imagefs("export", "--all-platforms", "registry.test/app:1", "-o", path, check=False)
    assert result.status == 1
    lacking = manifests_of(partial)[1:]
    assert f"not all of it is in the store: linux/arm64/v8 lacks {lacking[0]}" in result.err
    assert not path.exists()


@EXPORT.case(
    "the same: the index, and the platform that is there", "TestExportAllCases/export all platforms with SkipMissing"
)
def test_all_platforms_as_far_as_they_are_there(partial, imagefs, path):
    imagefs("export", "--all-platforms", "--skip-missing", "registry.test/app:1", "-o", path)
    index = partial.manifests[0]["digest"]
    assert documents(path) == DOCUMENTS
    assert blobs(path) == {index, *of_manifest(partial, manifests_of(partial)[0])}
    assert [each["digest"] for each in entries(path)] == [index]


@EXPORT.case("the same, under the same digest", "TestExportAllCases/export full image")
@pytest.mark.parametrize("options", [[], ["--all-platforms"]])
def test_all_of_an_image(whole, imagefs, path, options):
    imagefs("export", *options, "registry.test/app:1", "-o", path)
    assert documents(path) == DOCUMENTS
    assert blobs(path) == set(whole.blobs)
    assert [each["digest"] for each in entries(path)] == [whole.manifests[0]["digest"]]


@EXPORT.case("the same", "TestExportAllCases/export multi-platform with SkipDockerManifest")
def test_all_of_an_image_without_manifest_json(whole, imagefs, path):
    imagefs("export", "--skip-manifest-json", "registry.test/app:1", "-o", path)
    assert documents(path) == DOCUMENTS - {"manifest.json"}
    assert blobs(path) == set(whole.blobs)


@EXPORT.case(
    "the same, of one platform that is there: its manifest, without the index",
    "TestExportAllCases/export single-platform with SkipDockerManifest",
)
@pytest.mark.parametrize("options", [[], ["--platform", "linux/amd64"]])
def test_one_platform_without_manifest_json(partial, imagefs, path, options):
    imagefs("export", "--skip-manifest-json", *options, "registry.test/app:1", "-o", path)
    manifest = manifests_of(partial)[0]
    assert documents(path) == DOCUMENTS - {"manifest.json"}
    assert blobs(path) == of_manifest(partial, manifest)
    assert [each["digest"] for each in entries(path)] == [manifest]


@EXPORT.case(
    "the same with --skip-missing, else an error; manifest.json lists no image", "TestExportAllCases/export index only"
)
def test_an_index_and_nothing_else(imagefs, path):
    archive = multi_platform(name="registry.test/app:1", missing=ALL_PLATFORMS)
    imagefs("import", "-q", "--skip-missing", "-", stdin=archive.bytes())
    result = imagefs("export", "registry.test/app:1", "-o", path, check=False)
    assert result.status == 1
    assert "no platform of it is complete in the store" in result.err
    imagefs("export", "--skip-missing", "registry.test/app:1", "-o", path)
    assert blobs(path) == {archive.manifests[0]["digest"]}
    assert json.loads(members(path).get("manifest.json", b"[]")) == []


@EXPORT.case(
    "the same: the whole name is the reference, as a digest is no tag",
    "TestExportAllCases/export image setting ocispec.AnnotationRefName",
)
def test_an_image_that_is_named_by_digest(imagefs, path):
    archive = multi_platform(AMD64, name="registry.test/app:1")
    digest = archive.manifests[0]["digest"]
    named = f"registry.test/app@{digest}"
    imagefs("import", "-q", "--digests", "-", stdin=archive.bytes())
    imagefs("rm", "registry.test/app:1")
    imagefs("export", named, "-o", path)
    (entry,) = entries(path)
    assert entry["digest"] == digest
    assert entry["annotations"] == {
        "io.containerd.image.name": named,
        "org.opencontainers.image.ref.name": named,
    }
    part = "[A-Za-z0-9]+((-|--|[._:@+])[A-Za-z0-9]+)*"  # the specification's grammar of a reference
    assert re.fullmatch(f"{part}(/{part})*", named)


# -- contrib/fuzz/content_fuzz_test.go

CHOICES = (
    ["--all-platforms", "--platform=linux/arm64", "--platform=linux/s390x", None],
    ["--skip-missing", None],
    ["--skip-manifest-json", "--format=docker", None],
    ["--skip-non-distributable", None],
)


@FUZZ.case(
    "whatever is asked for, there is an archive that can be imported, or one line and no file", "FuzzArchiveExport"
)
@pytest.mark.parametrize("there", ["all", "one platform", "no platform"])
def test_all_options_together(imagefs, other, path, there):
    missing = ALL_PLATFORMS if there == "no platform" else ()
    archive = multi_platform(*() if missing else ALL_PLATFORMS, name="registry.test/app:1", missing=missing)
    wanted = ["--platform=linux/amd64"] if there == "one platform" else []
    imagefs("import", "-q", "--skip-missing", *wanted, "-", stdin=archive.bytes())
    statuses = set()
    for chosen in product(*CHOICES):
        try:
            result = imagefs("export", *filter(None, chosen), "registry.test/app:1", "-o", path, check=False)
        except click.UsageError:
            continue
        statuses.add(result.status)
        assert path.exists() == (result.status == 0)
        if result.status:
            assert result.err.count("\n") == 1
            continue
        assert other("import", "-q", "--skip-missing", path).lines == ["registry.test/app:1"]
        path.unlink()
    assert statuses == {0, 1}


# -- core/images/usage: what `images` says about sizes


def size(imagefs: InsideImagefs) -> int:
    (image,) = json.loads(imagefs("images", "--json").out)
    return image["size"]


def size_of(archive: OciArchive, *digests: str) -> int:
    return sum(len(archive.blobs[each]) for each in digests or archive.blobs)


def of_sizes(*sizes: int) -> OciArchive:
    """An index over manifests whose layers have about these sizes."""
    archive = OciArchive()
    platforms = [{**AMD64, "variant": f"v{number}"} for number in range(1, len(sizes) + 1)]
    archive.add_index(
        [archive.add_manifest([layer(file("x", b"x" * each))], platforms[at]) for at, each in enumerate(sizes)],
        name="app:1",
    )
    return archive


@USAGE.case("the same: manifest, configuration and layers", "TestUsageCalculation/simple")
def test_the_size_of_an_image(imagefs):
    archive = OciArchive()
    archive.add_image([layer(file("x", b"x" * 50))], name="app:1")
    imagefs("import", "-q", "-", stdin=archive.bytes())
    assert size(imagefs) == size_of(archive)


@USAGE.case("the same: all content", "TestUsageCalculation/simpleIndex")
def test_the_size_of_an_index(imagefs):
    archive = of_sizes(50, 60, 70, 80, 90)
    imagefs("import", "-q", "-", stdin=archive.bytes())
    assert size(imagefs) == size_of(archive)


@USAGE.case("the same: what is there", "TestUsageCalculation/stripLayers")
@USAGE.case(
    "what is there, too: what manifests tell of blobs that are elsewhere takes up no room",
    "TestUsageCalculation/stripLayersManifestOnly",
)
def test_the_size_of_an_image_without_its_layers(imagefs):
    archive = of_sizes(51, 60, 70)
    layers = {blob for blob, data in archive.blobs.items() if not data.startswith(b"{")}
    data = archive.bytes(leave_out=[f"blobs/{each.replace(':', '/')}" for each in layers])
    imagefs("import", "-q", "--skip-missing", "-", stdin=data)
    assert size(imagefs) == size_of(archive, *(set(archive.blobs) - layers))


@USAGE.case("the same, and the index itself: what was imported for one platform", "TestUsageCalculation/manifestlimit")
def test_the_size_of_one_platform(partial, imagefs):
    kept = of_manifest(partial, manifests_of(partial)[0])
    assert size(imagefs) == size_of(partial, partial.manifests[0]["digest"], *kept)


@pytest.mark.parametrize("cases", [EXPORT, FUZZ, USAGE], ids=lambda each: each.path)
def test_every_case_has_one_answer(cases):
    assert cases.unaccounted() == []
