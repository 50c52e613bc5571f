"""The cases of containerd's import tests: releases 1.6, 1.7 and 2.4."""

import json
import random

import pytest
from support.archives import (
    AMD64,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    OciArchive,
    digest_of,
    directory,
    file,
    gzip_data,
    gzip_layer,
    layer,
)
from support.cases import Cases, lines
from support.inside import InsideImagefs
from support.stored import digests, everything

from imagefs import Store
from imagefs.store.standing import tally

IMPORT = Cases(
    "containerd",
    "integration/client/import_test.go",
    lines("""
        TestExportAndImport
        TestExportAndImportMultiLayer
        TestImport/OCI-IndexWithoutAnyManifest
        TestImport/DockerV2.0
        TestImport/DockerV2.1
        TestImport/DockerV2.1-BadOSArch
        TestImport/OCI-BadFormat
        TestImport/OCI
        TestImport/OCI-Labels
        TestImport/OCIPrefixName
        TestImport/OCIPrefixName2
        TestImport/OCI-IndexWithMissingManifestDescendants
    """),
)
FUZZ_ARCHIVE = Cases("containerd", "contrib/fuzz/archive_fuzz_test.go", ["FuzzApply", "FuzzImportIndex"])
FUZZ_IMPORT = Cases("containerd", "contrib/fuzz/containerd_import_fuzz_test.go", ["FuzzContainerdImport"])
FUZZ_IMAGES = Cases("containerd", "contrib/fuzz/images_fuzz_test.go", ["FuzzImagesCheck"])

RANDOM = gzip_data(random.Random(1).randbytes(256))
"""A layer as theirs are: compressed, and no tar."""
LOW, HIGH = gzip_layer(file("low", b"1")), gzip_layer(file("high", b"2"))
FOLDER = "bd765cd43e95212f7aa2cab51d0a"


# -- export and import


def taken_out_and_in(imagefs, path, layers):
    """Exports an image, removes it, imports it again, and collects garbage."""
    archive = OciArchive()
    archive.add_image(layers, name="registry.test/app:1")
    imagefs("import", "-q", "-", stdin=archive.bytes())
    imagefs("export", "registry.test/app:1", "-o", path)
    imagefs("rm", "registry.test/app:1")
    imagefs("gc")
    imagefs("import", "-q", path)
    imagefs("gc")
    assert digests(imagefs) == {"registry.test/app:1": archive.manifests[0]["digest"]}
    with Store(imagefs.store) as store:
        assert set(store.blobs) == set(archive.blobs)


@IMPORT.case("the same: the name and every digest come back, and stay when garbage is collected", "TestExportAndImport")
def test_an_image_is_exported_and_imported(imagefs, path):
    taken_out_and_in(imagefs, path, [LOW])
    assert imagefs("cat", "registry.test/app:1:/low").out == "1"


@IMPORT.case("the same, and its tree is that of all its layers", "TestExportAndImportMultiLayer")
def test_an_image_of_several_layers_is_exported_and_imported(imagefs, path):
    taken_out_and_in(imagefs, path, [LOW, HIGH])
    assert imagefs("ls", "registry.test/app:1:/").lines == ["high", "low"]


# -- docker archives


def docker(configuration: dict, blob: bytes) -> bytes:
    name = "e95212f7aa2cab51d0abd765cd43.json"
    tags = ["test-import:notlatest", "another/repo:tag"]
    entry = {"Config": name, "RepoTags": tags, "Layers": [f"{FOLDER}/layer.tar"]}
    return layer(
        directory(FOLDER),
        file(f"{FOLDER}/json", b"{}"),
        file(f"{FOLDER}/layer.tar", blob),
        file(f"{FOLDER}/VERSION", b"1.0"),
        file(name, json.dumps(configuration).encode()),
        file("manifest.json", json.dumps([entry]).encode()),
    )


CONFIGURATION = {"author": "test", **AMD64}
WHOLE = {**CONFIGURATION, "rootfs": {"type": "layers", "diff_ids": [digest_of(layer(file("low", b"1")))]}}
NAMES = ["docker.io/library/test-import:notlatest", "docker.io/another/repo:tag"]


@IMPORT.case("refused, as there; its image has no id, so it is none of docker 1.9 either", "TestImport/DockerV2.0")
def test_repositories_without_a_manifest(imagefs):
    data = layer(
        directory(FOLDER),
        file(f"{FOLDER}/json", b"{}"),
        file(f"{FOLDER}/layer.tar", RANDOM),
        file(f"{FOLDER}/VERSION", b"1.0"),
        file("repositories", json.dumps({"any": {"1": FOLDER}}).encode()),
    )
    result = imagefs("import", "-q", "-", stdin=data, check=False)
    assert (result.status, everything(imagefs)) == (1, set())
    assert "a docker archive without manifest.json" in result.err


@IMPORT.case(
    "the same names for one digest; but a layer that the configuration does not tell of is refused, which there comes "
    "to light when it is unpacked",
    "TestImport/DockerV2.1",
)
def test_a_docker_archive_with_two_names(imagefs):
    result = imagefs("import", "-q", "-", stdin=docker(CONFIGURATION, RANDOM), check=False)
    assert (result.status, everything(imagefs)) == (1, set())
    assert "1 layers, but its configuration has 0 diff IDs" in result.err
    assert imagefs("import", "-q", "-", stdin=docker(WHOLE, LOW)).lines == NAMES
    assert len(set(digests(imagefs).values())) == 1
    with Store(imagefs.store) as store:
        assert {digest_of(LOW), digest_of(json.dumps(WHOLE).encode())} <= set(store.blobs)


@IMPORT.case(
    "taken, which there is refused: a tree can be looked at on every machine; refused where a platform is asked for",
    "TestImport/DockerV2.1-BadOSArch",
)
def test_a_platform_that_nobody_has(imagefs):
    data = docker({**WHOLE, "os": "foo", "architecture": "lish"}, LOW)
    result = imagefs("import", "-q", "-", "--platform", "linux/amd64", stdin=data, check=False)
    assert (result.status, everything(imagefs)) == (1, set())
    assert "it is not for linux/amd64, only for foo/lish" in result.err
    assert imagefs("import", "-q", "-", stdin=data).lines == NAMES
    assert imagefs("ls", "another/repo:tag:/").lines == ["low"]


# -- OCI layouts


def layout(*references: str, configuration: dict = WHOLE, blob: bytes = LOW) -> OciArchive:
    """One image with several entries in index.json, each with a reference annotation."""
    archive = OciArchive()
    notes = {"annotations": {"ocispec": "manifest.config.descriptor"}}
    manifest = {
        "schemaVersion": 2,
        "config": archive.add_document(configuration, OCI_CONFIG, **notes),
        "layers": [{"mediaType": OCI_LAYER, "digest": archive.add_blob(blob), "size": len(blob)}],
    }
    descriptor = archive.add_document(manifest, OCI_MANIFEST)
    for reference in references:
        archive.name(descriptor, tag=reference)
    return archive


@IMPORT.case("refused, as there", "TestImport/OCI-BadFormat")
def test_a_layout_of_a_later_version(imagefs):
    data = layer(file("oci-layout", b'{"imageLayoutVersion": "2.0.0"}'))
    result = imagefs("import", "-q", "-", stdin=data, check=False)
    assert (result.status, everything(imagefs)) == (1, set())


@IMPORT.case(
    "the same target for both; the bare tag goes behind localhost/ and the archive's name, so that it can be found",
    "TestImport/OCI",
)
def test_a_tag_and_a_name(imagefs, tmp_path):
    archive = layout("latest", "docker.io/lib/img:ok")
    imagefs("import", "-q", archive.write(tmp_path / "archive.tar"))
    digest = archive.manifests[0]["digest"]
    assert digests(imagefs) == {"localhost/archive:latest": digest, "docker.io/lib/img:ok": digest}
    with Store(imagefs.store) as store:
        assert set(store.blobs) == set(archive.blobs)
        assert store.blobs.read(digest) == archive.blobs[digest]  # and so the annotations in it


@IMPORT.case("the same labels on each image", "TestImport/OCI-Labels")
def test_labels(imagefs, tmp_path):
    path = layout("latest", "docker.io/lib/img:ok").write(tmp_path / "myimage.tar")
    names = imagefs("import", "-q", path, "--label", "foo=bar").lines
    assert names == ["localhost/myimage:latest", "docker.io/lib/img:ok"]
    with Store(imagefs.store) as store:
        assert [store.catalog.labels(name) for name in names] == [{"foo": "bar"}] * 2


@IMPORT.case(
    "without --base-name, as with ctr, the tag goes behind a prefix and the name stays; the prefix is the file's name",
    "TestImport/OCIPrefixName",
)
def test_a_prefix_for_tags_that_leaves_names_alone(imagefs, tmp_path):
    path = layout("latest", "docker.io/lib/img:ok").write(tmp_path / "myimage.tar")
    assert imagefs("import", "-q", path).lines == ["localhost/myimage:latest", "docker.io/lib/img:ok"]


@IMPORT.case("the same, with --base-name", "TestImport/OCIPrefixName2")
def test_a_prefix_that_other_names_must_have(imagefs, tmp_path):
    path = layout("latest", "localhost:5000/myimage:old", "docker.io/lib/img:ok").write(tmp_path / "app.tar")
    expected = ["localhost:5000/myimage:latest", "localhost:5000/myimage:old"]
    assert imagefs("import", "-q", path, "--base-name", "localhost:5000/myimage").lines == expected
    assert sorted(digests(imagefs)) == expected


def sparse(archive: OciArchive, *manifests: dict) -> dict:
    """The one entry of an archive: an index over manifests, of which the archive may lack some."""
    archive.manifests.clear()
    index = {"schemaVersion": 2, "manifests": list(manifests)}
    return archive.name(archive.add_document(index, OCI_INDEX), tag="docker.io/library/sparse:ok")


def standing(imagefs: InsideImagefs, name: str) -> str:
    with Store(imagefs.store) as store:
        return str(tally(store.blobs, store.find_image(name).target))


@IMPORT.case("the same, and `images` says how much of it is there", "TestImport/OCI-IndexWithoutAnyManifest")
def test_an_index_of_which_nothing_is_there(imagefs, tmp_path):
    archive = layout()
    target = sparse(archive, archive.add_manifest([LOW]), archive.add_manifest([HIGH]))
    archive.blobs = {target["digest"]: archive.blobs[target["digest"]]}
    path = archive.write(tmp_path / "app.tar")
    assert imagefs("import", "-q", path, check=False).status == 1
    assert everything(imagefs) == set()
    assert imagefs("import", "-q", path, "--skip-missing").lines == ["docker.io/library/sparse:ok"]
    assert digests(imagefs) == {"docker.io/library/sparse:ok": target["digest"]}
    assert standing(imagefs, "sparse:ok") == "incomplete, 1 of 3"


@IMPORT.case(
    "the same: one image is whole, two blobs of the other are missing",
    "TestImport/OCI-IndexWithMissingManifestDescendants",
)
def test_an_index_with_a_manifest_whose_content_is_missing(imagefs, tmp_path):
    archive = OciArchive()
    other = {
        "schemaVersion": 2,
        "config": {"mediaType": OCI_CONFIG, "digest": digest_of(b"test2"), "size": 5},
        "layers": [{"mediaType": OCI_LAYER, "digest": digest_of(b"\1\2\3\4\5"), "size": 5}],
    }
    target = sparse(archive, archive.add_manifest([LOW]), archive.add_document(other, OCI_MANIFEST))
    path = archive.write(tmp_path / "app.tar")
    assert imagefs("import", "-q", path, "--skip-missing").lines == ["docker.io/library/sparse:ok"]
    assert digests(imagefs) == {"docker.io/library/sparse:ok": target["digest"]}
    assert standing(imagefs, "sparse:ok") == "incomplete, 5 of 7"
    assert imagefs("cat", "sparse:ok:/low").out == "1"


# -- what is no archive


def damaged(generator: random.Random) -> bytes:
    """An archive of one of the formats with a few bytes changed, cut off, or with two of its blocks exchanged."""
    data = bytearray(generator.choice([docker(WHOLE, LOW), layout("1").bytes()]))
    for _ in range(generator.randint(1, 4)):
        match generator.randrange(3):
            case 0:
                data[generator.randrange(len(data))] = generator.randrange(256)
            case 1:
                del data[generator.randrange(512, len(data)) :]
            case 2:
                one, other = (512 * generator.randrange(len(data) // 512) for _ in range(2))
                data[one : one + 512], data[other : other + 512] = data[other : other + 512], data[one : one + 512]
    return bytes(data)


@FUZZ_ARCHIVE.case("anything is refused with one line, or taken; what is refused leaves nothing", "FuzzImportIndex")
@FUZZ_IMPORT.case("the same, in one store after each other", "FuzzContainerdImport")
@pytest.mark.parametrize("seed", range(4))
def test_damaged_archives(imagefs, seed):
    generator = random.Random(seed)
    before = everything(imagefs)
    for _ in range(10):
        result = imagefs("import", "-q", "-", stdin=damaged(generator), check=False)
        if result.status:
            assert result.err.startswith("imagefs: ") and result.err.count("\n") == 1
            assert everything(imagefs) == before
        before = everything(imagefs)


FUZZ_ARCHIVE.without("applies a layer to a folder: imagefs never unpacks one, it reads them in place", "FuzzApply")
FUZZ_IMAGES.without("made-up descriptors: there is no way to give imagefs one but in an archive", "FuzzImagesCheck")


@pytest.mark.parametrize("cases", [IMPORT, FUZZ_ARCHIVE, FUZZ_IMPORT, FUZZ_IMAGES], ids=lambda each: each.path)
def test_every_case_has_one_answer(cases):
    assert cases.unaccounted() == []
