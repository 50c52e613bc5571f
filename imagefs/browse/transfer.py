"""The bytes of a layer's files, out of its tar in large pieces: as they are read, or into another file."""

import errno
import os
from collections.abc import Iterator

from imagefs.errors import ContentMissing
from imagefs.tree.openlayers import LayerFile

PIECE = 1 << 20
"""How many bytes are moved at a time."""

_SMALL = 1 << 16

_NOT_BY_THE_KERNEL = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)


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
    end = 0
    for offset, length, position in file.segments():
        _copy_piece(file, position, length, target, offset)
        end = offset + length
    if end < file.size:
        os.ftruncate(target, file.size)


def _copy_piece(file: LayerFile, position: int, length: int, target: int, offset: int) -> None:
    done = _copy_in_kernel(file.fileno(), position, length, target, offset) if length > _SMALL else 0
    for data in pieces(file, position + done, length - done):
        view = memoryview(data)
        while view:
            written = os.pwrite(target, view, offset + done)
            done += written
            view = view[written:]


def _copy_in_kernel(source: int, position: int, length: int, target: int, offset: int) -> int:
    """Copy as much as the kernel copies by itself between these two; answers how many bytes."""
    done = 0
    while done < length:
        try:
            copied = os.copy_file_range(source, target, length - done, position + done, offset + done)
        except OSError as error:
            if error.errno in _NOT_BY_THE_KERNEL:
                break
            raise
        if not copied:
            break  # the end of the file, or a kernel that answers so for another file system: reading will tell
        done += copied
    return done
