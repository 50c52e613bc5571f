"""What an image is made of, as a tree: indexes, manifests, configurations and layers, with what is absent or damaged.

`contents.manifests` answers the same flat, for whoever needs no more than what is there and whole.
"""

from contextlib import suppress
from typing import Any

import msgspec

from imagefs.digest import Digest
from imagefs.errors import ArchiveError, ImagefsError
from imagefs.oci import configuration, mediatypes, platform
from imagefs.oci.chainid import chain_ids
from imagefs.oci.model import Descriptor, Index, decode, is_attestation
from imagefs.store import contents, standing
from imagefs.store.catalog import ImageRecord
from imagefs.store.contents import MAX_DEPTH, MAX_MANIFESTS, PresentManifest
from imagefs.store.store import Store


class LayerPart(msgspec.Struct, frozen=True):
    """A layer of a manifest, or a blob of an artifact, which has no diff ID and no chain ID.

    `unpacked` tells whether it can be read without unpacking it first.
    """

    descriptor: Descriptor
    present: bool
    diff_id: Digest | None = None
    chain_id: Digest | None = None
    unpacked: bool = False


class Part(msgspec.Struct, frozen=True):
    """One document of an image, or whatever else an index refers to.

    `kept` is off for what an index has for platforms that it is not kept for. `children` are those of an index that
    is here. `manifest` is that of a manifest which is here, `config` are the values of its configuration, for what is
    an image. `damage` is what is wrong with the document, of which nothing more is known then.
    """

    descriptor: Descriptor
    present: bool
    kept: bool = True
    damage: str | None = None
    children: tuple["Part", ...] | None = None
    manifest: PresentManifest | None = None
    config: Any = None
    config_present: bool = False
    layers: tuple[LayerPart, ...] = ()

    @property
    def is_manifest(self) -> bool:
        """Whether it is a manifest, here or not."""
        return self.descriptor.media_type in mediatypes.MANIFESTS

    @property
    def is_index(self) -> bool:
        """Whether it is an index, here or not."""
        return self.descriptor.media_type in mediatypes.INDEXES

    @property
    def complete(self) -> bool:
        """Whether all of a manifest is here; of an index only itself, as its manifests may be elsewhere."""
        return self.manifest.complete if self.manifest is not None else self.present and self.damage is None

    @property
    def attestation(self) -> bool:
        """Whether it is an attestation, or another pseudo manifest."""
        return is_attestation(self.descriptor)

    @property
    def artifact_type(self) -> str | None:
        """What a manifest is of that is of no image; None for others."""
        each = self.manifest
        if each is None or each.is_image or each.attestation:
            return None
        return each.manifest.artifact_type or each.manifest.config.media_type

    @property
    def platform(self) -> str | None:
        """The platform, as far as anything that is here says it."""
        if self.attestation or self.artifact_type is not None:
            return None
        if self.manifest is not None and self.manifest.config is not None:
            return self.manifest.platform_text
        stated = self.descriptor.platform
        return platform.text(stated) if stated is not None and stated.architecture else None


def structure(store: Store, record: ImageRecord) -> Part:
    """Look at all that an image is made of."""
    kept = None
    if record.platforms is not None and record.target.media_type in mediatypes.INDEXES:
        with suppress(ImagefsError, OSError):  # damaged, which is told where it is
            kept = frozenset(standing.kept_manifests(store.blobs, record.target, record.platforms))
    return _Walk(store, kept).part(record.target, 0)


class _Walk:
    def __init__(self, store: Store, kept: frozenset[Digest] | None) -> None:
        self._store, self._kept = store, kept
        self._seen: set[Digest] = set()

    def part(self, descriptor: Descriptor, depth: int) -> Part:
        self._seen.add(descriptor.digest)
        present = descriptor.digest in self._store.blobs
        part = Part(descriptor, present, self._is_kept(descriptor))
        if not present:
            return part
        try:
            if part.is_index:
                return msgspec.structs.replace(part, children=self._children(descriptor, depth))
            if part.is_manifest:
                return self._manifest(part)
        except (ImagefsError, OSError) as error:
            return msgspec.structs.replace(part, damage=str(error))
        return part

    def _is_kept(self, descriptor: Descriptor) -> bool:
        is_manifest = descriptor.media_type in mediatypes.MANIFESTS
        return self._kept is None or not is_manifest or descriptor.digest in self._kept

    def _children(self, descriptor: Descriptor, depth: int) -> tuple[Part, ...]:
        if depth >= MAX_DEPTH or len(self._seen) > MAX_MANIFESTS:
            raise ArchiveError("there is more in it than an image can have", member=descriptor.digest)
        children = decode(self._store.blobs.read(descriptor.digest), Index, descriptor.digest).manifests
        # What is there twice is told once, or few documents could make an endless tree.
        return tuple(self.part(child, depth + 1) for child in children if child.digest not in self._seen)

    def _manifest(self, part: Part) -> Part:
        blobs, unpacked = self._store.blobs, self._store.layers
        (each,) = contents.manifests(blobs, part.descriptor)
        content = each.manifest.config.digest
        config = configuration.values(blobs.read(content)) if each.config is not None else None
        if each.config is None:
            layers = [LayerPart(layer, layer.digest in blobs) for layer in each.manifest.layers]
        else:
            chain = chain_ids([diff_id for diff_id, _ in each.layers])
            layers = [
                LayerPart(layer, layer.digest in blobs, diff_id, chain_id, unpacked.serves(diff_id, layer.digest))
                for (diff_id, layer), chain_id in zip(each.layers, chain, strict=True)
            ]
        return msgspec.structs.replace(
            part, manifest=each, config=config, config_present=content in blobs, layers=tuple(layers)
        )
