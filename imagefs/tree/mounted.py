"""The images of a mount: which they are now, their trees, and the lease that keeps them."""

import itertools
import logging
import sqlite3
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from imagefs.digest import Digest
from imagefs.errors import ImagefsError, ImageNotFound, NoSuchEntry, StoreBusy, StoreError
from imagefs.layers.entry import LayerTotals
from imagefs.store.catalog import ImageRecord
from imagefs.store.database import BUSY_TIMEOUT
from imagefs.store.leases import Lease
from imagefs.store.present import BlobReader, PresentBlobs
from imagefs.store.store import Store
from imagefs.tree.departed import Departures, Target
from imagefs.tree.image import DIRECTORIES, ImageTree
from imagefs.tree.merge import Merged
from imagefs.tree.openlayers import Layers, OpenLayer
from imagefs.tree.recent import Recent
from imagefs.tree.snapshot import ShownImage, ShownTree, Snapshot, show, snapshot

log = logging.getLogger(__name__)

_MANY = 16
"""To look at more new images than this, all of the store's blobs are listed."""

_OPEN_LAYERS = 160
"""How many layers stay open, at two descriptors each, when another tree is looked into, which can have 256 more:
many systems give a process 1,024 descriptors."""

_KEPT = 16
"""How many layers stay open that files were asked for by number, when all trees with them are closed."""

_PATIENCE = 0.05  # seconds that a mount's requests may be held up by another process


class MountedImages:
    """The images of a mount, kept up to date and under a lease; all of them, or a set that is fixed.

    With `sharing`, images that share a layer share the inode numbers of its files; with `verify`, what is read of
    their files is checked.

    Raises `ImageNotFound`, `AmbiguousImage` for names that are given and not there.
    """

    def __init__(
        self,
        store: Store,
        names: Sequence[str] = (),
        label: str = "mount",
        *,
        sharing: bool = True,
        verify: bool = False,
    ) -> None:
        self.store = store
        self.fixed = bool(names)
        self.layers = Layers(store, verify=verify)
        self._directories: Recent[Merged] = Recent(DIRECTORIES)
        self._recent: OrderedDict[int, None] = OrderedDict()  # slots by their last use, the latest last
        self._latest = -1
        self._kept: deque[OpenLayer] = deque(maxlen=_KEPT)
        self._sharing = sharing
        self._names = names
        self._records: list[ImageRecord] = []  # what they stand for, where they are given
        self._lease: Lease | None = None if store.read_only else store.lease(label)
        self._shown: dict[tuple[str, Digest], ShownImage] = {}
        self._trees: dict[int, ImageTree] = {}
        self._version = -1
        self.in_use = Departures(self._let_go)
        self.current: Snapshot = snapshot(())
        try:
            self.refresh()
            for record in self._records:
                if not any(image.record.name == record.name for image in self.current.images):
                    raise ImageNotFound(record.name, "nothing of it is complete")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the lease."""
        self.layers.used()
        if self._lease is not None:
            self._lease.release()

    def refresh(self) -> bool:
        """Look for new and removed images; answers whether there were any.

        While another process is changing the store, nothing is seen of it yet: requests must not wait for that.
        """
        try:
            return self._refresh()
        except StoreBusy:
            if self._version < 0:
                raise
            return False

    @contextmanager
    def noting(self, *, wait: float) -> Iterator[None]:
        """A transaction of the store's for what is of no image: after it, there is no more to look for than before.

        Raises what `Database.transaction` does.
        """
        catalog = self.store.catalog
        with catalog.transaction(wait=wait):
            seen = self._version == catalog.version()
            yield
            if seen:
                self._version = catalog.version()

    def _refresh(self) -> bool:
        catalog = self.store.catalog
        if self._version == catalog.version() or (self.fixed and self._version >= 0):
            return False
        if self._lease is None:
            version = catalog.version()  # first: what comes after it is seen the next time
            self._show(self._find())
            self._version = version
        else:
            with catalog.transaction(wait=BUSY_TIMEOUT if self._version < 0 else _PATIENCE):
                # Nobody can take away what was found before it is under the lease.
                records = self._find()
                self._protect(self._lease, records)
                self._show(records)
                self._version = catalog.version()
        return True

    def _protect(self, lease: Lease, records: Sequence[ImageRecord]) -> None:
        try:
            lease.protect_all([_target(record) for record in records])
        except StoreError as error:  # somebody wanted it so; what has a name is kept all the same
            log.warning("%s", error)
            self._lease = None

    def _find(self) -> Sequence[ImageRecord]:
        if not self.fixed:
            return self.store.images()
        self._records = self._records or [self.store.find_image(name) for name in self._names]
        return self._records

    def _show(self, records: Sequence[ImageRecord]) -> None:
        shown = {}
        all_slots = self.store.catalog.all_slots()
        blobs: BlobReader | None = None
        for record in records:
            key = (record.name, record.target.digest)
            slots = all_slots.get(record.name, [])
            image = self._shown.get(key)
            if image is None or {tree.slot for tree in image.trees} != {slot.id for slot in slots}:
                if blobs is None and len(records) - len(self._shown) > _MANY:
                    blobs = PresentBlobs(self.store.blobs)
                image = show(self.store, record, slots, blobs)
            if image is not None:
                shown[key] = image
        before, self._shown = self._shown, shown
        self.current = snapshot(shown.values())
        trees = {}
        for image in shown.values():
            for tree in image.trees:
                trees[tree.slot] = self._trees.get(tree.slot) or self._make_tree(tree)
        trees_before, self._trees = self._trees, trees
        targets = {_target(image.record) for image in shown.values()}
        for image in before.values():
            gone = {tree.slot: trees_before[tree.slot] for tree in image.trees if tree.slot not in trees}
            if gone or _target(image.record) not in targets:
                self.in_use.leave(_target(image.record), gone)

    def _make_tree(self, shown: ShownTree) -> ImageTree:
        return ImageTree(self.layers, shown.manifest, shown.slot, sharing=self._sharing, directories=self._directories)

    def tree(self, slot: int) -> ImageTree:
        """The tree of a slot. Raises `NoSuchEntry` for an image that is gone."""
        tree = self._trees.get(slot) or self.in_use.tree(slot)
        if tree is None:
            raise NoSuchEntry
        if slot != self._latest:
            self._use(slot)
        return tree

    def layer(self, number: int) -> OpenLayer:
        """The layer with this number. Raises `NoSuchEntry` where it is of no image, or of one that is gone."""
        layer = self.layers.by_number(number)
        if layer is None:
            trees = itertools.chain(self._trees.values(), self.in_use.trees())
            layer = next((found for tree in trees if (found := tree.layer(number)) is not None), None)
            if layer is None:
                raise NoSuchEntry
            self._kept.append(layer)
        return layer

    def _use(self, slot: int) -> None:
        """Another tree's turn: of those that nobody has looked into for long, let go of the layers."""
        self._latest = slot
        self._recent[slot] = None
        self._recent.move_to_end(slot)
        while len(self.layers) > _OPEN_LAYERS and len(self._recent) > 1:
            oldest, _ = self._recent.popitem(last=False)
            tree = self._trees.get(oldest) or self.in_use.tree(oldest)
            if tree is not None:
                tree.close()

    def open_ahead(self) -> None:
        """Open the layers of each image's own platform, as long as all stay open."""
        for image in self.current.images:
            for shown in image.trees[:1]:
                if len(self.layers) and len(self.layers) + len(shown.manifest.layers) > _OPEN_LAYERS:
                    return
                # Not unpacked yet, or damaged: that is for whoever looks into it.
                with suppress(ImagefsError, OSError, sqlite3.Error):
                    self.tree(shown.slot).open_layers()

    def _let_go(self, target: Target) -> None:
        if self._lease is not None and all(_target(image.record) != target for image in self._shown.values()):
            self._lease.unprotect(*target)

    # -- figures

    def totals(self) -> list[LayerTotals | None]:
        """The totals of each layer of the shown trees, once; None for what was never unpacked."""
        diff_ids = {
            diff_id for image in self.current.images for tree in image.trees for diff_id, _ in tree.manifest.layers
        }
        known = self.store.catalog.all_layer_totals()
        return [known.get(diff_id) for diff_id in sorted(diff_ids)]


def _target(record: ImageRecord) -> Target:
    return record.target.media_type, record.target.digest
