"""The hashes of a layer's pieces: what its index tells of each MiB of its tar, so that a part can be checked alone.

SHA-256, as it is the fastest of the strong ones where the processor helps with it: 1,700 MB/s, BLAKE2b 900.
"""

import hashlib

PIECE = 1 << 20
"""The size of a piece in bytes; the last one of a tar may be smaller."""

_HASH = hashlib.sha256
_SIZE = _HASH().digest_size


class PieceHashes:
    """The hashes of a tar that streams by, in chunks of any size."""

    def __init__(self) -> None:
        self._done: list[bytes] = []
        self._current = _HASH()
        self._taken = 0

    def update(self, chunk: bytes) -> None:
        """Take in more of the tar."""
        view = memoryview(chunk)
        while len(view) >= PIECE - self._taken:
            self._current.update(view[: PIECE - self._taken])
            self._done.append(self._current.digest())
            view = view[PIECE - self._taken :]
            self._current, self._taken = _HASH(), 0
        if view:
            self._current.update(view)
            self._taken += len(view)

    def finish(self) -> bytes:
        """The hashes of all pieces, end to end."""
        return b"".join(self._done) + (self._current.digest() if self._taken else b"")


def is_piece(data: bytes, number: int, hashes: bytes) -> bool:
    """Whether data is what the piece with a number, from 0, has to be."""
    return _HASH(data).digest() == hashes[number * _SIZE : (number + 1) * _SIZE]


def count(hashes: bytes) -> int:
    """How many pieces these are the hashes of."""
    return len(hashes) // _SIZE
