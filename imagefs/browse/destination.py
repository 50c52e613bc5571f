"""The folders that a copy fills, by descriptor: nothing in them is ever reached by a path.

What is copied may be hostile and so may be what lies at the destination. Every name is made in a folder that is open,
no symbolic link is followed below the first folder, and what is in a name's way is removed, never written through.
Trees may be deeper than a process may have files open: of a deep path only the last folders are, and on the way back
a folder is opened as `..` of the one below it and known again by its inode number.
"""

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

Made = TypeVar("Made")

_HELD = 64  # so many folders are held open

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Folders:
    """A folder that was there before, `first`, and the way from it down to the one that is being filled."""

    def __init__(self, first: int) -> None:
        self._descriptors: list[int | None] = [first]
        self._identities = [_identity(first)]

    @property
    def depth(self) -> int:
        """How many folders the current one is below the first."""
        return len(self._descriptors) - 1

    @property
    def current(self) -> int:
        """The descriptor of the folder that is being filled."""
        descriptor = self._descriptors[-1]
        assert descriptor is not None, "the last ones are open"
        return descriptor

    def enter(self, name: bytes) -> None:
        """Go into a folder of the current one, which is made where it is missing, for its owner alone.

        Raises `NotADirectoryError` where a link or anything else has the name, and `OSError`.
        """
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=self.current)
        descriptor = os.open(name, FOLDER_FLAGS, dir_fd=self.current)
        self._descriptors.append(descriptor)
        self._identities.append(_identity(descriptor))
        distant = len(self._descriptors) - 1 - _HELD
        if distant > 0:  # the first one stays open
            self._close(distant)

    def leave(self) -> int:
        """Go back to the folder above. Answers the descriptor of the one that was left, which the caller closes.

        Raises `OSError` where the folder above is not the one that was come from.
        """
        left = self.current
        if self._descriptors[-2] is None:
            above = os.open("..", FOLDER_FLAGS, dir_fd=left)
            if _identity(above) != self._identities[-2]:
                os.close(above)
                raise OSError(errno.ESTALE, "the folder was moved while it was copied to")
            self._descriptors[-2] = above
        del self._descriptors[-1], self._identities[-1]
        return left

    def reach(self, names: Sequence[bytes]) -> int:
        """The folder at the end of names that go down from the first one; the caller closes the descriptor."""
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(".", flags, dir_fd=self._descriptors[0])
        for name in names:
            try:
                below = os.open(name, flags, dir_fd=descriptor)
            finally:
                os.close(descriptor)
            descriptor = below
        return descriptor

    def close(self) -> None:
        """Let go of all that is open, the first one too."""
        for position in range(len(self._descriptors)):
            self._close(position)

    def _close(self, position: int) -> None:
        descriptor = self._descriptors[position]
        if descriptor is not None:
            self._descriptors[position] = None
            os.close(descriptor)


def replacing(make: Callable[[], Made], name: bytes, folder: int) -> Made:
    """Make something under a name; what has the name is removed first. Raises `IsADirectoryError` for a folder."""
    try:
        return make()
    except FileExistsError:
        os.unlink(name, dir_fd=folder)
        return make()


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
