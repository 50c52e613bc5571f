"""Mending what a check found: what is derived is made again, what is not goes into the quarantine.

Nothing is deleted that may be the only copy of anything. What it costs is told by the names of the images that are
incomplete from then on; an import of an archive that has the content completes them again.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from imagefs import digest
from imagefs.digest import Digest
from imagefs.errors import ArchiveError, ContentMissing
from imagefs.store.blobs import QUARANTINE
from imagefs.store.files import put_aside, remove_all, sync_directory, sync_file
from imagefs.store.findings import Findings, seen
from imagefs.store.leases import Lease
from imagefs.store.rederiving import layer_blobs, put_on_record
from imagefs.store.store import Store, TemporaryNames
from imagefs.store.unpacked import INDEX, TAR, Unpacked, file_digest, unpack
from imagefs.streams.chunks import chunks_of


class Repaired(msgspec.Struct, frozen=True):
    """What was done, a line each, and the names of the images that are incomplete now and were not."""

    done: list[str]
    lost: list[str]


def mend(store: Store, found: Findings) -> Repaired:
    """Quarantine the blobs and make the layers again that a check found, and put on record what is there then.

    Raises `StoreError`.
    """
    done: list[str] = []
    lost: list[str] = []
    if found.blobs or found.standing:
        done, lost = _mend_blobs(store, found)
    if found.layers:
        with store.lease("check --repair") as lease:
            builder = _Builder(store, lease)
            done += [builder.make_again(layer) for layer in sorted(found.layers)]
    return Repaired(done, lost)


def _mend_blobs(store: Store, found: Findings) -> tuple[list[str], list[str]]:
    catalog, blobs = store.catalog, store.blobs
    done = []
    # As in garbage collection: an import has it under its lease before, or sees that it is gone.
    with catalog.transaction(durable=True):
        for blob, looked_at in sorted(found.blobs.items()):
            if seen(blobs.path(blob)) != looked_at:
                continue  # an import has brought it anew
            place = blobs.put_aside(blob)
            if place is not None:
                done.append(f"{blob}: moved to {QUARANTINE}/{place.name}")
        before = catalog.images()
        put_on_record(store)
        complete = {record.name for record in catalog.images() if record.complete}
    return done, [record.name for record in before if record.complete and record.name not in complete]


class _Builder:
    """Makes derived layers again, beside the mounts that have them open."""

    def __init__(self, store: Store, lease: Lease) -> None:
        self._store, self._lease = store, lease
        self._temporary = TemporaryNames(store, lease)
        self._blobs: dict[Digest, set[Digest]] = {}
        for diff_id, blob in layer_blobs(store):
            self._blobs.setdefault(diff_id, set()).add(blob)

    def make_again(self, diff_id: Digest) -> str:
        """Make a layer from its own tar or from a blob; answers what became of it."""
        store = self._store
        self._lease.protect("layer", diff_id)
        for blob in sorted({*self._blobs.get(diff_id, ()), *store.catalog.blobs_of(diff_id)}):
            self._lease.protect("blob", blob)
            if blob in store.blobs:
                unpacked = self._unpacked(diff_id, store.blobs.chunks(blob), digest.algorithm(blob))
                if unpacked is not None:
                    self._put_in_place(diff_id, unpacked)
                    with store.catalog.transaction():
                        store.catalog.set_layer_blob(blob, diff_id)
                    return f"layer {diff_id}: made again from {blob}"
        unpacked = self._from_tar(store.layers.tar(diff_id), diff_id)
        if unpacked is not None:
            self._put_in_place(diff_id, unpacked)
            return f"layer {diff_id}: its index was made again from its tar"
        place = put_aside(store.layers.path(diff_id), store.folder / QUARANTINE, f"layer-{diff_id}")
        if place is None:
            return f"layer {diff_id}: gone"
        return f"layer {diff_id}: the store has no blob that it could be made from; moved to {QUARANTINE}/{place.name}"

    def _from_tar(self, tar: Path, diff_id: Digest) -> Unpacked | None:
        try:
            with tar.open("rb", buffering=0) as file:
                return self._unpacked(diff_id, chunks_of(file), digest.algorithm(diff_id))
        except OSError:
            return None

    def _unpacked(self, diff_id: Digest, chunks: Iterator[bytes], algorithm: str) -> Unpacked | None:
        try:
            unpacked = unpack(chunks, self._temporary(), algorithm)
        except (ArchiveError, ContentMissing):
            return None
        if unpacked.diff_id == diff_id:
            return unpacked
        unpacked.discard()
        return None

    def _put_in_place(self, diff_id: Digest, unpacked: Unpacked) -> None:
        """File by file: who has the old ones open keeps them, and each of the new ones goes with each of the others."""
        target = self._store.layers.path(diff_id)
        if not target.is_dir():
            remove_all(target)
            target.mkdir()
        for name in (TAR, INDEX):
            file = unpacked.folder / name
            if file.exists():
                sync_file(file)
                if not (target / name).is_file():
                    remove_all(target / name)
                file.replace(target / name)
        sync_directory(target)
        sync_directory(target.parent)
        unpacked.discard()
        with self._store.catalog.transaction(durable=True):
            self._store.catalog.set_layer(diff_id, unpacked.totals, file_digest(target / INDEX))
