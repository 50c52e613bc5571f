"""Garbage collection: mark from names and leases over references, sweep the rest.

Marking is a pure function. Marking and sweeping happen inside one transaction of the catalogue; an import puts
content under its lease, in a transaction of its own, before it looks whether the content is there. So either
the collector sees the lease, or the import sees that the content is gone.
"""

import logging
import os
import secrets
import shutil
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

import msgspec

from imagefs import digest
from imagefs.digest import Digest
from imagefs.errors import ImagefsError, StoreError
from imagefs.oci import mediatypes
from imagefs.oci.model import MAX_DOCUMENT, ImageConfig, Manifest, decode, is_image
from imagefs.store import contents, events, evict, standing
from imagefs.store.catalog import Catalog, ImageRecord
from imagefs.store.contents import BLOB, Node
from imagefs.store.leases import LeaseStanding, is_held, mountpoint_of, standings, sweep
from imagefs.store.store import Store

log = logging.getLogger(__name__)

LAYER = "layer"
"""The kind of a node that is a derived layer. Every other node is a blob."""


class Garbage(msgspec.Struct, frozen=True):
    """What a collection took away, or would take: blobs, derived layers, temporary files.

    `unpacked` are derived layers of images that stay, dropped for room. `size` is the bytes that are free then: those
    of a file with links elsewhere are not.
    """

    blobs: list[Digest]
    layers: list[Digest]
    temporary: list[str]
    unpacked: list[Digest]
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
    room: int | None = None,
) -> Garbage:
    """Take away what no name and no live lease reaches; the names in `without` count as removed already.

    With `only`, look at nothing else than these blobs and layers: an import cleans up its own, and what a lease of
    another import still protects is left to that one. `failed_since` is the number of the latest event when an
    import began that failed: what images lacked then they are to lack again. With `room`, derived layers that no held
    lease reaches go, too, as `evict.choose` says, until the rest has `room` bytes. Raises `StoreError`.
    """
    catalog = store.catalog
    trash = store.temporary_folder / f"trash.{secrets.token_hex(8)}"
    with catalog.transaction(durable=True):
        leases = standings(catalog, store.lease_folder)
        records = [record for record in catalog.images() if record.name not in without]
        if failed_since is not None:
            records = _without_lacking(catalog, records, failed_since)
        named = mark(
            [root for record in records for root in roots(store, record)], lambda node: references(store, node)
        )
        protected = {lease.id: _protected(store, lease) for lease in leases if lease.protects}
        marked = named | mark(chain.from_iterable(protected.values()), lambda node: references(store, node))
        held = [lease.id for lease in leases if lease.held]
        if only is not None:
            for lease in held:
                catalog.leave(lease, (only & set(protected[lease])) - named)
        kept_blobs = {content for kind, content in marked if kind != LAYER}
        kept_layers = {content for kind, content in marked if kind == LAYER}
        blobs = [blob for blob in store.blobs if blob not in kept_blobs and (only is None or (BLOB, blob) in only)]
        layers = [
            layer for layer in store.layers if layer not in kept_layers and (only is None or (LAYER, layer) in only)
        ]
        unpacked: list[Digest] = []
        if room is not None:
            in_use = mark(chain.from_iterable(protected[lease] for lease in held), lambda node: references(store, node))
            used = {content for kind, content in in_use if kind == LAYER}
            unpacked = evict.choose(store, set(store.layers) - set(layers), used, room)
        temporary = [] if only is not None else _rubbish(store)
        paths = [*map(store.blobs.path, blobs), *map(store.layers.path, [*layers, *unpacked])]
        size = evict.freed([*paths, *(store.temporary_folder / name for name in temporary)])
        if not dry_run:
            for blob in blobs:
                store.blobs.remove(blob)
            for number, layer in enumerate([*layers, *unpacked]):
                store.layers.take_out(layer, trash.with_name(f"{trash.name}.{number}"))
            _end(catalog, leases)
    if not dry_run:
        # What nobody reaches any more keeps nobody waiting while it goes.
        sweep(store.lease_folder)
        taken = [f"{trash.name}.{number}" for number in range(len(layers) + len(unpacked))]
        for name in [*temporary, *taken]:
            _remove(store.temporary_folder / name)
    return Garbage(blobs, layers, temporary, unpacked, size)


def _without_lacking(catalog: Catalog, records: Iterable[ImageRecord], number: int) -> list[ImageRecord]:
    """The images that are complete, or got a name after the event that has a number."""
    given = {event.digest for event in events.after(catalog, number) if event.action in ("load", "tag")}
    return [record for record in records if record.complete or record.target.digest in given]


def _protected(store: Store, lease: LeaseStanding) -> list[Node]:
    return [(kind, Digest(key)) for kind, key in store.catalog.protected(lease.id)]


def _end(catalog: Catalog, leases: Sequence[LeaseStanding]) -> None:
    """Put the end of leases on record that died, and say of which nobody knows whether they did."""
    mounted = {lease.label for lease in leases if lease.held}
    for lease in leases:
        if lease.state == "lost":
            log.warning(
                "the file of lease %s (%s) is gone, so nobody knows whether it is held: it keeps what it protects until"
                " `imagefs leases rm %s`",
                lease.id, lease.label, lease.id,
            )  # fmt: skip
        if not lease.protects:
            # A mount that was killed; where another one took its place, that is what there is to be said.
            end(catalog, lease, silent=lease.label in mounted)


def end(catalog: Catalog, lease: LeaseStanding, *, silent: bool = False) -> None:
    """Take a lease off the record, and put the end of the mount that had it on it, unless `silent`."""
    catalog.drop_lease(lease.id)
    mountpoint = mountpoint_of(lease.label)
    if mountpoint is not None and not silent:
        events.unmounted(catalog, mountpoint)


def _remove(path: Path) -> None:
    """Remove what lies in `tmp/`, as another collection may at the same time."""
    if path.is_dir():
        shutil.rmtree(path, onerror=_unless_gone)
    else:
        path.unlink(missing_ok=True)


def _unless_gone(_: object, __: str, error: tuple[type[BaseException], BaseException, object]) -> None:
    if not isinstance(error[1], FileNotFoundError):
        raise error[1]


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
