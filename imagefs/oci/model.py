"""The JSON documents of the image specification, decoded into checked values.

Only what imagefs reads is modelled: blobs are kept as they came, so nothing else is lost. Sizes are
bytes. Sections: "Descriptors", "Image Index", "Image Manifest", "Image Configuration".
"""

from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from imagefs import digest
from imagefs.digest import Digest
from imagefs.errors import ArchiveError, InvalidReference
from imagefs.limits import CEILINGS
from imagefs.oci import mediatypes
from imagefs.oci.documents import check_values, has_too_many_values

MAX_DOCUMENT = 8 << 20
"""The largest JSON document, in bytes, that is looked for; containerd and registries stop at 4 to 8 MiB."""

MAX_READ = CEILINGS["json_size"]
"""The largest that is read where a bound is lifted for it."""

REF_NAME = "org.opencontainers.image.ref.name"
"""The annotation of an index entry that holds a tag, or a full name."""

CONTAINERD_NAME = "io.containerd.image.name"
"""containerd's and docker's annotation of an index entry: always a full name."""

Document = TypeVar("Document")


class Platform(msgspec.Struct, frozen=True, omit_defaults=True):
    """The platform of a manifest, as index entries and configurations state it."""

    architecture: str = ""
    os: str = ""
    variant: str = ""
    os_version: str = msgspec.field(name="os.version", default="")


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A reference to content by digest."""

    media_type: str
    digest: Digest
    size: int
    urls: list[str] | None = None
    annotations: dict[str, str] | None = None
    platform: Platform | None = None
    artifact_type: str | None = None

    def __post_init__(self) -> None:
        try:
            digest.parse(self.digest)
        except InvalidReference as error:
            raise ValueError(str(error)) from None
        if self.size < 0:
            raise ValueError("a descriptor with a negative size")


class Index(msgspec.Struct, frozen=True, rename="camel"):
    """An image index, docker's manifest list, or a layout's index.json."""

    listed_manifests: list[Descriptor] | None = msgspec.field(name="manifests")

    @property
    def manifests(self) -> list[Descriptor]:
        """The entries; docker 25.0.0 says null where it saved images without names."""
        return self.listed_manifests or []


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """An image manifest, OCI's or docker's."""

    config: Descriptor
    listed_layers: list[Descriptor] | None = msgspec.field(name="layers")
    artifact_type: str | None = None
    subject: Descriptor | None = None

    @property
    def layers(self) -> list[Descriptor]:
        """The layers, lowest first; some writers say null where there are none."""
        return self.listed_layers or []


class RootFs(msgspec.Struct, frozen=True):
    """The layers of a configuration, lowest first."""

    listed_diff_ids: list[Digest] | None = msgspec.field(name="diff_ids", default=None)
    type: str = "layers"

    @property
    def diff_ids(self) -> list[Digest]:
        """The diff IDs, lowest first; some writers say null where there are none."""
        return self.listed_diff_ids or []


class ImageConfig(msgspec.Struct, frozen=True):
    """An image configuration, as far as the tree and the listings need it. Some writers say null for any of it."""

    architecture: str | None = None
    os: str | None = None
    variant: str | None = None
    created: str | None = None
    listed_rootfs: RootFs | None = msgspec.field(name="rootfs", default=None)
    history: msgspec.Raw = msgspec.Raw(b"null")
    """As it came, for `oci.history`: a note, which no image is refused for."""

    @property
    def rootfs(self) -> RootFs:
        """The layers."""
        return self.listed_rootfs or RootFs()

    def __post_init__(self) -> None:
        for diff_id in self.rootfs.diff_ids:
            try:
                digest.parse(diff_id)
            except InvalidReference as error:
                raise ValueError(f"diff ID {error}") from None

    @property
    def platform(self) -> Platform:
        """What the configuration says of its platform."""
        return Platform(architecture=self.architecture or "", os=self.os or "", variant=self.variant or "")


class DockerManifestEntry(msgspec.Struct, frozen=True, rename="pascal"):
    """One image in the `manifest.json` of a `docker save` archive.

    `layer_sources` says by diff ID where foreign layers come from.
    """

    config: str
    layers: list[str] | None = None
    repo_tags: list[str] | None = None
    layer_sources: dict[str, Descriptor] | None = None


def decode(data: bytes, document: type[Document], member: str) -> Document:
    """Decode a JSON document. Raises `ArchiveError` that names `member`."""
    if len(data) > MAX_READ:
        raise ArchiveError(f"a JSON document of {len(data)} bytes, more than {MAX_READ}", member=member)
    check_values(data, member)
    try:
        return msgspec.json.decode(data, type=document)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        kind = getattr(document, "__name__", "document").lower()
        raise ArchiveError(f"not a valid {kind}: {error}", member=member) from None


def encode(document: Any) -> bytes:  # noqa: ANN401  any of the structs above, or plain JSON values
    """Compact JSON, members in the order of the model: equal values give equal bytes."""
    return msgspec.json.encode(document)


def is_attestation(descriptor: Descriptor) -> bool:
    """Whether an index entry is buildkit's attestation or another pseudo manifest: no platform to run on."""
    platform = descriptor.platform
    unknown = platform is not None and platform.os == "unknown" and platform.architecture == "unknown"
    return unknown or "vnd.docker.reference.type" in (descriptor.annotations or {})


def is_image(manifest: Manifest) -> bool:
    """Whether a manifest describes a file system, and not some other artifact."""
    return manifest.config.media_type in mediatypes.CONFIGS and all(
        mediatypes.is_layer(layer.media_type) for layer in manifest.layers
    )


def mentioned(data: bytes) -> list[Descriptor]:
    """What a document of an unknown type seems to refer to: all that has the form of a descriptor in it.

    Of docker's schema 1 manifests the layers. Nothing where it is no JSON, or of too many values.
    """
    found: list[Descriptor] = []
    if has_too_many_values(data):
        return found
    try:
        waiting = [msgspec.json.decode(data)]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return found
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
            if "blobSum" in value:
                value = {"mediaType": mediatypes.DOCKER_LAYER_GZIP, "digest": value["blobSum"], "size": 0}
            with suppress(msgspec.ValidationError):
                found.append(msgspec.convert(value, Descriptor))
    return found
