"""One pass over a tar archive: every blob into the store as it streams by, the small documents kept aside.

OCI layouts and docker archives share it, for they share archives: docker 25 and later write both in one. Where a
name comes twice, as in archives that `tar -r` made, the last one counts.
"""

import posixpath
import re
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Protocol

import msgspec

from imagefs import digest
from imagefs.archive.source import ArchiveStream, FileReader
from imagefs.digest import Digest
from imagefs.errors import ArchiveError, InvalidReference, UnknownFormat
from imagefs.limits import DEFAULTS, Limits
from imagefs.oci import documents
from imagefs.oci.layout import INDEX_FILE, LAYOUT_FILE, MANIFEST_FILE
from imagefs.store.blobs import Blobs
from imagefs.store.ingest import StoredBlob
from imagefs.store.unpacked import looks_like_layer
from imagefs.streams import tar, tarfields
from imagefs.streams.chunks import CHUNK, ChunkReader, ReadableStream, chunks_of
from imagefs.streams.tarfields import BLOCK

REPOSITORIES = "repositories"

DOCUMENTS = frozenset([LAYOUT_FILE, INDEX_FILE, MANIFEST_FILE, REPOSITORIES])
"""The members that are read whole, because they say what the others are."""

_KEPT_MEMBER = 128
"""What it costs to keep a member, beside its name, in bytes; it counts with the names."""

MAX_SMALL, MAX_SMALL_ALL = 64 << 10, 8 << 20
"""How many bytes a blob may have that is not stored before it is asked for, and all of them together."""

_LINKS_FOLLOWED = 40

_LINKED_NAMES = 32
"""Up to which of its names a path is looked at for links: archives have three or four."""

# Beside the plain hex: crane, kaniko and jib end layers in .tar.gz, and crane begins configurations with sha256:.
_NAMED_BY_DIGEST = re.compile(r"(?:sha256:)?(?:[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})(?:\.[a-z0-9.]{1,16})?")


class BlobTaker(Protocol):
    """What takes in an archive's blobs: an `Ingest`, or who only wants to know their digests."""

    def add_bytes(self, data: bytes) -> StoredBlob:
        """Take a small blob that is at hand."""

    def add_blob(
        self,
        chunks: Iterable[bytes],
        size: int,
        *,
        label: str,
        expected: Digest | None = None,
        algorithm: str = "sha256",
    ) -> StoredBlob:
        """Take a blob of `size` bytes, whose digest may be known."""

    def settle(self) -> None:
        """Wait until all that was taken is in its place."""


class ArchiveContents(msgspec.Struct):
    """What an archive held: its documents, its blobs by member name, its links by member name.

    A small blob of a docker archive is here as it came, and goes into the store by `keep` when it is asked for: there
    are many that nobody needs. What an OCI layout has is asked for by digest, and stored at once.
    """

    keep: Callable[[bytes], StoredBlob]
    limits: Limits = DEFAULTS
    documents: dict[str, bytes] = {}
    blobs: dict[str, StoredBlob | bytes] = {}
    links: dict[str, str] = {}
    holes: int = 0
    small: int = 0

    def blob(self, name: str) -> StoredBlob | None:
        """The blob that a member name leads to, over links inside the archive; it is in the store then."""
        path = self._follow(name)
        if path is None:
            return None
        blob = self.blobs[path]
        if isinstance(blob, bytes):
            blob = self.blobs[path] = self.keep(blob)
        return blob

    def document(self, name: str, blobs: Blobs) -> bytes | None:
        """The content of a member that is a document, without storing it. Raises `LimitExceeded` for a large one."""
        path = self._follow(name)
        if path is None:
            return None
        blob = self.blobs[path]
        if not isinstance(blob, bytes):
            documents.check_size(blob.size, self.limits, name)
            blob = blobs.read(blob.digest)
        documents.check_depth(blob, self.limits, name)
        return blob

    def now(self, name: str) -> StoredBlob | bytes | None:
        """What a member name leads to so far."""
        path = self._follow(name)
        return None if path is None else self.blobs[path]

    def _follow(self, name: str) -> str | None:
        if len(name) > self.limits.name_size:
            return None  # a document can ask for names that no member has
        path = clean_name(name)
        for _ in range(_LINKS_FOLLOWED):
            if path in self.blobs:
                return path
            target = self._step(path)
            if target is None:
                return None
            path = target
        return None

    def _step(self, path: str) -> str | None:
        """Follow the last link on the way to a path: whole folders can be links, as docker load allows."""
        if not self.links:
            return None
        parts = path.split("/")
        for end in range(min(len(parts), _LINKED_NAMES), 0, -1):
            target = self.links.get("/".join(parts[:end]))
            if target is not None:
                return clean_name("/".join([target, *parts[end:]]))
        return None


def clean_name(name: str) -> str:
    """A member name without `./`, doubled slashes and climbing."""
    return posixpath.normpath("/" + name.lstrip("/")).lstrip("/")


def read_archive(
    stream: ReadableStream,
    ingest: BlobTaker,
    *,
    only_layout: bool,
    pass_over: Callable[[FileReader], Container[str]] | None = None,
    limits: Limits = DEFAULTS,
) -> ArchiveContents:
    """Take in an archive to its end.

    With `only_layout` nothing is stored but `blobs/`, where an OCI layout has its content, and what else has a
    digest for a name: a blob with hard links may come under another of its names. A folder `images/`, as a tar of a
    mount has it, is passed over unread, and so are the members of a regular file that `pass_over` names after a look
    ahead. Raises `ArchiveError` with the member's name, `LimitExceeded` where it asks for more than `limits` allow.
    """
    source = stream.reader() if isinstance(stream, ArchiveStream) else ChunkReader(chunks_of(stream))
    if not tar.looks_like_tar(source.peek(BLOCK)):
        raise UnknownFormat("not a tar archive" if source.peek(1) else "empty file")
    passed_over: Container[str] = ()
    if pass_over is not None and isinstance(source, FileReader):
        passed_over = pass_over(source.from_the_start())
    contents = ArchiveContents(ingest.add_bytes, limits)
    names = 0
    for count, member in enumerate(tar.read_members(source), 1):
        limits.check("members", count, "members")
        limits.check("name_size", max(len(member.name), len(member.link)), "bytes of a member's name or link")
        name = clean_name(member.name.decode("utf-8", "surrogateescape"))
        if name.startswith("images/") or name in passed_over or (only_layout and not _is_of_a_layout(name)):
            continue
        names += _KEPT_MEMBER + len(name) + len(member.link)
        limits.check("names_size", names, "bytes of names of members")
        try:
            _take_member(name, member, source, ingest, contents, deferring=not only_layout)
        except ArchiveError as error:
            raise error.locate(member=printable(name)) from None
    for _ in source.rest():  # a writer at the other end of a pipe wants to be read to the end
        pass
    ingest.settle()
    return contents


def _is_of_a_layout(name: str) -> bool:
    return name.partition("/")[0] in ("blobs", *DOCUMENTS) or is_named_by_digest(name.rpartition("/")[2])


def is_named_by_digest(name: str) -> bool:
    """Whether a file's or folder's name is a digest, with or without an ending: layers and configurations have such."""
    return _NAMED_BY_DIGEST.fullmatch(name) is not None


def _take_member(
    name: str, member: tar.Member, source: ChunkReader, ingest: BlobTaker, contents: ArchiveContents, *, deferring: bool
) -> None:
    if member.type in (tar.SYMLINK, tar.HARD_LINK):
        target = member.link.decode("utf-8", "surrogateescape")
        if member.type == tar.SYMLINK and not target.startswith("/"):
            target = posixpath.join(posixpath.dirname(name), target)
        linked = contents.now(target) if member.type == tar.HARD_LINK else None
        contents.blobs.pop(name, None)
        contents.links.pop(name, None)
        if linked is not None:  # what the target is now, whatever comes under its name later
            contents.blobs[name] = linked
        else:
            contents.links[name] = target
    elif member.type == tar.REGULAR and not is_litter(name):
        contents.links.pop(name, None)
        if member.sparse is not None:
            contents.holes += member.size - member.stored
            contents.limits.check("holes_size", contents.holes, "bytes of holes")
        content = _content(source, member)
        if name in DOCUMENTS:
            documents.check_size(member.size, contents.limits, name)
            contents.documents[name] = b"".join(content)
            documents.check_depth(contents.documents[name], contents.limits, name)
            return
        expected = digest_in(name) if name.startswith("blobs/") else None
        algorithm = digest.algorithm(expected) if expected is not None else "sha256"
        if deferring and expected is None and member.size <= MAX_SMALL and contents.small < MAX_SMALL_ALL:
            data = b"".join(content)
            if not looks_like_layer(data):
                contents.small += len(data)
                contents.blobs[name] = data
                return
            content = [data]
        contents.blobs[name] = ingest.add_blob(
            content, member.size, label=printable(name), expected=expected, algorithm=algorithm
        )


def is_litter(name: str) -> bool:
    """Whether it is a hidden file among the blobs, such as the ._* that macOS' tar puts beside every file."""
    return name.startswith("blobs/") and name.rpartition("/")[2].startswith(".")


def _content(source: ChunkReader, member: tar.Member) -> Iterable[bytes]:
    """The member's content; of a regular file it can be read at any time, and more than once."""
    if isinstance(source, FileReader) and member.sparse is None:
        extent = source.extent(member.offset, member.stored)
        if extent is not None:
            return extent
    return _content_as_it_comes(source, member)


def _content_as_it_comes(source: ChunkReader, member: tar.Member) -> Iterator[bytes]:
    """The member's content, holes filled: `tar -S` makes some of the zeros in plain layers."""
    position = 0
    for start, length in member.sparse if member.sparse is not None else ((0, member.stored),):
        yield from _zeros(start - position)
        taken = 0
        for piece in source.take(length):
            taken += len(piece)
            yield piece
        if taken < length:
            raise ArchiveError(f"the archive ends inside it, {length - taken} bytes early")
        position = start + length
    yield from _zeros(member.size - position)


def _zeros(size: int) -> Iterator[bytes]:
    for start in range(0, size, CHUNK):
        yield bytes(min(CHUNK, size - start))


def digest_in(name: str) -> Digest | None:
    """The digest that a member of `blobs/` has for a name; None for bazel's rules_oci, which put `.tar.gz` behind."""
    parts = name.split("/")
    try:
        if len(parts) != 3:
            raise InvalidReference("")
        stem, dot, _ = parts[2].partition(".")
        found = digest.join(parts[1], stem)
    except InvalidReference:
        raise ArchiveError("its name is no digest of a known algorithm") from None
    return None if dot else found


def member_names(head: bytes) -> list[str]:
    """The names of the members that lie in an archive's first bytes; empty for what is no tar."""
    names: list[str] = []
    try:
        for member in tar.read_members(ChunkReader([head])):
            names.append(clean_name(member.name.decode("utf-8", "surrogateescape")))
    except ArchiveError:
        pass  # the head ends somewhere
    return names


def are_of_a_layout(names: list[str]) -> bool:
    """Whether some of these members are of an OCI layout: an empty folder for blobs is no sign of one."""
    return any(
        name in (LAYOUT_FILE, INDEX_FILE) or (name.startswith("blobs/") and name.count("/") > 1) for name in names
    )


def printable(name: str) -> str:
    """A member name for a message: nothing in it can steer a terminal."""
    return tarfields.printable(name.encode("utf-8", "surrogateescape"))
