"""The rows of the catalogue that come from the blobs and the unpacked layers, made again from those."""

from collections.abc import Iterator
from contextlib import suppress

from imagefs.digest import Digest
from imagefs.errors import ContentMissing, ImagefsError
from imagefs.layers.index import LayerIndex
from imagefs.store import contents, naming
from imagefs.store.store import Store
from imagefs.store.unpacked import INDEX


def put_on_record(store: Store) -> None:
    """Let the catalogue say how complete images are, number all their layers, and tell what unpacked ones amount to.

    Inside a `transaction`.
    """
    for record in store.catalog.images():
        naming.renew(store.catalog, store.blobs, record, checked=True)
    for diff_id, _ in layer_blobs(store):
        store.catalog.add_layer(diff_id)
    for diff_id in store.layers:
        with suppress(ContentMissing):  # broken, and made again after this
            index = LayerIndex(store.layers.path(diff_id) / INDEX)
            index.close()
            store.catalog.set_layer(diff_id, index.totals, None)


def layer_blobs(store: Store) -> Iterator[tuple[Digest, Digest]]:
    """(diff ID, blob) of all layers of all images."""
    for record in store.catalog.images():
        with suppress(ImagefsError):
            for manifest in contents.manifests(store.blobs, record.target):
                yield from ((diff_id, blob.digest) for diff_id, blob in manifest.layers)
