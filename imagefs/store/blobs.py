"""The content store: blobs under their digest, byte for byte as they came, read-only.

A blob is written to `tmp/`, checked, made durable and renamed into place: what stands under a digest
is whole.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from imagefs import digest
from imagefs.digest import Digest
from imagefs.errors import ContentMissing, InvalidReference
from imagefs.oci.model import MAX_READ
from imagefs.store.files import NewFile, make_folder, put_aside, size_of, sync_directory
from imagefs.streams.chunks import chunks_of

QUARANTINE = "quarantine"
"""The folder of a store where damaged content goes. Nothing but its user ever takes anything out of it."""

_SMALL = 1 << 20
"""To read and hash this many bytes costs an import nothing that anybody could measure."""


class Blobs:
    """The folder `blobs/` of a store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, content: Digest) -> Path:
        """Where the blob is, or would be."""
        return self.folder / digest.algorithm(content) / digest.encoded(content)

    def size(self, content: Digest) -> int | None:
        """The blob's size in bytes, None when the store does not have it."""
        return size_of(self.path(content))

    def __contains__(self, content: Digest) -> bool:
        return self.path(content).exists()

    def holds(self, content: Digest, size: int) -> bool:
        """Whether the store has the blob with as many bytes as it must have; a small one is hashed, too."""
        path = self.path(content)
        if not path.is_file() or size_of(path) != size:
            return False
        return size > _SMALL or digest.of_bytes(path.read_bytes(), digest.algorithm(content)) == content

    def put_aside(self, content: Digest) -> Path | None:
        """Move what is in a blob's place, and is not the blob, into the quarantine; answers where it is now."""
        return put_aside(self.path(content), self.folder.with_name(QUARANTINE), content)

    def __iter__(self) -> Iterator[Digest]:
        for algorithm in sorted(digest.algorithms()):
            folder = self.folder / algorithm
            if folder.is_dir():
                for name in sorted(os.listdir(folder)):
                    with suppress(InvalidReference):  # not ours
                        yield digest.join(algorithm, name)

    def sync(self) -> None:
        """Make durable that what is there is there, whoever put it there and may have died before it did this."""
        for folder in (*self.folder.iterdir(), self.folder, self.folder.parent):
            if folder.is_dir():
                sync_directory(folder)

    def link(self, content: Digest, file: Path) -> bool:
        """Let a file that is durable and has this digest be the blob, too; answers whether that is possible."""
        target = self.path(content)
        make_folder(target.parent)
        try:
            target.hardlink_to(file)
        except FileExistsError:
            return True
        except OSError:  # the file is gone, or the file system has no links
            return False
        sync_directory(target.parent)
        return True

    def chunks(self, content: Digest) -> Iterator[bytes]:
        """The blob's bytes. Raises `ContentMissing`."""
        try:
            with self.path(content).open("rb", buffering=0) as file:
                yield from chunks_of(file)
        except FileNotFoundError:
            raise ContentMissing(f"{content}: the store does not have it") from None

    def head(self, content: Digest) -> bytes:
        """The blob's first bytes. Raises `ContentMissing`."""
        return next(self.chunks(content), b"")

    def read(self, content: Digest) -> bytes:
        """A small blob, such as a JSON document, whole. Raises `ContentMissing`."""
        try:
            # Thousands of them are read when a mount begins: no path object, no buffer.
            with open(
                f"{self.folder}/{digest.algorithm(content)}/{digest.encoded(content)}", "rb", buffering=0
            ) as file:
                if os.fstat(file.fileno()).st_size > MAX_READ:
                    raise ContentMissing(f"{content}: too large for a document")
                return file.readall()
        except FileNotFoundError:
            raise ContentMissing(f"{content}: the store does not have it") from None

    def remove(self, content: Digest) -> int:
        """Take the blob away; answers the bytes that were freed."""
        path = self.path(content)
        size = size_of(path) or 0
        path.unlink(missing_ok=True)
        return size


class BlobHash:
    """What a blob on its way in hashes to, and how large it is: all there is to do where the store has it."""

    def __init__(self, algorithm: str = "sha256") -> None:
        self._hash = digest.hasher(algorithm)
        self._algorithm = algorithm
        self.size = 0

    def write(self, data: bytes) -> None:
        """Take in more content."""
        self._hash.update(data)
        self.size += len(data)

    def consume(self, chunks: Iterable[bytes]) -> None:
        """Take in a whole stream."""
        for chunk in chunks:
            self.write(chunk)

    @property
    def digest(self) -> Digest:
        """The digest of what was taken in so far."""
        return digest.of_hash(self._hash, self._algorithm)

    def commit(self, blobs: Blobs) -> Digest:
        """Answer the digest; there is nothing to put into the store."""
        return self.digest

    def discard(self) -> None:
        """There is nothing to give up."""


class BlobWriter(BlobHash):
    """A blob in the making, in a temporary file. Ends with `commit` or `discard`."""

    def __init__(self, temporary: Path, algorithm: str = "sha256") -> None:
        super().__init__(algorithm)
        self._path = temporary
        self._file = NewFile(temporary)

    def write(self, data: bytes) -> None:
        """Take in more content."""
        super().write(data)
        self._file.write(data)

    def commit(self, blobs: Blobs) -> Digest:
        """Put the blob into the store, durably; to find it there already is success too. A failure discards it."""
        content = self.digest
        target = blobs.path(content)
        if blobs.holds(content, self.size):
            self.discard()
            return content
        try:
            blobs.put_aside(content)
            self._file.sync()
            self._file.close()
            make_folder(target.parent)
            self._path.rename(target)
            sync_directory(target.parent)
        except BaseException:
            self.discard()
            raise
        return content

    def discard(self) -> None:
        """Give the blob up."""
        self._file.close()
        self._path.unlink(missing_ok=True)
