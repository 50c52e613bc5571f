"""Every error that imagefs raises on purpose.

    ImagefsError
    ├── ArchiveError            the bytes that somebody brought are not what they claim to be
    │   ├── UnknownFormat       ... not an image archive at all
    │   ├── Truncated           ... they end too early
    │   ├── DigestMismatch      ... their digest is another one
    │   ├── SizeMismatch        ... their size is another one
    │   ├── MissingContent      ... something they refer to is absent
    │   ├── LimitExceeded       ... they ask for more than an import may take
    │   └── LayerError          ... a layer breaks the rules of its format
    ├── InvalidReference        a name, digest, platform, label or time that cannot be one
    ├── InvalidFilter           a condition for images that cannot be one
    ├── ImageNotFound           no image has that name
    ├── AmbiguousImage          several images have it
    ├── InUse                   another image has the name, or something needs the content
    ├── StoreError              the store on disk cannot be used
    │   ├── StoreBusy           ... another process is at it
    │   └── ContentMissing      ... a blob or layer that should be there is not
    ├── MountError              a mount could not be made or undone
    └── TreeError               a question about a file tree whose answer is no; `FuseOperations` knows the errno
        ├── NoSuchEntry
        ├── NotADirectory
        ├── IsADirectory
        ├── NotASymlink
        ├── NoSuchAttribute
        └── NotUnpacked         the answer needs a layer that is not uncompressed yet

Errors carry their data; the exit status and the errno are chosen at the edges (`cli`, `fuse`).
"""

from collections.abc import Callable


class ImagefsError(Exception):
    """The root of all errors that are raised on purpose; its text is one line for a person."""


class ArchiveError(ImagefsError):
    """Bytes that were brought in are not what they claim to be.

    `member` is the archive member (or the blob) at fault and `source` the file; both are put
    before the text as soon as they are known.
    """

    def __init__(self, problem: str, *, member: str | None = None, source: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.member = member
        self.source = source

    def __str__(self) -> str:
        parts = [part for part in (self.source, self.member, self.problem) if part]
        return ": ".join(dict.fromkeys(parts))

    def locate(self, *, member: str | None = None, source: str | None = None) -> "ArchiveError":
        """Fill in what the raiser could not know; what is already set stays."""
        self.member = self.member or member
        self.source = self.source or source
        return self


class UnknownFormat(ArchiveError):
    """Not an image archive that any importer knows."""


class Truncated(ArchiveError):
    """The bytes end before they are complete."""


class DigestMismatch(ArchiveError):
    """The content has another digest than its name or its descriptor says."""

    def __init__(self, expected: str, actual: str, *, what: str = "digest", member: str | None = None) -> None:
        super().__init__(f"{what} is {actual}, not {expected}", member=member)
        self.expected = expected
        self.actual = actual


class SizeMismatch(ArchiveError):
    """The content has another size, in bytes, than its descriptor says."""

    def __init__(self, expected: int, actual: int, *, member: str | None = None) -> None:
        super().__init__(f"size is {actual} bytes, not {expected}", member=member)
        self.expected = expected
        self.actual = actual


class MissingContent(ArchiveError):
    """An archive refers to content that it does not hold and the store does not have."""


class LimitExceeded(ArchiveError):
    """More than a bound allows. `flag` is the bound as `--limit` names it, `liftable` whether that can raise it."""

    def __init__(self, problem: str, flag: str, *, liftable: bool, member: str | None = None) -> None:
        super().__init__(
            f"{problem} (--limit {flag}=... of import and export raises it)" if liftable else problem, member=member
        )
        self.flag = flag
        self.liftable = liftable


class LayerError(ArchiveError):
    """A layer is no tar archive, or an entry in it breaks the rules of the image specification."""


class InvalidReference(ImagefsError):
    """Text that is no image reference, digest, platform, label or moment."""


class InvalidFilter(ImagefsError):
    """Text that is no condition for choosing images."""


class ImageNotFound(ImagefsError):
    """No image in the store has this name or digest, or there is nothing to be seen of it."""

    def __init__(self, reference: str, reason: str = "no such image") -> None:
        super().__init__(f"{reference}: {reason}")
        self.reference = reference


class AmbiguousImage(ImagefsError):
    """A short name or digest prefix that several images have."""

    def __init__(self, reference: str, candidates: list[str]) -> None:
        super().__init__(f"{reference}: ambiguous, could be {', '.join(sorted(candidates))}")
        self.reference = reference
        self.candidates = candidates


class InUse(ImagefsError):
    """A name that another image has, or something that is still needed: it takes force to go on."""


class StoreError(ImagefsError):
    """The store's folder cannot be used as it is."""


class StoreBusy(StoreError):
    """Another process has been changing the store for longer than this one could wait."""


class ContentMissing(StoreError):
    """A blob or a layer that the store should hold is not there, or not whole."""


class MountError(ImagefsError):
    """A mount could not be made or undone."""


class TreeError(ImagefsError):
    """A question about a file tree whose answer is no."""


class NoSuchEntry(TreeError):
    """The path or inode does not exist."""


class NotADirectory(TreeError):
    """A directory was asked for."""


class IsADirectory(TreeError):
    """Something else than a directory was asked for."""


class NotASymlink(TreeError):
    """A symbolic link was asked for."""


class NoSuchAttribute(TreeError):
    """The file has no extended attribute of this name."""


class NotUnpacked(TreeError):
    """The answer is in a layer that has to be uncompressed first.

    `prepare` does that; it takes as long as it takes, may raise, and belongs into a thread. Then
    the question can be asked again.
    """

    def __init__(self, diff_id: str, prepare: Callable[[], None]) -> None:
        super().__init__(f"{diff_id}: not unpacked yet")
        self.diff_id = diff_id
        self.prepare = prepare
