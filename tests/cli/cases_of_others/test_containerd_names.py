"""The cases of containerd's tests of the names that imported images get, and of finding them: releases 1.7 and 2.4.

`WithNamedPrefix` and `WithDigestRef` are what ctr makes of `--base-name` and `--digests`; it lets other names win over
the prefix (`AllowOverwrite`) where no `--base-name` is given.
"""

import pytest
from support.archives import OCI_INDEX, OCI_MANIFEST, OciArchive, digest_of, file, gzip_layer
from support.cases import Cases, lines
from support.inside import InsideImagefs

from imagefs import Store

TRANSFER = Cases(
    "containerd",
    "integration/client/import_test.go",
    lines("""
        TestTransferImport/Basic
        TestTransferImport/IndexRef
        TestTransferImport/AllRefs
        TestTransferImport/DigestRefs
        TestTransferImport/DigestRefsSkipNamed
        TestTransferImport/DigestOnly
        TestTransferImport/OverwriteDigestRefs
        TestTransferImport/TagOnlyRef
        TestTransferImport/TagOnlyOverwriteDigestRefs
    """),
)
STORE = Cases(
    "containerd",
    "core/transfer/image/imagestore_test.go",
    lines("""
        TestStore/Prefix_OCI
        TestStore/Prefix_containerd
        TestStore/Overwrite_OCI
        TestStore/Overwrite_containerd
        TestStore/TagOnly_OCI
        TestStore/AddDigest_Annotation
        TestStore/NameAndDigest_OCI
        TestStore/NameSkipDigest_OCI
        TestStore/OverwriteNameDigest_OCI
        TestStore/OverwriteNameDigest_containerd
        TestStore/OverwriteNameSkipDigest_OCI
        TestStore/OverwriteNameSkipDigest_containerd
        TestStore/ReferenceNotFound_OCI
        TestStore/ReferenceNotFound_containerd
        TestStore/NoReference_Annotation
        TestStore/NoReference_NoAnnotation
        TestStore/ImageName_NoAnnotation
        TestStore/ImageNameWithPrefixAddDigest_NoAnnotation
        TestStore/ImageNameWithExtraRef_NoAnnotation
        TestStore/ImageNameWithPrefixAddDigestSkipNamed_NoAnnotation
        TestLookup/SingleImage
        TestLookup/MultipleReferences
        TestLookup/OnlyReferences
        TestLookup/UnsupportedPrefix
    """),
)

LAYER = gzip_layer(file("low", b"1"))


def one(tag: str | None, name: str | None) -> tuple[bytes, dict[str, str]]:
    """An archive with one image, and the digests that names may end with."""
    archive = OciArchive()
    manifest = archive.add_image([LAYER], tag, name)
    return archive.bytes(), {"manifest": manifest["digest"], "index": digest_of(archive.members()["index.json"])}


def records(imagefs: InsideImagefs) -> dict:
    with Store(imagefs.store) as store:
        return {record.name: record.target for record in store.images()}


def names_of(imagefs: InsideImagefs, digest: str) -> list[str]:
    return [name for name, target in records(imagefs).items() if target.digest == digest]


def imported(imagefs: InsideImagefs, tag: str | None, name: str | None, *options: str) -> tuple[list[str], list[str]]:
    """The names that the image of an archive got, and those of its index; the digest in them is `@`."""
    data, digests = one(tag, name)
    imagefs("import", "-q", "-", *options, stdin=data)
    with Store(imagefs.store) as store:
        for target in records(imagefs).values():
            is_index = target.digest == digests["index"]
            assert is_index or target.digest == digests["manifest"]
            assert target.media_type == (OCI_INDEX if is_index else OCI_MANIFEST)
            assert target.size == len(store.blobs.read(target.digest))
    found = (names_of(imagefs, digests[each]) for each in ("manifest", "index"))
    return tuple([name.partition("@")[0] + "@" * ("@" in name) for name in names] for names in found)


TEST = "registry.test/all-refs"
INDEX = ["--index-name", f"{TEST}:index"]
DIGESTS = ["--digests"]
SKIPPING = ["--digests", "--skip-digest-for-named"]
BASE = ["--base-name", "registry.test/base"]


@TRANSFER.table(
    "the same names, digests, media types and sizes",
    ("entry", "options", "image", "index"),
    {
        "TestTransferImport/Basic": ((None, "registry.test/basic:latest"), [], ["registry.test/basic:latest"], []),
        "TestTransferImport/IndexRef": ((None, None), INDEX, [], [f"{TEST}:index"]),
        "TestTransferImport/AllRefs": (
            (None, f"{TEST}:1"),
            [*INDEX, "--base-name", TEST],
            [f"{TEST}:1"],
            [f"{TEST}:index"],
        ),
        "TestTransferImport/TagOnlyRef": (("thebest", None), ["--base-name", TEST], [f"{TEST}:thebest"], []),
    },
)
def test_names_of_images_and_of_the_index(imagefs, entry, options, image, index):
    assert imported(imagefs, *entry, *options) == (image, index)


@TRANSFER.table(
    "the same names, digests, media types and sizes",
    ("entry", "options", "image", "index"),
    {
        "TestTransferImport/DigestRefs": (
            (None, f"{TEST}:1"),
            [*INDEX, *DIGESTS, "--base-name", TEST],
            [f"{TEST}:1", f"{TEST}@"],
            [f"{TEST}:index", f"{TEST}@"],
        ),
        "TestTransferImport/DigestRefsSkipNamed": (
            (None, f"{TEST}:1"),
            [*INDEX, *SKIPPING, "--base-name", TEST],
            [f"{TEST}:1"],
            [f"{TEST}:index", f"{TEST}@"],
        ),
        "TestTransferImport/TagOnlyOverwriteDigestRefs": (
            ("latest", None),
            [*INDEX, *DIGESTS, *BASE],
            ["registry.test/base:latest", "registry.test/base@"],
            [f"{TEST}:index", "registry.test/base@"],
        ),
    },
)
def test_names_by_digest_beside_that_of_the_index(imagefs, entry, options, image, index):
    assert imported(imagefs, *entry, *options) == (image, index)


@TRANSFER.case(
    "the same for the image, with docker.io before a name that tells no registry; the index is not kept by its digest, "
    "as nobody asked for it with --index-name",
    "TestTransferImport/DigestOnly",
)
def test_digests_alone(imagefs):
    names = imported(imagefs, None, None, *SKIPPING, "--base-name", "imported-image")
    assert names == (["docker.io/library/imported-image@"], [])


@TRANSFER.case(
    "the same names, but the digest goes behind the image's own name where it has one, not behind the file's",
    "TestTransferImport/OverwriteDigestRefs",
)
def test_digests_where_another_name_wins(imagefs):
    names = imported(imagefs, None, f"{TEST}:1", *INDEX, *DIGESTS)
    assert names == ([f"{TEST}:1", f"{TEST}@"], [f"{TEST}:index", f"{TEST}@"])


FULL, SHORT = "registry.test/image:latest", "latest"


@STORE.table(
    "the same names",
    ("entry", "options", "expected"),
    {
        "TestStore/Prefix_OCI": ((FULL, None), ["--base-name", "registry.test/image"], [FULL]),
        "TestStore/Prefix_containerd": ((None, FULL), ["--base-name", "registry.test/image"], [FULL]),
        "TestStore/Overwrite_OCI": ((FULL, None), [], [FULL]),
        "TestStore/Overwrite_containerd": ((None, FULL), [], [FULL]),
        "TestStore/TagOnly_OCI": ((SHORT, None), ["--base-name", "registry.test/image"], [FULL]),
        "TestStore/AddDigest_Annotation": ((None, None), [*BASE, *DIGESTS], ["registry.test/base@"]),
        "TestStore/NameAndDigest_OCI": (
            (SHORT, None),
            [*BASE, *DIGESTS],
            ["registry.test/base:latest", "registry.test/base@"],
        ),
        "TestStore/NameSkipDigest_OCI": ((SHORT, None), [*BASE, *SKIPPING], ["registry.test/base:latest"]),
        "TestStore/OverwriteNameSkipDigest_OCI": ((FULL, None), SKIPPING, [FULL]),
        "TestStore/OverwriteNameSkipDigest_containerd": ((None, FULL), SKIPPING, [FULL]),
    },
)
def test_names_from_annotations(imagefs, entry, options, expected):
    assert imported(imagefs, *entry, *options) == (expected, [])


@STORE.table(
    "the same name; the digest goes behind it, not behind the file's name",
    "entry",
    {
        "TestStore/OverwriteNameDigest_OCI": (FULL, None),
        "TestStore/OverwriteNameDigest_containerd": (None, FULL),
    },
)
def test_a_digest_behind_the_name_of_the_image(imagefs, entry):
    assert imported(imagefs, *entry, *DIGESTS) == ([FULL, "registry.test/image@"], [])


@STORE.table(
    "refused, as there, and it says which names there are",
    "entry",
    {"TestStore/ReferenceNotFound_OCI": (FULL, None), "TestStore/ReferenceNotFound_containerd": (None, FULL)},
)
def test_a_base_name_that_no_image_has(imagefs, entry):
    result = imagefs("import", "-q", "-", *BASE, stdin=one(*entry)[0], check=False)
    assert result.status == 1
    assert f"no image in it has a name that begins with registry.test/base, only {FULL}" in result.err
    assert records(imagefs) == {}


@STORE.case(
    "taken without a name, as docker load does, where containerd refuses: it is listed by its digest",
    "TestStore/NoReference_Annotation",
    "TestStore/NoReference_NoAnnotation",
)
def test_an_image_without_a_name(imagefs):
    data, digests = one(None, None)
    assert imagefs("import", "-q", "-", stdin=data).lines == [digests["manifest"]]
    assert list(records(imagefs)) == [digests["manifest"]]


@STORE.table(
    "the same names for the index",
    ("options", "expected"),
    {
        "TestStore/ImageName_NoAnnotation": ([], [f"{TEST}:index"]),
        "TestStore/ImageNameWithPrefixAddDigest_NoAnnotation": (
            [*BASE, *DIGESTS],
            [f"{TEST}:index", "registry.test/base@"],
        ),
        "TestStore/ImageNameWithPrefixAddDigestSkipNamed_NoAnnotation": (
            [*BASE, *SKIPPING],
            [f"{TEST}:index", "registry.test/base@"],
        ),
    },
)
def test_names_of_an_index(imagefs, options, expected):
    assert imported(imagefs, None, None, *INDEX, *options)[1] == expected


@STORE.case("the same names, with `tag` after the import", "TestStore/ImageNameWithExtraRef_NoAnnotation")
def test_another_name_for_an_index(imagefs):
    data, digests = one(None, None)
    imagefs("import", "-q", "-", *INDEX, stdin=data)
    imagefs("tag", f"{TEST}:index", "registry.test/extra:v1")
    assert names_of(imagefs, digests["index"]) == [f"{TEST}:index", "registry.test/extra:v1"]


# -- looking names up, which `export` does


@STORE.table(
    "the same images",
    ("asked", "expected"),
    {
        "TestLookup/SingleImage": (["registry.io/test1:latest"], ["latest"]),
        "TestLookup/MultipleReferences": (["registry.io/test1:latest", "registry.io/test1:v1"], ["latest", "v1"]),
        "TestLookup/OnlyReferences": (["registry.io/test1:v1", "registry.io/test1:latest"], ["latest", "v1"]),
    },
)
def test_images_by_name(imagefs, other, path, asked, expected):
    for tag in ("latest", "v1"):
        imagefs("import", "-q", "-", stdin=one(None, f"registry.io/test1:{tag}")[0])
    imagefs("export", *asked, "-o", path)
    assert sorted(other("import", "-q", path).lines) == [f"registry.io/test1:{tag}" for tag in expected]


@STORE.case("all tags of a name, as docker has it, where containerd knows none of it", "TestLookup/UnsupportedPrefix")
def test_images_by_a_name_without_a_tag(imagefs, other, path):
    for name in ("registry.io/test1:latest", "registry.io/test1:v1", "registry.io/test10:v1"):
        imagefs("import", "-q", "-", stdin=one(None, name)[0])
    imagefs("export", "registry.io/test1", "-o", path)
    names = ["registry.io/test1:latest", "registry.io/test1:v1"]
    assert sorted(other("import", "-q", path).lines) == names


@pytest.mark.parametrize("cases", [TRANSFER, STORE], ids=lambda each: each.path)
def test_every_case_has_one_answer(cases):
    assert cases.unaccounted() == []
