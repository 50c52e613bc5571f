"""The files of an image layout: OCI's `oci-layout` and `index.json`, docker's `manifest.json`.

Specifications: OCI "Image Layout"; docker's "Combined Image JSON + Filesystem Changeset Format". Equal
images give equal bytes.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from imagefs import digest
from imagefs.digest import Digest
from imagefs.oci import mediatypes, reference
from imagefs.oci.model import CONTAINERD_NAME, REF_NAME, Descriptor, encode

LAYOUT_FILE = "oci-layout"
INDEX_FILE = "index.json"
MANIFEST_FILE = "manifest.json"

OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
"""The content of `oci-layout`."""


class LayoutVersion(msgspec.Struct, frozen=True):
    """The content of an `oci-layout`."""

    version: str = msgspec.field(name="imageLayoutVersion")


class LayoutImage(msgspec.Struct, frozen=True):
    """One name in a layout: its target, and for docker the one manifest's configuration and layers.

    `elsewhere` are those layers that the layout leaves out, by diff ID.
    """

    name: str
    target: Descriptor
    config: Digest | None = None
    layers: tuple[Digest, ...] = ()
    elsewhere: Mapping[Digest, Descriptor] = {}


def blob_path(content: Digest) -> str:
    """Where a layout keeps a blob."""
    return f"blobs/{digest.algorithm(content)}/{digest.encoded(content)}"


def index_json(images: Iterable[LayoutImage]) -> bytes:
    """The layout's index: an entry a name, as containerd writes and skopeo reads it.

    Skopeo finds an image by its bare tag in `org.opencontainers.image.ref.name`; containerd, docker and imagefs
    by the full name beside it.
    """
    entries = []
    for image in sorted(images, key=lambda image: image.name):
        annotations = None if reference.is_dangling(image.name) else name_annotations(image.name)
        target = image.target
        entries.append(Descriptor(target.media_type, target.digest, target.size, annotations=annotations))
    return encode({"schemaVersion": 2, "mediaType": mediatypes.OCI_INDEX, "manifests": entries})


def name_annotations(name: str) -> dict[str, str]:
    """The annotations that name an index entry: the full name, and the tag or, for lack of one, the full name again."""
    return {CONTAINERD_NAME: name, REF_NAME: reference.tag(name) or name}


def manifest_json(images: Iterable[LayoutImage]) -> bytes:
    """Docker's list of images: an entry a configuration, with all its tags."""
    found: dict[tuple[Digest, tuple[Digest, ...]], tuple[list[str], Mapping[Digest, Descriptor]]] = {}
    for image in sorted(images, key=lambda image: image.name):
        if image.config is not None:
            names, _ = found.setdefault((image.config, image.layers), ([], image.elsewhere))
            if reference.tag(image.name) is not None:
                names.append(image.name)
    return encode(
        [
            docker_entry(blob_path(config), names, [blob_path(layer) for layer in layers], elsewhere)
            for (config, layers), (names, elsewhere) in found.items()
        ]
    )


def docker_entry(
    config: str, tags: list[str], layers: list[str], elsewhere: Mapping[Digest, Descriptor]
) -> dict[str, Any]:
    """One image in docker's `manifest.json`: the names of its members, and by diff ID where other layers come from."""
    entry: dict[str, Any] = {"Config": config, "RepoTags": tags or None, "Layers": layers}
    if elsewhere:
        entry["LayerSources"] = {
            diff_id: Descriptor(layer.media_type, layer.digest, layer.size, layer.urls)
            for diff_id, layer in elsewhere.items()
        }
    return entry
