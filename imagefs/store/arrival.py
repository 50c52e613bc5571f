"""One blob on its way in: hashed and written in one thread, unpacked in others, while it still streams by."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from imagefs.digest import Digest
from imagefs.errors import ArchiveError, DigestMismatch, SizeMismatch
from imagefs.limits import Expansion, Limits
from imagefs.store.blobs import BlobHash
from imagefs.store.unpacked import Unpacked, unpack
from imagefs.streams.chunks import CHUNK
from imagefs.streams.pipeline import Worker


class Arriving(msgspec.Struct, frozen=True):
    """What is known of a blob before it is here.

    `key` and `label` are for whoever watches, `size` is in bytes, `expected` is the digest that it has to have, and
    `is_layer` tells whether it looks like a layer that is to be unpacked.
    """

    key: str
    label: str
    size: int
    algorithm: str
    expected: Digest | None
    is_layer: bool


def start_unpacking(blob: Arriving, folder: Path, limits: Limits, all_layers: Expansion) -> Worker[Unpacked]:
    """A worker that unpacks what it is fed with into `folder`."""
    return Worker(
        lambda pieces: unpack(pieces, folder, blob.algorithm, hashed=True, limits=limits, whole=all_layers), "unpack"
    )


def receive(
    blob: Arriving,
    chunks: Iterator[bytes],
    writer: BlobHash,
    unpacker: Worker[Unpacked] | None,
    advanced: Callable[[int], None],
) -> Digest:
    """Read a blob to its end and answer its digest; the unpacker is fed, and not told yet that there is no more.

    `advanced` is told how many bytes are behind us. Raises `SizeMismatch`, `DigestMismatch` and what `chunks` raises;
    writer and unpacker are given up then.
    """
    storer = Worker(writer.consume, "blob") if blob.size > CHUNK else None
    store = storer.feed if storer is not None else writer.write
    try:
        position = 0
        for chunk in chunks:
            position += len(chunk)
            store(chunk)
            if unpacker is not None:
                unpacker.feed(chunk)
                advanced(position)
        if storer is not None:
            storer.result()
        _verify(blob, writer)
    except BaseException:
        if storer is not None:
            storer.cancel()
        give_up(writer, unpacker)
        raise
    return writer.digest


def check(blob: Arriving, chunks: Iterable[bytes]) -> None:
    """Read a blob that the store has.

    Raises `SizeMismatch`, `DigestMismatch` and what `chunks` raises, with its label for the member's name.
    """
    seen = BlobHash(blob.algorithm)
    try:
        seen.consume(chunks)
        _verify(blob, seen)
    except ArchiveError as error:
        raise error.locate(member=blob.label) from None


def _verify(blob: Arriving, seen: BlobHash) -> None:
    if seen.size != blob.size:
        raise SizeMismatch(blob.size, seen.size)
    if blob.expected is not None and seen.digest != blob.expected:
        raise DigestMismatch(blob.expected, seen.digest)


def give_up(writer: BlobHash, unpacker: Worker[Unpacked] | None) -> None:
    """Leave nothing of a blob that will not be stored."""
    if unpacker is not None:
        unpacker.cancel()
    writer.discard()
