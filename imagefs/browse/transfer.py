"""The bytes of a layer's files, out of its tar in large pieces: as they are read, or into another file."""

import os
from collections.abc import Iterator

from imagefs.errors import ContentMissing
from imagefs.tree.openlayers import LayerFile

PIECE = 1 << 20
"""How many bytes are moved at a time."""


def pieces(file: LayerFile, position: int, length: int) -> Iterator[bytes]:
    """So many bytes of the layer's tar from a position on. Raises `ContentMissing` where they are cut short."""
    end = position + length
    while position < end:
        data = os.pread(file.fileno(), min(PIECE, end - position), position)
        if not data:
            raise ContentMissing(f"{file.diff_id}: the layer's data is cut short")
        yield data
        position += len(data)


def content(file: LayerFile) -> Iterator[bytes]:
    """A file's bytes from its start, holes as zeros. Raises `ContentMissing` where they are cut short."""
    here = 0
    for offset, length, position in [*file.segments(), (file.size, 0, 0)]:
        while here < offset:
            zeros = bytes(min(PIECE, offset - here))
            yield zeros
            here += len(zeros)
        yield from pieces(file, position, length)
        here += length


def copy(file: LayerFile, target: int) -> None:
    """Fill an empty file, open as `target`, with a layer's file; its holes stay holes.

    Raises `ContentMissing` where the file is cut short, and `OSError`.
    """
    # copy_file_range(2) was no faster on ext4 and crosses no file systems; what is in a tar is not aligned for sharing.
    end = 0
    for offset, length, position in file.segments():
        end = offset
        for data in pieces(file, position, length):
            view = memoryview(data)
            while view:
                written = os.pwrite(target, view, end)
                end += written
                view = view[written:]
    if end < file.size:
        os.ftruncate(target, file.size)
