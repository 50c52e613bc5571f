"""Images as moby's tests have them in `internal/testutil/specialimage`, of our own making."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from support.archives import (
    AMD64,
    ARM64,
    OCI_CONFIG,
    OCI_MANIFEST,
    OciArchive,
    digest_of,
    directory,
    file,
    layer,
)

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
EMPTY_FS_ID = "511136ea3c5a64f264b78b5433614aec563103b4d4702f3ba7d4d2698e22c158"
RISCV64 = {"os": "linux", "architecture": "riscv64"}

Platform = Mapping[str, str]


def named(archive: OciArchive, descriptor: Mapping[str, Any], name: str) -> OciArchive:
    """The archive with its one entry as docker writes it: containerd's name, and the tag beside it."""
    full = name if "/" in name else f"docker.io/library/{name}"
    archive.name(descriptor, tag=full.rpartition(":")[2], name=full)
    return archive


def multi_layer(name: str = "multilayer:latest", **files: bytes) -> OciArchive:
    """An image with one file in each layer, and docker's `manifest.json` beside it."""
    archive = OciArchive()
    layers = [
        layer(file(each, data)) for each, data in (files or {"foo": b"1", "bar": b"2", "hello": b"world"}).items()
    ]
    manifest = archive.add_manifest(layers)
    config = json.loads(archive.blobs[manifest["digest"]])["config"]["digest"]
    entry = {"Config": _path(config), "RepoTags": [name], "Layers": [_path(digest_of(each)) for each in layers]}
    archive.extra["manifest.json"] = json.dumps([entry]).encode()
    return named(archive, manifest, name)


def multi_platform(
    *platforms: Platform, name: str = "multiplatform:latest", missing: Sequence[Platform] = ()
) -> OciArchive:
    """An index over an image of one layer for each platform; those of the missing ones are not in the archive."""
    archive = OciArchive()
    manifests = [archive.add_manifest([layer(file("bash", _layer_of(each)))], each) for each in platforms]
    for each in missing:
        digest = digest_of(json.dumps(each).encode())
        manifests.append({"mediaType": OCI_MANIFEST, "digest": digest, "size": 128, "platform": dict(each)})
    return named(archive, archive.add_nested(manifests), name)


def manifests_of(archive: OciArchive) -> list[str]:
    """The digests of the manifests in the archive's one index."""
    return [each["digest"] for each in json.loads(archive.blobs[archive.manifests[0]["digest"]])["manifests"]]


def _layer_of(platform: Platform) -> bytes:
    return b"layer-" + "/".join([platform["os"], platform["architecture"]]).encode()


def empty_index() -> OciArchive:
    """An index that lists no manifest."""
    archive = OciArchive()
    return named(archive, archive.add_nested([]), "emptyindex:latest")


def two_platform() -> OciArchive:
    return multi_platform(AMD64, ARM64, name="twoplatform:latest")


def labeled(labels: Mapping[str, str]) -> OciArchive:
    """An image without layers, with labels in its configuration."""
    archive = OciArchive()
    return named(archive, archive.add_manifest([], config={"Labels": dict(labels)}), "labeled:latest")


def dangling() -> OciArchive:
    """An image without layers and without a name, with docker's media types."""
    archive = OciArchive()
    config = {**AMD64, "config": {"OnBuild": None}, "created": None, "rootfs": {"type": "layers", "diff_ids": None}}
    described = archive.add_document(config, DOCKER_CONFIG)
    manifest = {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": described, "layers": []}
    archive.name(
        archive.add_document(manifest, DOCKER_MANIFEST, platform=AMD64),
        annotations={"org.opencontainers.image.created": "2023-05-19T08:00:44Z"},
    )
    entry = {"Config": _path(described["digest"]), "RepoTags": None, "Layers": None}
    archive.extra["manifest.json"] = json.dumps([entry]).encode()
    return archive


def config_target() -> OciArchive:
    """A name for a configuration, where a manifest should be."""
    archive = OciArchive()
    config = {**AMD64, "config": {"Env": ["FOO=BAR"]}, "rootfs": {"type": "", "diff_ids": None}}
    return named(archive, archive.add_document(config, OCI_CONFIG), "config:latest")


def text_plain() -> OciArchive:
    """An artifact: a manifest over a text."""
    archive = OciArchive()
    text = archive.add_document({}, "text/plain")
    config = {**text, "mediaType": "application/vnd.oci.empty.v1+json"}
    manifest = archive.add_document({"schemaVersion": 0, "config": config, "layers": [text]}, OCI_MANIFEST)
    return named(archive, manifest, "docker.io/tianon/test:text-plain")


def empty_fs() -> bytes:
    """A docker archive whose one layer is an empty tar, with `repositories` and an empty folder `blobs`."""
    empty = bytes(10240)
    config = {"architecture": "x86_64", "rootfs": {"type": "layers", "diff_ids": [digest_of(empty)]}}
    data = json.dumps(config).encode()
    name = f"{digest_of(data)[7:]}.json"
    entry = {"Config": name, "RepoTags": ["emptyfs:latest"], "Layers": [f"{EMPTY_FS_ID}/layer.tar"]}
    return layer(
        file(name, data),
        directory(EMPTY_FS_ID),
        file(f"{EMPTY_FS_ID}/json", json.dumps({"id": EMPTY_FS_ID}).encode()),
        file(f"{EMPTY_FS_ID}/layer.tar", empty),
        file("VERSION", b"1.0"),
        directory("blobs"),
        file("manifest.json", json.dumps([entry]).encode()),
        file("repositories", json.dumps({"emptyfs": {"latest": EMPTY_FS_ID}}).encode()),
    )


def _path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
