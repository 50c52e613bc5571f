"""The members of the tar archives that exporters write. Times, owners and modes are constant."""

import tarfile
from collections.abc import Iterator

from imagefs import digest
from imagefs.archive.exporter import WritableStream
from imagefs.digest import Digest
from imagefs.errors import ContentMissing
from imagefs.store.store import Store
from imagefs.streams.chunks import CHUNK
from imagefs.streams.tarfields import BLOCK

END = bytes(2 * BLOCK)
"""Two zero blocks end an archive (POSIX.1-2017, pax, "ustar Interchange Format")."""


def write_folder(stream: WritableStream, name: str) -> None:
    """A folder, whose name ends with a slash."""
    stream.write(_header(name, 0, tarfile.DIRTYPE, 0o755))


def write_bytes(stream: WritableStream, name: str, data: bytes) -> None:
    """A file whose content is at hand."""
    stream.write(_header(name, len(data)))
    stream.write(data + bytes(-len(data) % BLOCK))


def write_blob(store: Store, stream: WritableStream, name: str, blob: Digest) -> None:
    """A blob as a file. Raises `ContentMissing` where it is absent, or found to be damaged."""
    size = store.blobs.size(blob)
    if size is None:
        raise ContentMissing(f"{blob}: the store does not have it")
    _write_checked(stream, name, size, store.blobs.chunks(blob), blob)


def write_layer(store: Store, stream: WritableStream, name: str, diff_id: Digest, blob: Digest) -> None:
    """The uncompressed layer of a blob as a file. Raises `ContentMissing` or an `ArchiveError`."""
    store.unpack_blob(blob, diff_id)
    descriptor = store.layers.open_tar(diff_id, store.blobs)
    with open(descriptor, "rb", buffering=0) as file:
        size = store.layers.index(diff_id).totals.size
        _write_checked(stream, name, size, iter(lambda: file.read(CHUNK), b""), diff_id)


def _header(name: str, size: int, kind: bytes = tarfile.REGTYPE, mode: int = 0o644) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.mode = size, kind, mode
    return member.tobuf(tarfile.PAX_FORMAT)


def _write_checked(stream: WritableStream, name: str, size: int, chunks: Iterator[bytes], content: Digest) -> None:
    """Write a member and hash what was written: a damaged blob must not leave as a good archive."""
    stream.write(_header(name, size))
    check = digest.hasher(digest.algorithm(content))
    written = 0
    for chunk in chunks:
        check.update(chunk)
        stream.write(chunk)
        written += len(chunk)
    if written != size or digest.of_hash(check, digest.algorithm(content)) != content:
        raise ContentMissing(f"{content}: damaged in the store")
    stream.write(bytes(-size % BLOCK))
