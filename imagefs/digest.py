"""Content digests: `algorithm:hex`, as the OCI image specification's descriptor chapter defines them."""

import hashlib
import re
from collections.abc import Callable
from typing import NewType, Protocol

from imagefs.errors import InvalidReference

Digest = NewType("Digest", str)
"""A digest that `parse` or a hash made: known algorithm, lower-case hex of the right length."""


class Hash(Protocol):
    """What hashlib's objects can do, as far as it is used here."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take in more content."""

    def hexdigest(self) -> str:
        """The hex digest of what was taken in so far."""


# The registered algorithms (image specification, "Registered algorithms") that hashlib holds.
_ALGORITHMS: dict[str, tuple[Callable[[], Hash], int]] = {
    "sha256": (hashlib.sha256, 64),
    "sha384": (hashlib.sha384, 96),
    "sha512": (hashlib.sha512, 128),
}
_HEX = re.compile(r"[0-9a-f]+")


def parse(text: str) -> Digest:
    """Check that `text` is a digest of a known algorithm.

    Raises `InvalidReference`.
    """
    name, colon, encoded = text.partition(":")
    known = _ALGORITHMS.get(name)
    if not colon or known is None or len(encoded) != known[1] or not _HEX.fullmatch(encoded):
        raise InvalidReference(f"{text[:160]!r} is not a digest")
    return Digest(text)


def join(name: str, encoded: str) -> Digest:
    """The digest in a `blobs/<alg>/<hex>` path. Raises `InvalidReference`."""
    return parse(f"{name}:{encoded}")


def algorithm(digest: Digest) -> str:
    """The part before the colon."""
    return digest.partition(":")[0]


def encoded(digest: Digest) -> str:
    """The hex part."""
    return digest.partition(":")[2]


def hasher(name: str = "sha256") -> Hash:
    """A fresh hash of the named algorithm."""
    return _ALGORITHMS[name][0]()


def algorithms() -> frozenset[str]:
    """The names of the algorithms that `parse` takes."""
    return frozenset(_ALGORITHMS)


def of_hash(content: Hash, name: str = "sha256") -> Digest:
    """The digest of what a hash has taken in."""
    return Digest(f"{name}:{content.hexdigest()}")


def of_bytes(data: bytes, name: str = "sha256") -> Digest:
    """The digest of some bytes."""
    content = hasher(name)
    content.update(data)
    return of_hash(content, name)
