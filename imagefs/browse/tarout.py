"""An image's merged tree as one tar: what `tar -c .` makes of a mount, without one. Equal trees give equal bytes.

Members are sorted, folders before what is in them; a file's further names are links to its first.
"""

import os
import stat

from imagefs.archive.exporter import WritableStream
from imagefs.browse import transfer
from imagefs.browse.nodes import Node, Trail, locate_folder, walk
from imagefs.browse.opened import OpenedImage
from imagefs.browse.tarheaders import RECORD, header, padding, sparse_map
from imagefs.streams import tar
from imagefs.streams.tarfields import BLOCK, NANOSECONDS
from imagefs.tree.chain import Chain

_FLAGS = {
    stat.S_IFREG: tar.REGULAR,
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
    stat.S_IFDIR: tar.DIRECTORY,
    stat.S_IFIFO: tar.FIFO,
}


def write_tar(image: OpenedImage, stream: WritableStream, path: bytes = b"/") -> None:
    """Write what is in a folder of an image to a stream, as a PAX archive with names that begin with `./`.

    Extended attributes, times to the nanosecond and the holes of sparse files are kept. Links at the end of the path
    are followed. Raises `TreeError` where the path is no folder, and `OSError`.
    """
    folder = locate_folder(image, path).merged
    chain = image.chain
    output = _Output(stream)
    trail = Trail(b".")
    first_names: dict[tuple[int, int], Node] = {}
    for node in walk(chain, folder, b"."):
        name = trail.at(node.depth, node.name)
        first = first_names.setdefault(node.key, node) if node.has_further_names(chain) else node
        if first is not node:
            output.write(_header(node, chain, name, flag=tar.HARD_LINK, link=b"/".join(first.names())))
        elif node.entry.is_regular:
            _write_file(node, chain, name, output)
        else:
            output.write(_header(node, chain, name, link=node.entry.target or b""))
    output.finish()


class _Output:
    """What is written, gathered: most members are much smaller than what is worth a write."""

    def __init__(self, stream: WritableStream) -> None:
        self._stream = stream
        self._waiting: list[bytes] = []
        self._size = 0
        self._written = 0

    def write(self, data: bytes) -> None:
        self._waiting.append(data)
        self._size += len(data)
        if self._size >= transfer.PIECE:
            self._flush()

    def finish(self) -> None:
        """Two zero blocks, and as many more as fill a record."""
        end = 2 * BLOCK
        self.write(bytes(end + -(self._written + self._size + end) % RECORD))
        self._flush()

    def _flush(self) -> None:
        self._stream.write(b"".join(self._waiting))
        self._written += self._size
        self._waiting, self._size = [], 0


def _write_file(node: Node, chain: Chain, name: bytes, output: _Output) -> None:
    size = node.entry.size
    file = node.open(chain)
    segments = file.segments()
    stored = size
    if node.entry.sparse:
        listed = sparse_map(size, [(offset, length) for offset, length, _ in segments])
        stored = len(listed) + sum(length for _, length, _ in segments)
        output.write(_header(node, chain, name, size=stored, real_size=size))
        output.write(listed)
    else:
        output.write(_header(node, chain, name, size=size))
    for _, length, position in segments:
        for data in transfer.pieces(file, position, length):
            output.write(data)
    output.write(padding(stored))


def _header(
    node: Node,
    chain: Chain,
    name: bytes,
    *,
    flag: bytes | None = None,
    size: int = 0,
    real_size: int | None = None,
    link: bytes = b"",
) -> bytes:
    entry = node.entry
    kind = stat.S_IFMT(entry.mode)
    return header(
        name + b"/" if entry.is_directory else name,
        _FLAGS[kind] if flag is None else flag,
        mode=stat.S_IMODE(entry.mode),
        uid=entry.uid,
        gid=entry.gid,
        size=size,
        mtime_ns=entry.mtime_s * NANOSECONDS + entry.mtime_ns,
        link=link,
        device=(os.major(entry.rdev), os.minor(entry.rdev)) if entry.rdev else (0, 0),
        xattrs=node.xattrs(chain).items(),
        real_size=real_size,
    )
