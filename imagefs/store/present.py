"""Which blobs a store has, seen once: to look at a thousand images, one look into a folder is less than thousands."""

import os
from typing import Protocol

from imagefs import digest
from imagefs.digest import Digest
from imagefs.store.blobs import Blobs


class BlobReader(Protocol):
    """What it takes of a store's blobs to tell what an image consists of; `store.blobs.Blobs` has it."""

    def __contains__(self, content: Digest) -> bool:
        """Whether the store has the blob."""

    def size(self, content: Digest) -> int | None:
        """The blob's size in bytes, None when the store does not have it."""

    def read(self, content: Digest) -> bytes:
        """A JSON document, whole. Raises `ContentMissing`."""


class PresentBlobs:
    """The blobs of a store as they are now. One that is gone later reads as missing."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._names = {name: _names(f"{blobs.folder}/{name}") for name in digest.algorithms()}

    def __contains__(self, content: Digest) -> bool:
        algorithm, _, encoded = content.partition(":")
        return encoded in self._names[algorithm]

    def size(self, content: Digest) -> int | None:
        """The blob's size in bytes, None when the store does not have it."""
        return self._blobs.size(content) if content in self else None

    def read(self, content: Digest) -> bytes:
        """A JSON document, whole. Raises `ContentMissing`."""
        return self._blobs.read(content)


def _names(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except FileNotFoundError:
        return frozenset()
