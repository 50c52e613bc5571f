"""Garbage collection: mark from names and leases over references, sweep the rest.

Marking is a pure function. Marking and sweeping happen inside one transaction of the catalogue; an import puts
content under its lease, in a transaction of its own, before it looks whether the content is there. So either
the collector sees the lease, or the import sees that the content is gone.
"""

import os
import secrets
import shutil
import stat
from collections import Counter
from collections.abc import Callable, Container, Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from imagefs import digest
from imagefs.digest import Digest
from imagefs.errors import ImagefsError, StoreError
from imagefs.oci import mediatypes
from imagefs.oci.model import MAX_DOCUMENT, ImageConfig, Manifest, decode, is_image
from imagefs.store import contents, events, standing
from imagefs.store.catalog import Catalog, ImageRecord
from imagefs.store.contents import BLOB, Node
from imagefs.store.leases import is_held, mountpoint_of
from imagefs.store.leases import live as live_leases
from imagefs.store.store import Store

LAYER = "layer"
"""The kind of a node that is a derived layer. Every other node is a blob."""


class Garbage(msgspec.Struct, frozen=True):
    """What a collection took away, or would take: blobs, derived layers, temporary files.

    `size` is the bytes that are free then: those of a file with links elsewhere are not.
    """

    blobs: list[Digest]
    layers: list[Digest]
    temporary: list[str]
    size: int


def mark(roots: Iterable[Node], references: Callable[[Node], Iterable[Node]]) -> set[Node]:
    """All that the roots reach over references."""
    marked: set[Node] = set()
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        if node not in marked:
            marked.add(node)
            waiting.extend(references(node))
    return marked


def collect(
    store: Store,
    *,
    dry_run: bool = False,
    only: set[Node] | None = None,
    without: Container[str] = (),
    failed_since: int | None = None,
) -> Garbage:
    """Take away what no name and no live lease reaches; the names in `without` count as removed already.

    With `only`, look at nothing else than these blobs and layers: an import cleans up its own, and what a lease of
    another import still protects is left to that one. `failed_since` is the number of the latest event when an
    import began that failed: what images lacked then they are to lack again. Raises `StoreError`.
    """
    catalog = store.catalog
    with catalog.transaction(durable=True):
        leases = catalog.leases()
        held, live = live_leases(catalog, store.lease_folder)
        records = [record for record in catalog.images() if record.name not in without]
        if failed_since is not None:
            records = _without_lacking(catalog, records, failed_since)
        named = mark(
            [root for record in records for root in roots(store, record)], lambda node: references(store, node)
        )
        protected = {lease: [(kind, Digest(key)) for kind, key in catalog.protected(lease)] for lease in live}
        marked = named | mark(
            [node for nodes in protected.values() for node in nodes], lambda node: references(store, node)
        )
        if only is not None:
            for lease in held:
                catalog.leave(lease, (only & set(protected[lease])) - named)
        kept_blobs = {content for kind, content in marked if kind != LAYER}
        kept_layers = {content for kind, content in marked if kind == LAYER}
        blobs = [blob for blob in store.blobs if blob not in kept_blobs and (only is None or (BLOB, blob) in only)]
        layers = [
            layer for layer in store.layers if layer not in kept_layers and (only is None or (LAYER, layer) in only)
        ]
        temporary = [] if only is not None else _rubbish(store)
        paths = [*map(store.blobs.path, blobs), *map(store.layers.path, layers)]
        size = _freed([*paths, *(store.temporary_folder / name for name in temporary)])
        if not dry_run:
            for blob in blobs:
                store.blobs.remove(blob)
            for layer in layers:
                store.layers.remove(layer, store.temporary_folder / f"trash.{secrets.token_hex(8)}")
            for name in temporary:
                path = store.temporary_folder / name
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            mounted = {label for lease, label, _ in leases if lease in held}
            for lease, label, _ in leases:
                if lease not in live:
                    catalog.drop_lease(lease)
                    mountpoint = mountpoint_of(label)
                    # A mount that was killed; where another one took its place, that is what there is to be said.
                    if mountpoint is not None and label not in mounted:
                        events.unmounted(catalog, mountpoint)
                if lease not in held:
                    (store.lease_folder / lease).unlink(missing_ok=True)
    return Garbage(blobs, layers, temporary, size)


def _without_lacking(catalog: Catalog, records: Iterable[ImageRecord], number: int) -> list[ImageRecord]:
    """The images that are complete, or got a name after the event that has a number."""
    given = {event.digest for event in events.after(catalog, number) if event.action in ("load", "tag")}
    return [record for record in records if record.complete or record.target.digest in given]


def _freed(paths: Iterable[Path]) -> int:
    """The bytes of files, and of all in folders, that nothing has when all of these are gone."""
    links: Counter[tuple[int, int]] = Counter()
    size = 0
    for path in paths:
        for file in path.rglob("*") if path.is_dir() else [path]:
            with suppress(FileNotFoundError):
                status = file.lstat()
                number = (status.st_dev, status.st_ino)
                links[number] += 1
                if stat.S_ISREG(status.st_mode) and links[number] == status.st_nlink:
                    size += status.st_size
    return size


def _rubbish(store: Store) -> list[str]:
    """What lies in `tmp/` without a process that is at it."""
    return [
        name
        for name in sorted(os.listdir(store.temporary_folder))
        if not is_held(store.lease_folder, name.partition(".")[0])
    ]


def roots(store: Store, record: ImageRecord) -> list[Node]:
    """What an image's name keeps: all of it where a document does not tell what is for which platform."""
    try:
        return standing.roots(store.blobs, record.target, record.platforms)
    except ImagefsError:
        return [contents.node(record.target)]


def references(store: Store, node: Node) -> list[Node]:
    """What a node refers to. A document that is damaged stops the collection: what it needs is unknown."""
    try:
        return needs(store, node)
    except ImagefsError as error:
        raise StoreError(f"{error}; nothing was collected, as it is not known what this image needs") from None


def _is_undamaged(store: Store, content: Digest) -> bool:
    if (store.blobs.size(content) or 0) > MAX_DOCUMENT:
        return True  # larger than what was ever read as a document
    try:
        return digest.of_bytes(store.blobs.read(content), digest.algorithm(content)) == content
    except (ImagefsError, OSError):
        return False


def needs(store: Store, node: Node) -> list[Node]:
    """What a node refers to. Raises `ArchiveError`, `ContentMissing` for a document that is damaged."""
    kind, content = node
    if kind in (BLOB, LAYER):
        return []
    try:
        nodes = contents.parts(store.blobs, node, subjects=True)
        if kind in mediatypes.MANIFESTS and content in store.blobs:
            nodes += _derived(store, decode(store.blobs.read(content), Manifest, content))
    except ImagefsError:
        if _is_undamaged(store, content):
            return []  # whoever says that it is a document is wrong
        raise
    return nodes


def _derived(store: Store, manifest: Manifest) -> list[Node]:
    """The derived layers that a manifest's file system has; other artifacts need none."""
    if is_image(manifest) and manifest.config.digest in store.blobs:
        # A configuration that cannot be read costs an unpacking, no content.
        with suppress(ImagefsError):
            config = decode(store.blobs.read(manifest.config.digest), ImageConfig, manifest.config.digest)
            return [(LAYER, diff_id) for diff_id in config.rootfs.diff_ids]
    return []
