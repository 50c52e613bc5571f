"""An image that somebody looks into, kept in the store for as long as that takes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from imagefs.browse.address import Address
from imagefs.errors import ImageNotFound, InvalidReference, NotUnpacked
from imagefs.store.catalog import ImageRecord
from imagefs.store.store import Store
from imagefs.tree.chain import Chain
from imagefs.tree.context import open_chain
from imagefs.tree.openlayers import Layers
from imagefs.tree.snapshot import ShownTree, show

Answer = TypeVar("Answer")


class OpenedImage:
    """One platform of an image, or its lowest layers, open: its layers in `chain`, and the slot that
    mounts number it by. `name` is how a mount's `images/` calls it, with `#N` where it is its lowest N layers.
    """

    def __init__(self, store: Store, record: ImageRecord, shown: ShownTree, count: int | None) -> None:
        self.record = record
        self.manifest = shown.manifest
        folder, slash, _ = record.name.rpartition("/")
        self.name = f"{folder}{slash}{shown.file_name}"
        if count is not None:
            self.name += f"#{count}"
            if count > len(self.manifest.layers):
                raise InvalidReference(f"{self.name}: it has {len(self.manifest.layers)} layers")
        self.slot = shown.slot
        layers = Layers(store)
        self.chain: Chain = _unpacking(lambda: open_chain(layers, self.manifest.layers[:count]))


@contextmanager
def opened(store: Store, address: Address) -> Iterator[OpenedImage]:
    """The image at an address, under a lease for the time of the block.

    Layers that were not unpacked yet are unpacked. Raises `ImageNotFound`, `AmbiguousImage`, `InvalidReference`,
    `ContentMissing`.
    """
    if store.read_only:
        yield _open(store, store.find_image(address.image), address)
        return
    with store.lease("browse") as lease:
        # Nobody can take away what was found before it is under the lease.
        with store.catalog.transaction():
            record = store.find_image(address.image)
            lease.protect(record.target.media_type, record.target.digest)
        yield _open(store, record, address)


def _open(store: Store, record: ImageRecord, address: Address) -> OpenedImage:
    image = show(store, record, store.catalog.slots(record.name))
    trees = image.trees if image is not None else ()
    if not trees:
        raise ImageNotFound(record.name, "nothing of it is a complete file system")
    if address.platform is None:
        return OpenedImage(store, record, trees[0], address.layers)
    for tree in trees:
        if tree.manifest.platform_text.replace("/", "-") == address.platform:
            return OpenedImage(store, record, tree, address.layers)
    there = ", ".join(tree.manifest.platform_text.replace("/", "-") for tree in trees)
    raise ImageNotFound(f"{record.name}@{address.platform}", f"no such platform, it has {there}")


def _unpacking(question: Callable[[], Answer]) -> Answer:
    while True:
        try:
            return question()
        except NotUnpacked as waiting:
            waiting.prepare()
