"""Holding the catalogue of a store against its files, both ways; nothing is changed. `store.fullcheck` reads content.

It is no problem that an image lacks what it never had, nor that a layer is not unpacked.
"""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress

from imagefs import digest
from imagefs.digest import Digest
from imagefs.errors import ArchiveError, ContentMissing, ImagefsError, InvalidReference
from imagefs.layers.index import LayerIndex, is_older
from imagefs.store import contents, naming, rowsums, standing
from imagefs.store.blobs import BlobHash
from imagefs.store.catalog import ImageRecord
from imagefs.store.files import size_of
from imagefs.store.findings import Findings
from imagefs.store.gc import LAYER
from imagefs.store.leases import is_held
from imagefs.store.leases import live as live_leases
from imagefs.store.store import Store
from imagefs.store.unpacked import INDEX


def check_catalogue(store: Store) -> Findings:
    """Check the database itself and the checksum of each row."""
    found = Findings()
    connection = store.catalog.connection
    try:
        for (line,) in connection.execute("PRAGMA integrity_check").fetchall():
            if line != "ok":
                found.add("catalog.sqlite", line)
                found.rows = True
        if not store.catalog.has_its_tables():
            found.add("catalog.sqlite", "its tables are not those that were made")
            found.rows = True
        for row in rowsums.damaged(connection):
            found.add("catalog.sqlite", f"a damaged row: {row}")
            found.rows = True
    except (sqlite3.Error, UnicodeDecodeError) as error:  # what SQLite quotes in its errors may be no text
        found.add("catalog.sqlite", str(error))
        found.rows = True
    return found


def check_files(store: Store, records: Sequence[ImageRecord], *, everything: bool) -> Findings:
    """Check images against their blobs, and layers against what is on record.

    With `everything`, also what belongs to none of the images: other layers, leases, and what lies about. Layers that
    a process is making now are left alone.
    """
    found = Findings()
    busy = _in_the_making(store)
    wanted: set[Digest] = set()
    for record in records:
        wanted |= _check_image(store, record, found)
    if everything:
        wanted |= set(store.layers)
        _check_strays(store, found)
    for diff_id in sorted(wanted - busy):
        if os.path.lexists(store.layers.path(diff_id)):
            _check_layer(store, diff_id, found)
    if everything and not store.read_only:
        _check_leases(store, found)
    return found


def content_of(store: Store, records: Sequence[ImageRecord] | None) -> tuple[list[Digest], list[Digest]]:
    """The blobs and the derived layers of some images, or, for None, all that there are."""
    if records is None:
        return list(store.blobs), list(store.layers)
    blobs: set[Digest] = set()
    layers: set[Digest] = set()
    for record in records:
        with suppress(ImagefsError, OSError):  # told already
            blobs.update(standing.needed(store.blobs, record.target, record.platforms))
            for each in contents.manifests(store.blobs, record.target):
                layers |= {diff_id for diff_id, _ in each.layers}
    present = {layer for layer in layers if os.path.lexists(store.layers.path(layer))}
    return sorted(blob for blob in blobs if blob in store.blobs), sorted(present)


# -- images


def _check_image(store: Store, record: ImageRecord, found: Findings) -> set[Digest]:
    """Answers the diff IDs of its layers."""
    blobs, name = store.blobs, record.name
    try:
        sizes = standing.needed(blobs, record.target, record.platforms)
        state = naming.standing(blobs, record.target, record.platforms)
        present = contents.manifests(blobs, record.target)
    except (ImagefsError, OSError) as error:
        found.add(name, str(error))
        blob = _at_fault(error) or record.target.digest
        if not is_whole(store, blob):
            found.damaged(blob, blobs.path(blob), "its content has another digest", (name,))
        return set()
    for blob, size in sizes.items():
        _check_size(store, blob, size, name, found)
    present_blobs = set(standing.there(blobs, sizes))
    lacking = [blob for blob in sizes if blob not in present_blobs]
    if record.complete and not state.complete:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        found.add(name, f"should be complete, but lacks {lacking[0]}{more}")
        found.standing = True
    elif record.complete != state.complete:
        found.add(name, "is complete, but not on record as that", costs=False)
        found.standing = True
    if {(slot.platform, slot.manifest) for slot in store.catalog.slots(name)} != set(state.slots):
        found.add(name, "its platforms on record are not those that are complete", costs=False)
        found.standing = True
    diff_ids = {diff_id for each in present for diff_id, _ in each.layers}
    if any(
        store.catalog.layer_number(diff_id) is None for each in present if each.mountable for diff_id, _ in each.layers
    ):
        found.add(name, "has layers that are not on record", costs=False)
        found.standing = True
    return diff_ids


def _at_fault(error: Exception) -> Digest | None:
    try:
        return digest.parse(error.member or "") if isinstance(error, ArchiveError) else None
    except InvalidReference:
        return None


def _check_size(store: Store, blob: Digest, size: int | None, name: str, found: Findings) -> None:
    path = store.blobs.path(blob)
    actual = size_of(path)
    if actual is None or (path.is_file() and (size is None or size == actual)):
        return
    if not path.is_file():
        found.damaged(blob, path, "is no file", (name,))
    elif not is_whole(store, blob):
        found.damaged(blob, path, f"is {actual} bytes, not {size}", (name,))


def is_whole(store: Store, blob: Digest) -> bool:
    """Whether the store has a blob and it has its digest."""
    content = BlobHash(digest.algorithm(blob))
    try:
        content.consume(store.blobs.chunks(blob))
    except (ContentMissing, OSError):
        return False
    return content.digest == blob


# -- layers


def _in_the_making(store: Store) -> set[Digest]:
    """The layers under leases that are held: that of an import is in its place before it is on record."""
    if store.read_only:
        return set()
    held, _ = live_leases(store.catalog, store.lease_folder)
    protected = [each for lease in held for each in store.catalog.protected(lease)]
    return {Digest(key) for kind, key in protected if kind == LAYER}


def _check_layer(store: Store, diff_id: Digest, found: Findings) -> None:
    path = store.layers.path(diff_id) / INDEX
    subject = f"layer {diff_id}"
    if not path.is_file():
        found.add(subject, "has no index; it is made again on use", costs=False)
        found.layers.add(diff_id)
        return
    if is_older(path):
        found.add(subject, "its index is of an older format; it is made again on use", costs=False)
        found.layers.add(diff_id)
        return
    try:
        index = LayerIndex(path)
    except ContentMissing as error:
        found.add(subject, str(error))
        found.layers.add(diff_id)
        return
    index.close()
    tar = store.layers.tar(diff_id)
    if os.path.lexists(tar) and (not tar.is_file() or size_of(tar) != index.totals.size):
        found.add(subject, f"its tar is not the {index.totals.size} bytes that it should be")
        found.layers.add(diff_id)
    if store.catalog.layer_totals(diff_id) != index.totals:
        found.add(subject, "is not on record as it is", costs=False)
        found.standing = True


# -- what lies about


def _check_strays(store: Store, found: Findings) -> None:
    for folder in sorted(digest.algorithms()):
        for name in _names(store, f"blobs/{folder}"):
            try:
                blob = digest.join(folder, name)
            except InvalidReference:
                found.add(f"blobs/{folder}/{name}", "is no blob", costs=False)
                continue
            if not store.blobs.path(blob).is_file():
                found.damaged(blob, store.blobs.path(blob), "is no file")
    for name in _names(store, "layers"):
        try:
            digest.parse(name)
        except InvalidReference:
            found.add(f"layers/{name}", "is no layer", costs=False)


def _check_leases(store: Store, found: Findings) -> None:
    catalog = store.catalog
    _, live = live_leases(catalog, store.lease_folder)
    leases = catalog.leases()
    for lease, label, _ in leases:
        if lease not in live:
            found.add(f"lease {lease}", f"nobody holds it any more ({label}); gc takes it", costs=False)
    known = {lease for lease, _, _ in leases}
    for name in _names(store, "leases"):
        if name not in known and not is_held(store.lease_folder, name):
            found.add(f"leases/{name}", "is of no lease; it can be removed", costs=False)
    for name in _names(store, "tmp"):
        if not is_held(store.lease_folder, name.partition(".")[0]):
            found.add(f"tmp/{name}", "nobody is at it any more; gc takes it", costs=False)


def _names(store: Store, folder: str) -> list[str]:
    try:
        return sorted(os.listdir(store.folder / folder))
    except FileNotFoundError:
        return []
