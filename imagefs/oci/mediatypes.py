"""Media types: OCI image specification, "Media Types", and docker's image manifest version 2, schema 2."""

import re

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_LAYER_ZSTD = "application/vnd.docker.image.rootfs.diff.tar.zstd"

INDEXES = frozenset([OCI_INDEX, DOCKER_LIST])
MANIFESTS = frozenset([OCI_MANIFEST, DOCKER_MANIFEST])
CONFIGS = frozenset([OCI_CONFIG, DOCKER_CONFIG])

_NON_DISTRIBUTABLE = (
    "application/vnd.oci.image.layer.nondistributable.",
    "application/vnd.docker.image.rootfs.foreign.",
)
_LAYERS = (OCI_LAYER, DOCKER_LAYER, *_NON_DISTRIBUTABLE)
_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_TYPE = re.compile(f"{_NAME}/{_NAME}")


def is_layer(media_type: str) -> bool:
    """Whether it names a file system layer, whatever its compression."""
    return media_type.startswith(_LAYERS)


def is_foreign(media_type: str) -> bool:
    """Whether it names a non-distributable layer, which archives may leave out."""
    return media_type.startswith(_NON_DISTRIBUTABLE)


def is_valid(media_type: str) -> bool:
    """Whether it can be a media type at all (RFC 6838, 4.2)."""
    return _TYPE.fullmatch(media_type) is not None
