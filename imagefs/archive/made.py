"""Manifests and indexes for archives that have none, equal to those that containerd's importer makes.

Except for zstd layers: containerd 1.6 calls them gzip, and here they are called what they are.
"""

from collections.abc import Iterable

from imagefs.oci import layout, mediatypes, platform
from imagefs.oci.model import Descriptor, ImageConfig, Manifest, decode, encode
from imagefs.store.ingest import Ingest, StoredBlob
from imagefs.streams.compression import Compression

_LAYER_TYPES = {
    Compression.NONE: mediatypes.DOCKER_LAYER,
    Compression.GZIP: mediatypes.DOCKER_LAYER_GZIP,
    Compression.ZSTD: mediatypes.DOCKER_LAYER_ZSTD,
}


def layer_descriptor(layer: StoredBlob) -> Descriptor:
    """A layer by what it is: its media type names its compression, whatever the archive called it."""
    return Descriptor(media_type=_LAYER_TYPES[layer.compression], digest=layer.digest, size=layer.size)


def make_index(found: Iterable[tuple[str | None, Descriptor]], ingest: Ingest) -> Descriptor:
    """Store the index of a docker archive's images, by name: as containerd makes it, with their platforms."""
    entries = []
    for name, target in found:
        manifest = decode(ingest.documents.read(target.digest), Manifest, target.digest)
        config = decode(ingest.documents.read(manifest.config.digest), ImageConfig, manifest.config.digest)
        known = platform.normalize(config.platform) if config.architecture and config.os else None
        annotations = None if name is None else layout.name_annotations(name)
        entries.append(
            Descriptor(target.media_type, target.digest, target.size, annotations=annotations, platform=known)
        )
    blob = ingest.add_bytes(encode({"schemaVersion": 2, "manifests": entries}))
    return Descriptor(media_type=mediatypes.OCI_INDEX, digest=blob.digest, size=blob.size)


def make_manifest(config: StoredBlob, layers: list[Descriptor], ingest: Ingest) -> Descriptor:
    """Store a manifest (docker's image manifest version 2, schema 2) of a configuration and layers, lowest first."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": mediatypes.DOCKER_MANIFEST,
        "config": Descriptor(media_type=mediatypes.DOCKER_CONFIG, digest=config.digest, size=config.size),
        "layers": layers,
    }
    blob = ingest.add_bytes(encode(manifest))
    return Descriptor(media_type=mediatypes.DOCKER_MANIFEST, digest=blob.digest, size=blob.size)
