"""The files of an image layout: OCI's `oci-layout` and `index.json`, docker's `manifest.json`.

Specifications: OCI "Image Layout"; docker's "Combined Image JSON + Filesystem Changeset Format". Equal
images give equal bytes.
"""

from collections.abc import Iterable

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


class LayoutImage(msgspec.Struct, frozen=True):
    """One name in a layout: its target, and for docker the one manifest's configuration and layers."""

    name: str
    target: Descriptor
    config: Digest | None = None
    layers: tuple[Digest, ...] = ()


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
    tags: dict[tuple[Digest, tuple[Digest, ...]], list[str]] = {}
    for image in sorted(images, key=lambda image: image.name):
        if image.config is not None:
            names = tags.setdefault((image.config, image.layers), [])
            if reference.tag(image.name) is not None:
                names.append(image.name)
    return encode(
        [
            {
                "Config": blob_path(config),
                "RepoTags": names or None,
                "Layers": [blob_path(layer) for layer in layers],
            }
            for (config, layers), names in tags.items()
        ]
    )
