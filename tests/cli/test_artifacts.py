"""What is no image, and images that are not all here: kept, listed, exported as far as that goes, never mounted."""

import json
import tarfile
from typing import Any

import pytest
from support.archives import (
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    OciArchive,
    digest_of,
    file,
    gzip_layer,
    layer,
    uncompressed,
)
from support.foreign import config, docker
from support.inside import InsideImagefs

from imagefs import Store
from imagefs.tree import snapshot

LAYER = gzip_layer(file("a", b"1" * 3000))
CHART = gzip_layer(file("chart/Chart.yaml", b"name: chart\n"))
FOREIGN = gzip_layer(file("windows", b"2" * 3000))
FOREIGN_TYPE = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
URLS = ["https://example.org/layer"]


def descriptor(data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data), **more}


def add(archive: OciArchive, data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    archive.add_blob(data)
    return descriptor(data, media_type, **more)


def manifest(
    archive: OciArchive, configuration: dict[str, Any], layers: list[dict[str, Any]], **more: Any
) -> dict[str, Any]:
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": configuration, "layers": layers, **more}
    return archive.add_document(document, OCI_MANIFEST)


def blobs(imagefs: InsideImagefs) -> set[str]:
    return {path.removeprefix("blobs/").replace("/", ":") for path in imagefs.files() if path.startswith("blobs/")}


def derived(imagefs: InsideImagefs) -> set[str]:
    return {path.split("/")[1] for path in imagefs.files() if path.startswith("layers/")}


def row(imagefs: InsideImagefs) -> dict[str, Any]:
    (only,) = json.loads(imagefs("images", "--json").out)
    return only


@pytest.fixture
def imagefs(tmp_path) -> InsideImagefs:
    return InsideImagefs(tmp_path / "store")


# -- artifacts


def helm(archive: OciArchive) -> dict[str, Any]:
    """helm push: a configuration and a chart of its own types."""
    configuration = add(archive, b'{"name":"chart"}', "application/vnd.cncf.helm.config.v1+json")
    return manifest(
        archive, configuration, [add(archive, CHART, "application/vnd.cncf.helm.chart.content.v1.tar+gzip")]
    )


def oras(archive: OciArchive) -> dict[str, Any]:
    """oras push: the empty configuration, an artifact type, folders as layers of an image's type."""
    configuration = add(archive, b"{}", "application/vnd.oci.empty.v1+json")
    return manifest(archive, configuration, [add(archive, CHART, OCI_LAYER + "+gzip")], artifactType="application/x-a")


def cosign(archive: OciArchive) -> dict[str, Any]:
    """cosign sign: an image's configuration, and a payload for a layer."""
    payload = b'{"critical":{}}'
    configuration = add(archive, config(payload), "application/vnd.oci.image.config.v1+json")
    return manifest(archive, configuration, [add(archive, payload, "application/vnd.dev.cosign.simplesigning.v1+json")])


def wasm(archive: OciArchive) -> dict[str, Any]:
    """wash push and spin: an image's configuration, whose diff IDs are those of no layer."""
    configuration = add(archive, config(LAYER), "application/vnd.oci.image.config.v1+json")
    return manifest(archive, configuration, [add(archive, CHART, "application/wasm")])


def artifact_manifest(archive: OciArchive) -> dict[str, Any]:
    """oras 0.15 and notation: the artifact manifest that image-spec 1.1 had in its candidates."""
    media_type = "application/vnd.oci.artifact.manifest.v1+json"
    document = {"mediaType": media_type, "artifactType": "x/y", "blobs": [add(archive, CHART, "application/x-tar")]}
    return archive.add_document(document, media_type)


def schema_1(archive: OciArchive) -> dict[str, Any]:
    """A registry's oldest images, as ctr content fetch and registry copies have them."""
    archive.add_blob(CHART)
    layers = [{"blobSum": digest_of(CHART)}, {"blobSum": "nonsense"}, {"blobSum": None}]
    document = {"schemaVersion": 1, "name": "a", "fsLayers": layers, "history": [{"v1Compatibility": "{}"}]}
    return archive.add_document(document, "application/vnd.docker.distribution.manifest.v1+prettyjws")


def build_cache(archive: OciArchive) -> dict[str, Any]:
    """buildctl --export-cache type=local: an index whose entries are layers."""
    entries = [add(archive, CHART, OCI_LAYER + "+gzip"), add(archive, b"{}", "application/vnd.buildkit.cacheconfig.v0")]
    return archive.add_document({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}, OCI_INDEX)


def no_json(archive: OciArchive) -> dict[str, Any]:
    """A type and a content that nobody knows."""
    return add(archive, b"\x00[" * 5000, "application/x-other")


ARTIFACTS = [helm, oras, cosign, wasm, artifact_manifest, schema_1, build_cache, no_json]


@pytest.mark.parametrize("make", ARTIFACTS)
@pytest.mark.parametrize("form", ["tar", "folder"])
def test_an_artifact_is_kept_listed_exported_and_not_unpacked(imagefs, tmp_path, make, form):
    archive = OciArchive()
    target = make(archive)
    archive.name(target, tag="1")
    stray = archive.add_blob(b"nobody refers to this")
    whole = archive.blobs.keys() - {stray}
    path = archive.write(tmp_path / "a.tar") if form == "tar" else archive.write_folder(tmp_path / "a")
    assert imagefs("import", "-q", path).lines == ["localhost/a:1"]
    assert blobs(imagefs) == whole
    assert derived(imagefs) == set()
    assert (row(imagefs)["digest"], row(imagefs)["platforms"]) == (target["digest"], [])
    assert row(imagefs)["size"] == sum(len(archive.blobs[each]) for each in whole)
    described = json.loads(imagefs("inspect", "--json", "a:1").out)
    assert described["mediaType"] == target["mediaType"]
    assert all(each["complete"] and "platform" not in each for each in described["manifests"])
    imagefs("gc")
    assert blobs(imagefs) == whole

    imagefs("export", "-o", tmp_path / "b.tar", "a:1")
    with tarfile.open(tmp_path / "b.tar") as exported:
        assert json.load(exported.extractfile("manifest.json")) == []
        (entry,) = json.load(exported.extractfile("index.json"))["manifests"]
    assert [entry[key] for key in ("mediaType", "digest", "size")] == [
        target[key] for key in ("mediaType", "digest", "size")
    ]
    other = InsideImagefs(tmp_path / "other")
    other("import", tmp_path / "b.tar")
    assert blobs(other) == whole
    refusal = imagefs("export", "--format", "docker", "-o", tmp_path / "c.tar", "a:1", check=False)
    assert (refusal.status, len(refusal.err.splitlines())) == (1, 1)
    imagefs("rm", "a:1")
    imagefs("gc")
    assert imagefs.files() == []


def test_an_image_keeps_the_derived_layer_that_an_artifact_does_not_need(imagefs):
    archive = OciArchive()
    archive.add_image([CHART], name="image:1")
    archive.name(oras(archive), name="artifact:1")
    imagefs("import", "-", stdin=archive.bytes())
    assert derived(imagefs) == {digest_of(uncompressed(CHART))}
    imagefs("rm", "image:1")
    imagefs("gc")
    assert derived(imagefs) == set()
    assert digest_of(CHART) in blobs(imagefs)


def test_a_signature_keeps_the_image_that_it_is_about(imagefs):
    """cosign save and oras copy -r: the signature names its image in `subject`."""
    archive = OciArchive()
    image = archive.add_image([LAYER], name="app:1")
    subject = {key: image[key] for key in ("mediaType", "digest", "size")}
    configuration = add(archive, b"{}", "application/vnd.oci.empty.v1+json")
    payload = add(archive, b"signed", "application/octet-stream")
    signature = manifest(archive, configuration, [payload], artifactType="application/x-signature", subject=subject)
    about = {key: signature[key] for key in ("mediaType", "digest", "size")}
    archive.name(manifest(archive, configuration, [payload], subject=about), name="signature:1")
    imagefs("import", "-", stdin=archive.bytes())
    imagefs("rm", "app:1")
    imagefs("gc")
    assert blobs(imagefs) == archive.blobs.keys()
    imagefs("rm", "signature:1")
    imagefs("gc")
    assert imagefs.files() == []


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, OCI_INDEX])
def test_what_only_an_unknown_document_calls_a_manifest_need_not_be_one(imagefs, media_type):
    archive = OciArchive()
    mentioned = [add(archive, b"{broken", media_type)]
    archive.name(archive.add_document({"refs": mentioned}, "application/x-other"), name="other:1")
    configuration = add(archive, b"{}", "application/vnd.oci.empty.v1+json")
    archive.name(manifest(archive, configuration, [], subject=mentioned[0]), name="signature:1")
    imagefs("import", "-", stdin=archive.bytes())
    imagefs("gc")
    assert blobs(imagefs) == archive.blobs.keys()


def test_an_index_goes_out_with_all_that_is_in_it(imagefs, tmp_path):
    """docker buildx and oras attach: attestations, and entries of unknown types, beside the platforms."""
    archive = OciArchive()
    image = archive.add_manifest([LAYER])
    statement = add(archive, b'{"_type":"https://in-toto.io/Statement/v0.1"}', "application/vnd.in-toto+json")
    unknown = {"os": "unknown", "architecture": "unknown"}
    attested = manifest(
        archive, add(archive, config(**unknown), "application/vnd.oci.image.config.v1+json"), [statement]
    )
    attested |= {"platform": unknown, "annotations": {"vnd.docker.reference.digest": image["digest"]}}
    attested["annotations"]["vnd.docker.reference.type"] = "attestation-manifest"
    target = archive.add_index([image, attested, no_json(archive)], name="app:1")
    imagefs("import", "-", stdin=archive.bytes())
    assert row(imagefs)["platforms"] == ["linux/amd64"]
    imagefs("export", "-o", tmp_path / "b.tar", "app:1")
    other = InsideImagefs(tmp_path / "other")
    other("import", tmp_path / "b.tar")
    assert row(other)["digest"] == target["digest"]
    assert blobs(other) == archive.blobs.keys()


@pytest.mark.parametrize("media_type", ["layer", "blob", "maybe x/y", "a/b/c", "", "x/\x1b[2J"])
def test_an_impossible_media_type_is_refused(imagefs, tmp_path, media_type):
    archive = OciArchive()
    archive.name(add(archive, b"x", media_type), tag="1")
    result = imagefs("import", archive.write(tmp_path / "a.tar"), check=False)
    assert result.status == 1
    assert "index.json: " in result.err and "has the impossible type" in result.err
    assert "\x1b" not in result.err
    assert imagefs.files() == []


def test_an_artifact_that_is_not_all_here_is_refused(imagefs):
    archive = OciArchive()
    archive.name(helm(archive), tag="1")
    del archive.blobs[digest_of(CHART)]
    result = imagefs("import", "-", stdin=archive.bytes(), check=False)
    assert (result.status, imagefs.files()) == (1, [])
    assert f"{digest_of(CHART)}: neither the archive nor the store has it" in result.err


# -- layers that may be absent


def windows(archive: OciArchive) -> dict[str, Any]:
    """An image with a layer that only its maker may give away, as docker and ctr save it: an address in its place."""
    configuration = config(FOREIGN, LAYER, os="windows")
    layers = [descriptor(FOREIGN, FOREIGN_TYPE, urls=URLS), add(archive, LAYER, OCI_LAYER + "+gzip")]
    target = manifest(archive, add(archive, configuration, "application/vnd.oci.image.config.v1+json"), layers)
    return target | {"platform": {"os": "windows", "architecture": "amd64"}}


def test_an_image_without_its_foreign_layer_is_listed_and_incomplete(imagefs, tmp_path):
    archive = OciArchive()
    archive.name(windows(archive), name="windows:1")
    archive.add_image([LAYER], name="app:1")
    imagefs("import", "-", stdin=archive.bytes())
    rows = {each["name"]: each for each in json.loads(imagefs("images", "--json").out)}
    assert rows["docker.io/library/windows:1"]["platforms"] == []
    (described,) = json.loads(imagefs("inspect", "--json", "windows:1").out)["manifests"]
    assert (described["complete"], described["platform"]) == (False, "windows/amd64")
    assert [each["mediaType"] for each in described["layers"]] == [FOREIGN_TYPE, OCI_LAYER + "+gzip"]
    imagefs("gc")
    assert blobs(imagefs) == archive.blobs.keys()
    imagefs("export", "-o", tmp_path / "b.tar", "app:1")
    refusal = imagefs("export", "-o", tmp_path / "c.tar", "windows:1", check=False)
    assert refusal.status == 1
    assert "docker.io/library/windows:1: no platform of it is complete" in refusal.err


def test_the_platforms_that_are_complete_go_out(imagefs, tmp_path):
    archive = OciArchive()
    linux = archive.add_manifest([LAYER])
    archive.add_index([linux, windows(archive)], name="app:1")
    imagefs("import", "-", stdin=archive.bytes())
    assert row(imagefs)["platforms"] == ["linux/amd64"]
    imagefs("export", "-o", tmp_path / "b.tar", "app:1")
    other = InsideImagefs(tmp_path / "other")
    other("import", tmp_path / "b.tar")
    assert row(other)["digest"] == linux["digest"]


def test_a_mount_shows_what_is_a_file_system_and_lays_out_what_is_whole(imagefs):
    archive = OciArchive()
    archive.add_image([LAYER], name="app:1")
    archive.name(helm(archive), name="chart:1")
    archive.name(schema_1(archive), name="old:1")
    kept = set(archive.blobs)
    archive.name(windows(archive), name="windows:1")
    imagefs("import", "-", stdin=archive.bytes())
    with Store(imagefs.store) as store:
        images = [snapshot.show(store, record, store.catalog.slots(record.name)) for record in store.images()]
    shown = snapshot.snapshot(image for image in images if image is not None)
    trees = [(image.record.name.rsplit("/")[-1], len(image.trees)) for image in shown.images]
    assert trees == [("app:1", 1), ("chart:1", 0), ("old:1", 0)]
    assert [entry["digest"] for entry in json.loads(shown.index_json)["manifests"]] == [
        entry["digest"] for entry in archive.manifests[:3]
    ]
    assert [entry["RepoTags"] for entry in json.loads(shown.manifest_json)] == [["docker.io/library/app:1"]]
    assert shown.blobs == kept


@pytest.mark.parametrize("where", ["archive", "store"])
def test_a_foreign_layer_that_is_there_is_like_any_other(imagefs, tmp_path, where):
    if where == "store":
        before = OciArchive()
        before.add_image([FOREIGN], name="before:1")
        imagefs("import", "-", stdin=before.bytes())
    archive = OciArchive()
    target = archive.name(windows(archive), name="windows:1")
    if where == "archive":
        archive.add_blob(FOREIGN)
    imagefs("import", "-", stdin=archive.bytes())
    (described,) = json.loads(imagefs("inspect", "--json", "windows:1").out)["manifests"]
    assert described["complete"]
    assert [each["unpacked"] for each in described["layers"]] == [True, True]
    imagefs("export", "-o", tmp_path / "b.tar", "windows:1")
    other = InsideImagefs(tmp_path / "other")
    other("import", tmp_path / "b.tar")
    assert (row(other)["digest"], row(other)["platforms"]) == (target["digest"], ["windows/amd64"])


@pytest.mark.parametrize("there", ["absent", "as its source says", "as docker's own tar"])
def test_layer_sources_of_docker_archives(imagefs, there):
    """docker save on Windows has its own tar of the layer, crane pull the layer itself, others leave it out."""
    source = descriptor(FOREIGN, FOREIGN_TYPE, urls=URLS)
    foreign = uncompressed(FOREIGN) if there == "as docker's own tar" else FOREIGN
    sources = {digest_of(uncompressed(FOREIGN)): source}
    members = docker(["foreign.tar", "layer.tar"], [foreign, LAYER], ["a:1"], LayerSources=sources)
    imagefs("import", "-", stdin=layer(*(members[1:] if there == "absent" else members)))
    (described,) = json.loads(imagefs("inspect", "--json", "a:1").out)["manifests"]
    assert described["complete"] == (there != "absent")
    stored = json.loads((imagefs.store / "blobs" / described["digest"].replace(":", "/")).read_bytes())
    own = descriptor(foreign, "application/vnd.docker.image.rootfs.diff.tar")
    assert stored["layers"][0] == (own if there == "as docker's own tar" else source)


def test_a_layer_that_no_source_is_known_of_is_missed(imagefs):
    members = docker(
        ["foreign.tar", "layer.tar"],
        [FOREIGN, LAYER],
        ["a:1"],
        LayerSources={digest_of(b"other"): descriptor(b"", "x/y")},
    )
    result = imagefs("import", "-", stdin=layer(*members[1:]), check=False)
    assert (result.status, imagefs.files()) == (1, [])
    assert "foreign.tar: manifest.json lists it, but the archive does not have it" in result.err
