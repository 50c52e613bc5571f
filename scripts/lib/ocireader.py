"""Reads an OCI archive that holds one image: where its blobs lie, and what its documents say."""

import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob as it lies in an archive."""

    archive: Path
    digest: str
    media_type: str
    offset: int
    size: int

    def pieces(self, size: int = 1 << 20) -> Iterator[bytes]:
        """The blob's bytes, at most `size` at a time."""
        with self.archive.open("rb", buffering=0) as file:
            file.seek(self.offset)
            left = self.size
            while left:
                piece = file.read(min(size, left))
                if not piece:
                    raise EOFError(f"{self.archive}: ends in {self.digest}")
                left -= len(piece)
                yield piece

    def read(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces())

    @contextmanager
    def stream(self) -> Iterator[IO[bytes]]:
        """A file of just the blob."""
        with tarfile.open(self.archive) as tar:
            file = tar.extractfile(f"blobs/{self.digest.replace(':', '/')}")
            assert file
            with file:
                yield file


class OneImage:
    """An archive with one image for one platform."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        with tarfile.open(archive) as tar:
            members = {member.name: member for member in tar}
            index = tar.extractfile(members["index.json"])
            assert index
            (self.descriptor,) = json.load(index)["manifests"]
        self._members = members

    @property
    def tag(self) -> str:
        """The tag, without a name before it."""
        return str(self.descriptor["annotations"]["org.opencontainers.image.ref.name"])

    def manifest(self) -> dict[str, Any]:
        """The image's manifest."""
        return self._json(self.descriptor)

    def config(self) -> dict[str, Any]:
        """The image's configuration."""
        return self._json(self.manifest()["config"])

    def layers(self) -> list[Blob]:
        """The layers, lowest first."""
        return [self._blob(descriptor) for descriptor in self.manifest()["layers"]]

    def _blob(self, descriptor: dict[str, Any]) -> Blob:
        member = self._members[f"blobs/{descriptor['digest'].replace(':', '/')}"]
        return Blob(self._archive, descriptor["digest"], descriptor["mediaType"], member.offset_data, member.size)

    def _json(self, descriptor: dict[str, Any]) -> dict[str, Any]:
        return cast(dict[str, Any], json.loads(self._blob(descriptor).read()))
