"""What a check of a store found, for those who tell of it and those who mend it."""

import os
from pathlib import Path

import msgspec

from imagefs.digest import Digest
from imagefs.store.blobuse import Uses
from imagefs.store.store import Store

Seen = tuple[int, int, int]
"""Which file was looked at: its inode, its size in bytes and its time of change in nanoseconds."""


class Problem(msgspec.Struct, frozen=True):
    """Something that is not as it should be, in one line.

    `costs` tells whether anything that should be there is lost or unreadable, `images` are the names of those that
    need it.
    """

    subject: str
    text: str
    costs: bool = True
    images: tuple[str, ...] = ()

    def __str__(self) -> str:
        needed = f" (needed by {', '.join(self.images)})" if self.images else ""
        return f"{self.subject}: {self.text}{needed}"


class Findings:
    """The problems, and by kind what can be done about them.

    `blobs` are damaged, `layers` are to be made again, `rows` tells whether the catalogue is damaged, and `standing`
    whether it does not say of images and layers what the files do.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.blobs: dict[Digest, Seen | None] = {}
        self.layers: set[Digest] = set()
        self.rows = False
        self.standing = False

    def add(self, subject: str, text: str, *, costs: bool = True, images: tuple[str, ...] = ()) -> None:
        """Put a problem on the list, once."""
        problem = Problem(subject, text, costs, images)
        if problem not in self.problems:
            self.problems.append(problem)

    def damaged(self, blob: Digest, path: Path, text: str, images: tuple[str, ...] = ()) -> None:
        """A blob is not what its digest says."""
        if blob not in self.blobs:
            self.blobs[blob] = seen(path)
            self.add(blob, text, images=images)


def name_images(found: Findings, store: Store) -> None:
    """Add to the problems of damaged blobs which images need them."""
    if found.blobs:
        uses = Uses(store)
        for position, problem in enumerate(found.problems):
            if problem.subject in found.blobs:
                names = sorted({*problem.images, *uses.of(Digest(problem.subject))})
                found.problems[position] = msgspec.structs.replace(problem, images=tuple(names))


def seen(path: Path) -> Seen | None:
    """Which file is at a path now, None where there is none."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
