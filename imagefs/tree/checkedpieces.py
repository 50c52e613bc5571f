"""Which pieces of an open layer are known to be as they were imported: for `mount -o verify`."""

import os

from imagefs.digest import Digest
from imagefs.layers import pieces
from imagefs.layers.index import LayerIndex
from imagefs.layers.pieces import PIECE


class CheckedPieces:
    """The pieces of one layer's tar, each checked once. For any number of threads: the worst is to check one twice."""

    def __init__(self, diff_id: Digest, descriptor: int, index: LayerIndex) -> None:
        self._diff_id = diff_id
        self._descriptor = descriptor
        self._size = index.totals.size
        self._hashes = index.piece_hashes()
        self._checked = bytearray(pieces.count(self._hashes))

    def are_checked(self, size: int, offset: int) -> bool:
        """Whether all pieces that these bytes are in were found to be whole."""
        first, last = _span(size, offset)
        return 0 not in self._checked[first : last + 1] and last < len(self._checked)

    def check(self, size: int, offset: int) -> None:
        """Read those pieces and see that they are whole. Raises `OSError` where one is not."""
        size = min(size, self._size - offset)
        if size <= 0:
            return
        first, last = _span(size, offset)
        for number in range(first, last + 1):
            if number >= len(self._checked) or not self._checked[number]:
                self._check(number)
                self._checked[number] = 1

    def _check(self, number: int) -> None:
        start = number * PIECE
        wanted = min(PIECE, self._size - start)
        data = os.pread(self._descriptor, wanted, start)
        if len(data) < wanted:
            raise OSError(f"{self._diff_id}: the layer's data is cut short at byte {start + len(data)}")
        if not pieces.is_piece(data, number, self._hashes):
            raise OSError(f"{self._diff_id}: the layer's data is damaged between byte {start} and {start + wanted}")


def _span(size: int, offset: int) -> tuple[int, int]:
    return offset // PIECE, (offset + max(size, 1) - 1) // PIECE
