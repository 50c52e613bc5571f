"""A store: one folder with blobs, derived layers and the catalogue.

blobs/<alg>/<hex>    as received, read-only: the truth
layers/<diff id>/    what is in a layer: derived, rebuildable
catalog.sqlite       images, layers, leases
leases/              a locked file for each held lease
tmp/<lease>.<n>      what no live lease owns is rubbish
quarantine/          what was found damaged; made when there is something, and emptied by nobody
"""

import itertools
import os
from pathlib import Path
from types import TracebackType

from imagefs import digest
from imagefs.digest import Digest
from imagefs.errors import ArchiveError, ContentMissing, DigestMismatch, StoreError
from imagefs.limits import DEFAULTS, Limits
from imagefs.oci import reference
from imagefs.store.blobs import Blobs
from imagefs.store.catalog import Catalog, ImageRecord
from imagefs.store.files import make_folder
from imagefs.store.leases import Lease
from imagefs.store.sharing import obstacle, owned
from imagefs.store.unpacked import UnpackedLayers, unpack


class Store:
    """An open store; a context manager that closes it.

    `Store(folder)` makes the folder where it is missing. One that this user cannot write to, be it for a read-only file
    system or for permissions, opens without writing anything; `obstacle` tells why. Raises `StoreError`.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).absolute()
        self.blobs = Blobs(self.folder / "blobs")
        self.layers = UnpackedLayers(self.folder / "layers")
        self.lease_folder = self.folder / "leases"
        self.temporary_folder = self.folder / "tmp"
        database = self.folder / "catalog.sqlite"
        parts = (self.blobs.folder / "sha256", self.layers.folder, self.lease_folder, self.temporary_folder)
        try:
            self.obstacle = obstacle(self.folder, (database, self.blobs.folder, *parts)) if database.exists() else None
            self.read_only = self.obstacle is not None
            if not self.read_only:
                for part in parts:
                    make_folder(part)
        except OSError as error:
            raise StoreError(_refused(self.folder, error)) from None
        self.catalog = Catalog(database, read_only=self.read_only, obstacle=self._refusal)

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the catalogue."""
        self.catalog.close()

    def lease(self, label: str, lifetime: float | None = None) -> Lease:
        """A held lease, with `lifetime` seconds a timed one too. Raises `StoreError` on a read-only store."""
        if self.read_only:
            raise StoreError(self._refusal)
        return Lease(self.catalog, self.lease_folder, label, lifetime)

    @property
    def _refusal(self) -> str:
        return self.obstacle or f"{self.folder}: the store is read-only"

    def images(self) -> list[ImageRecord]:
        """All images, sorted by name."""
        return self.catalog.images()

    def find_image(self, text: str) -> ImageRecord:
        """The image that a user means; see `oci.reference.find`. Raises `ImageNotFound`, `AmbiguousImage`."""
        records = {record.name: record for record in self.images()}
        return records[reference.find(text, {name: record.target.digest for name, record in records.items()})]

    def unpack_blob(self, blob: Digest, diff_id: Digest, limits: Limits = DEFAULTS) -> None:
        """Make a layer's derived files from its blob, unless they are there; one that was there may be what it was.

        Raises `LimitExceeded`, `DigestMismatch` where the blob holds another layer, `ContentMissing`, `ArchiveError`.
        """
        if self.layers.serves(diff_id, blob):
            return
        if self.read_only:
            raise ContentMissing(f"{diff_id}: not unpacked, and it cannot be: {self._refusal}")
        with self.lease(f"unpack {diff_id}") as lease:
            lease.protect("layer", diff_id)
            folder = self.temporary_folder / f"{lease.id}.0"
            known = self.catalog.layer_totals(diff_id)
            if known is not None:
                limits = limits.for_known(known.size, known.nodes)
            try:
                unpacked = unpack(self.blobs.chunks(blob), folder, digest.algorithm(blob), limits=limits)
            except ArchiveError as error:
                raise error.locate(member=blob) from None
            if unpacked.diff_id != diff_id:
                unpacked.discard()
                raise DigestMismatch(diff_id, str(unpacked.diff_id), what="diff ID", member=blob)
            try:
                index = unpacked.commit(self.layers, diff_id)
            except BaseException:
                unpacked.discard()
                raise
            self.catalog.set_unpacked(blob, diff_id, unpacked.totals, index)
            if not self.layers.serves(diff_id, blob):
                raise ContentMissing(f"{diff_id}: cannot be read although it was unpacked")


class TemporaryNames:
    """Fresh paths in a store's `tmp/` that a lease owns."""

    def __init__(self, store: Store, lease: Lease) -> None:
        self._prefix = store.temporary_folder / lease.id
        self._numbers = itertools.count()

    def __call__(self) -> Path:
        """A path that nothing has yet."""
        return self._prefix.with_name(f"{self._prefix.name}.{next(self._numbers)}")


def _refused(folder: Path, error: OSError) -> str:
    """Why a store cannot be opened or made: what stands in the way is its folder, or the nearest one that there is."""
    place = folder
    if isinstance(error, PermissionError):
        while place != place.parent and not _can_be_seen(place):
            place = place.parent
        return f"{folder}: {error.strerror}: {place}: {owned(place)}"
    return f"{folder}: {error.strerror}"


def _can_be_seen(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return False
