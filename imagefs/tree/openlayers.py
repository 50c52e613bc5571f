"""The layers that a mount has open, shared by its images, and the files that are open in them."""

import os
from bisect import bisect_right
from collections.abc import Callable
from functools import cached_property, partial
from weakref import WeakValueDictionary

from imagefs.digest import Digest
from imagefs.errors import IsADirectory, NoSuchAttribute, NoSuchEntry, NotUnpacked
from imagefs.layers.entry import Entry
from imagefs.layers.index import LayerIndex
from imagefs.store.files import pread_cached
from imagefs.store.store import Store
from imagefs.tree.checkedpieces import CheckedPieces

_Pread = Callable[[int, int], bytes | bytearray | None]
"""Bytes of the layer's tar: size, offset."""


class OpenLayer:
    """A layer of the chain: its index and its data. Images that share a layer share this.

    With `verify`, each piece of the data is checked before any of it is given out for the first time.
    """

    def __init__(self, store: Store, diff_id: Digest, number: int, *, verify: bool = False) -> None:
        self.diff_id = diff_id
        self.number = number
        self.index: LayerIndex = store.layers.index(diff_id)
        self._descriptor = store.layers.open_tar(diff_id, store.blobs)
        self._pieces = CheckedPieces(diff_id, self._descriptor, self.index) if verify else None
        self._put_on_record = None if store.read_only else partial(store.layers.use, diff_id)
        self.used()

    def used(self) -> None:
        """Put on record that it was in use until now; that is for whoever drops unpacked layers."""
        if self._put_on_record is not None:
            self._put_on_record()

    def pread(self, size: int, offset: int) -> bytes:
        """Bytes of the uncompressed tar. Raises `OSError`, also where they are not what was imported."""
        if self._pieces is not None:
            self._pieces.check(size, offset)
        return os.pread(self._descriptor, size, offset)

    def pread_cached(self, size: int, offset: int) -> bytes | bytearray | None:
        """The same where it is in memory, and checked; None where the disk would have to be waited for."""
        if self._pieces is not None and not self._pieces.are_checked(size, offset):
            return None
        return pread_cached(self._descriptor, size, offset)

    def fileno(self) -> int:
        """The descriptor of the uncompressed tar."""
        return self._descriptor

    def __del__(self) -> None:
        # The last image, or the last open file, that needs the layer lets go of it.
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)
            self.index.close()
            self.used()


class LayerFile:
    """An open regular file: one piece of the layer's tar, or several where it is sparse."""

    def __init__(self, layer: OpenLayer, view: LayerIndex, entry: Entry) -> None:
        self.diff_id = layer.diff_id
        self._layer = layer
        self.size = entry.size
        self._offset = entry.offset
        self._segments = view.segments(entry.node) if entry.sparse else None

    def read(self, offset: int, size: int) -> bytes | bytearray:
        """Up to `size` bytes at `offset`; raises `OSError` where the layer's data is cut short."""
        data = self._read(offset, size, self._stored)
        assert data is not None, "what is stored is there, or an error"
        return data

    def read_cached(self, offset: int, size: int) -> bytes | bytearray | None:
        """The same where it is in memory; None where the disk would have to be waited for."""
        return self._read(offset, size, self._layer.pread_cached)

    def _read(self, offset: int, size: int, stored: _Pread) -> bytes | bytearray | None:
        size = min(size, self.size - offset)
        if size <= 0:
            return b""
        if self._segments is None:
            return stored(size, self._offset + offset)
        result = bytearray(size)
        # The piece before is the only earlier one that can reach to here.
        for number in range(max(bisect_right(self._starts, offset) - 1, 0), len(self._segments)):
            start, length, position = self._segments[number]
            if start >= offset + size:
                break
            first, last = max(start, offset), min(start + length, offset + size)
            if first < last:
                piece = stored(last - first, position + first - start)
                if piece is None:
                    return None
                result[first - offset : last - offset] = piece
        return result

    @cached_property
    def _starts(self) -> list[int]:
        return [start for start, _, _ in self._segments or ()]

    def segments(self) -> list[tuple[int, int, int]]:
        """(offset in the file, length, offset in the tar) of each piece of data, in order; between them are holes."""
        if self._segments is None:
            return [(0, self.size, self._offset)] if self.size else []
        return self._segments

    def fileno(self) -> int:
        """The descriptor of the layer's tar, open for as long as this file is kept; its position means nothing."""
        return self._layer.fileno()

    def _stored(self, size: int, offset: int) -> bytes:
        data = self._layer.pread(size, offset)
        if len(data) < size:
            raise OSError(f"{self._layer.diff_id}: the layer's data is cut short")
        return data

    def close(self) -> None:
        """Let go of the layer."""


class Layers:
    """The open layers of a mount, each opened once and shared; a layer that no open tree needs any more is closed.

    With `verify`, what is read of them is checked.
    """

    def __init__(self, store: Store, *, verify: bool = False) -> None:
        self._store = store
        self._verify = verify
        self._open: WeakValueDictionary[Digest, OpenLayer] = WeakValueDictionary()
        self._by_number: WeakValueDictionary[int, OpenLayer] = WeakValueDictionary()

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def open(self, diff_id: Digest, blob: Digest) -> OpenLayer:
        """The layer, open. Raises `NotUnpacked`, `ContentMissing`."""
        layer = self._open.get(diff_id)
        if layer is None:
            if not self._store.layers.serves(diff_id, blob):
                raise NotUnpacked(diff_id, lambda: _prepare(self._store, blob, diff_id))
            number = self._store.catalog.layer_number(diff_id)
            assert number is not None, "a layer has its number before an image has it"
            layer = OpenLayer(self._store, diff_id, number, verify=self._verify)
            self._open[diff_id] = layer
            self._by_number[number] = layer
        return layer

    def used(self) -> None:
        """Put on record of those that are open that they were in use until now."""
        for layer in list(self._open.values()):
            layer.used()

    def by_number(self, number: int) -> OpenLayer | None:
        """The layer with a number, None where it is not open."""
        return self._by_number.get(number)


def _prepare(store: Store, blob: Digest, diff_id: Digest) -> None:
    # In a thread of its own, and so with a catalogue of its own.
    with Store(store.folder) as other:
        other.unpack_blob(blob, diff_id)


def open_file(layer: OpenLayer, view: LayerIndex, entry: Entry | None) -> LayerFile:
    """Open a regular file of a layer, whose entry is from this index of it."""
    if entry is None:
        raise NoSuchEntry
    if entry.is_directory:
        raise IsADirectory
    if not entry.is_regular:
        raise NoSuchAttribute
    return LayerFile(layer, view, entry)
