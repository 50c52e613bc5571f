"""What image archives hold, read with the standard library alone: the oracle for digests."""

import hashlib
import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)

_BY_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Content:
    """What two copies of an image have in common in every format: the configuration and the layers."""

    config: str
    diff_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Image:
    """A name in an OCI archive."""

    tag: str | None  # org.opencontainers.image.ref.name, which skopeo goes by
    digest: str  # of what the name refers to: an index or a manifest
    manifests: dict[str, str]  # of each architecture
    contents: dict[str, Content]  # of each architecture
    layers: dict[str, tuple[str, ...]]  # digests of the layers' blobs, of each architecture


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def content_of(config: bytes) -> Content:
    """The content that a configuration describes."""
    return Content(sha256(config), tuple(json.loads(config)["rootfs"]["diff_ids"]))


def oci_images(path: Path) -> dict[str, Image]:
    """The images of an OCI archive, under the names that imagefs gives them by default; those without go by digest."""
    with tarfile.open(path) as archive:
        members = {member.name.removeprefix("./"): member for member in archive.getmembers()}

        def document(name: str) -> Any:
            return json.load(archive.extractfile(members[name]))

        images = {}
        for descriptor in document("index.json")["manifests"]:
            annotations = descriptor.get("annotations", {})
            tag = annotations.get("org.opencontainers.image.ref.name")
            default = f"localhost/{path.name.split('.')[0]}:{tag}" if tag else descriptor["digest"]
            name = annotations.get("io.containerd.image.name", default)
            manifests, contents, layers = {}, {}, {}
            for digest in _manifests(descriptor, document):
                manifest = document(_blob(digest))
                config = archive.extractfile(members[_blob(manifest["config"]["digest"])]).read()
                architecture = json.loads(config)["architecture"]
                if architecture == "unknown":
                    continue  # an attestation beside the images
                manifests[architecture] = digest
                contents[architecture] = content_of(config)
                layers[architecture] = tuple(layer["digest"] for layer in manifest["layers"])
            images[name] = Image(tag, descriptor["digest"], manifests, contents, layers)
        return images


def _manifests(descriptor: dict[str, Any], document: Any) -> list[str]:
    if descriptor["mediaType"] not in _INDEXES:
        return [descriptor["digest"]]
    children = document(_blob(descriptor["digest"]))["manifests"]
    return [digest for child in children for digest in _manifests(child, document)]


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def member(path: Path, name: str) -> bytes:
    """One member's bytes."""
    with tarfile.open(path) as archive:
        return archive.extractfile(name).read()


def file_digests(path: Path) -> dict[str, str]:
    """The digest of every file in an archive, or in a layout's folder."""
    return {name: sha256(data) for name, data in _files(path)}


def said_by(path: Path) -> dict[str, Any]:
    """The digest of every file in an archive, or in a layout's folder; of the lists of images what they say.

    Some tools write lists in any order, and a name by digest as it came, although they gave the image another digest.
    """
    said: dict[str, Any] = {}
    for name, data in _files(path):
        if name in ("index.json", "manifest.json"):
            listed = json.loads(data)
            entries = listed if isinstance(listed, list) else listed["manifests"]
            said[name] = sorted(_BY_DIGEST.sub("@", json.dumps(_sorted(entry), sort_keys=True)) for entry in entries)
        else:
            said[name] = json.loads(data) if name in ("oci-layout", "repositories") else sha256(data)
    return said


def _sorted(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "RepoTags": sorted(entry["RepoTags"] or [])} if "RepoTags" in entry else entry


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for each in path.rglob("*"):
            if each.is_file():
                yield each.relative_to(path).as_posix(), each.read_bytes()
        return
    with tarfile.open(path) as archive:
        for each in archive:
            if each.isfile():
                yield each.name.removeprefix("./"), archive.extractfile(each).read()
