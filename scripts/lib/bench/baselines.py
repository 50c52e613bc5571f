"""The work that an import cannot do without, done in the plainest way: what an import is compared with."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import zstandard
from isal import isal_zlib
from ocireader import Blob

from bench.machine import folder, run, seconds

_INPUT = 256 << 10
_PIECE = 1 << 20


def inflate_and_hash(layers: Iterable[Blob]) -> float:
    """Seconds to uncompress layers in one thread, with the sha256 of both sides."""

    def work() -> None:
        for layer in layers:
            outer, inner = hashlib.sha256(), hashlib.sha256()
            for piece in _uncompressed(layer, outer):
                inner.update(piece)

    return seconds(work)


def write_and_sync(layers: Iterable[Blob], place: Path) -> float:
    """Seconds to write blobs and the tars that are in them, which are in memory, and to have them on the disk."""
    files: list[list[bytes]] = []
    for layer in layers:
        files += [list(layer.pieces()), list(_uncompressed(layer, hashlib.sha256()))]
    with folder(place):

        def work() -> None:
            for number, pieces in enumerate(files):
                with (place / f"{number}").open("wb", buffering=0) as file:
                    for piece in pieces:
                        file.write(piece)
                    os.fsync(file.fileno())

        return seconds(work)


def openssl(file: Path) -> float:
    """Seconds that openssl takes for a file's sha256."""
    return seconds(lambda: run("openssl", "dgst", "-sha256", file))


def copy_and_sync(file: Path, place: Path) -> float:
    """Seconds that cp takes, and the sync of the copy."""

    def work() -> None:
        run("cp", file, place)
        run("sync", place)

    try:
        return seconds(work)
    finally:
        place.unlink(missing_ok=True)


def unpack(layer: Blob, place: Path) -> None:
    """Put a layer without whiteouts into a folder, over what is there."""
    kind = "--zstd" if layer.media_type.endswith("zstd") else "--gzip"
    place.mkdir(exist_ok=True, parents=True)
    packed = place.with_name(f"{place.name}.packed")
    with packed.open("wb") as file:
        file.writelines(layer.pieces())
    run("tar", "-C", place, kind, "-xpf", packed)
    packed.unlink()


def uncompress(layer: Blob, place: Path) -> None:
    """Write the tar that is in a layer to a file."""
    with place.open("wb") as file:
        file.writelines(_uncompressed(layer, hashlib.sha256()))


def _uncompressed(layer: Blob, outer: Any) -> Iterator[bytes]:  # noqa: ANN401  a hash has no public type
    if layer.media_type.endswith("zstd"):
        with zstandard.ZstdDecompressor().stream_reader(cast(Any, _Hashed(layer, outer))) as reader:
            while piece := reader.read(_PIECE):
                yield piece
        return
    inflater = isal_zlib.decompressobj(31)
    for piece in layer.pieces(_INPUT):
        outer.update(piece)
        yield inflater.decompress(piece)


class _Hashed:
    """A blob as the file that zstandard wants to read, hashed on the way."""

    def __init__(self, layer: Blob, content: Any) -> None:  # noqa: ANN401
        self._pieces = layer.pieces(zstandard.DECOMPRESSION_RECOMMENDED_INPUT_SIZE)
        self._content = content

    def read(self, _size: int) -> bytes:
        piece = next(self._pieces, b"")
        self._content.update(piece)
        return piece
