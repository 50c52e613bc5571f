"""The images of a mount: which they are now, their trees, and the lease that keeps them."""

import itertools
from collections.abc import Sequence

from imagefs.digest import Digest
from imagefs.errors import ImageNotFound, NoSuchEntry, StoreBusy
from imagefs.layers.entry import LayerTotals
from imagefs.store.catalog import BUSY_TIMEOUT, ImageRecord
from imagefs.store.leases import Lease
from imagefs.store.store import Store
from imagefs.tree.image import ImageTree
from imagefs.tree.openlayers import Layers
from imagefs.tree.snapshot import ShownImage, ShownTree, Snapshot, show, snapshot

_PATIENCE = 0.05  # seconds that a mount's requests may be held up by another process


class MountedImages:
    """The images of a mount, kept up to date and under a lease; all of them, or a set that is fixed.

    With `sharing`, images that share a layer share the inode numbers of its files.

    Raises `ImageNotFound`, `AmbiguousImage` for names that are given and not there.
    """

    def __init__(self, store: Store, names: Sequence[str] = (), label: str = "mount", *, sharing: bool = True) -> None:
        self.store = store
        self.fixed = bool(names)
        self.layers = Layers(store)
        self._sharing = sharing
        self._records = [store.find_image(name) for name in names]
        self._lease: Lease | None = None if store.read_only else store.lease(label)
        self._shown: dict[tuple[str, Digest], ShownImage] = {}
        self._trees: dict[int, ImageTree] = {}
        self._version = -1
        self._handles: set[int] = set()
        self._handle_numbers = itertools.count(1)
        self._leaving: dict[tuple[str, Digest], set[int]] = {}
        self._leaving_trees: dict[int, tuple[ImageTree, set[int]]] = {}
        self.current: Snapshot = snapshot(())
        self.refresh()
        if self.fixed:
            for record in self._records:
                if not any(image.record.name == record.name for image in self.current.images):
                    raise ImageNotFound(f"{record.name}: nothing of it is complete;")

    def close(self) -> None:
        """End the lease."""
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

    def _refresh(self) -> bool:
        catalog = self.store.catalog
        if self._version == catalog.version() or (self.fixed and self._version >= 0):
            return False
        if self._lease is None:
            self._show(self._records if self.fixed else catalog.images())
            self._version = catalog.version()
        else:
            with catalog.transaction(wait=BUSY_TIMEOUT if self._version < 0 else _PATIENCE):
                records = self._records if self.fixed else catalog.images()
                wanted = {(record.target.media_type, record.target.digest) for record in records}
                for target in wanted:
                    self._lease.protect(*target)
                    self._leaving.pop(target, None)
                before = {(image.record.target.media_type, image.record.target.digest) for image in self.current.images}
                self._show(records)
                for target in before - wanted:
                    self._leave(target)
                self._version = catalog.version()
        return True

    def _show(self, records: Sequence[ImageRecord]) -> None:
        shown = {}
        for record in records:
            key = (record.name, record.target.digest)
            slots = self.store.catalog.slots(record.name)
            image = self._shown.get(key)
            if image is None or {tree.slot for tree in image.trees} != {slot.id for slot in slots}:
                image = show(self.store, record, slots)
            if image is not None:
                shown[key] = image
        self._shown = shown
        self.current = snapshot(shown.values())
        trees = {}
        for image in shown.values():
            for tree in image.trees:
                trees[tree.slot] = self._trees.get(tree.slot) or self._make_tree(tree)
        for slot in self._trees.keys() - trees.keys():
            if self._handles:
                self._leaving_trees[slot] = (self._trees[slot], set(self._handles))
        self._trees = trees

    def _make_tree(self, shown: ShownTree) -> ImageTree:
        return ImageTree(self.layers, shown.manifest, shown.slot, sharing=self._sharing)

    def tree(self, slot: int) -> ImageTree:
        """The tree of a slot. Raises `NoSuchEntry` for an image that is gone."""
        tree = self._trees.get(slot)
        if tree is None:
            if slot not in self._leaving_trees:
                raise NoSuchEntry
            tree = self._leaving_trees[slot][0]
        return tree

    # A removed image is let go when the last file or directory that was open at the time is closed: until then a
    # running program finds all that it finds below what it has open. Which contents are the image's is not worth
    # knowing here: whatever is open holds whatever is removed.

    def opened(self) -> int:
        """Something was opened; answers a number for `closed`."""
        number = next(self._handle_numbers)
        self._handles.add(number)
        return number

    def closed(self, number: int) -> None:
        """It was closed."""
        self._handles.discard(number)
        for slot, (_, waiting) in list(self._leaving_trees.items()):
            waiting.discard(number)
            if not waiting:
                del self._leaving_trees[slot]
        for target, waiting in list(self._leaving.items()):
            waiting.discard(number)
            if not waiting:
                del self._leaving[target]
                self._unprotect(target)

    def _leave(self, target: tuple[str, Digest]) -> None:
        if self._handles:
            self._leaving[target] = set(self._handles)
        else:
            self._unprotect(target)

    def _unprotect(self, target: tuple[str, Digest]) -> None:
        if self._lease is not None:
            self._lease.unprotect(*target)

    # -- figures

    def totals(self) -> list[LayerTotals | None]:
        """The totals of each layer of the shown trees, once; None for what was never unpacked."""
        diff_ids = {
            diff_id for image in self.current.images for tree in image.trees for diff_id, _ in tree.manifest.layers
        }
        return [self.store.catalog.layer_totals(diff_id) for diff_id in sorted(diff_ids)]
