"""What an importer is, which there are, and which one a stream is for."""

from typing import Protocol, runtime_checkable

import msgspec

from imagefs.archive.plugins import Formats
from imagefs.errors import UnknownFormat
from imagefs.limits import DEFAULTS, Limits
from imagefs.progress import Progress
from imagefs.store.catalog import ImageRecord
from imagefs.store.ingest import Ingest
from imagefs.store.store import Store
from imagefs.streams.chunks import ReadableStream

GROUP = "imagefs.importers"
"""The entry point group by which other packages plug in importers: a callable that makes one from `ImportOptions`."""


class ImportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a user asks of an import.

    `prefix` goes before bare tags, and names that are full but do not begin with it are left out; None takes it
    from the archive's file name for bare tags alone. With `digests`, images get names by digest, too: all, or with
    `skip_digest_for_named` those that have no other; and `index_name` names the archive's whole index.
    Of `platforms` only those that are named are kept, None keeps all. With `skip_missing`, images may lack content.
    With `compress`, the uncompressed layers of docker archives are compressed. `labels` are put on every image, None
    leaves what is there. `unpacking` tells whether layers are uncompressed at once, `progress` is told how far it is.
    `limits` are for what the archive may ask for.
    """

    prefix: str | None = None
    digests: bool = False
    skip_digest_for_named: bool = False
    index_name: str | None = None
    platforms: tuple[str, ...] | None = None
    skip_missing: bool = False
    compress: bool = False
    labels: dict[str, str] | None = None
    unpacking: bool = True
    progress: Progress | None = None
    limits: Limits = DEFAULTS

    def ingest(self, store: Store) -> Ingest:
        """An ingest that does as is asked."""
        return Ingest(
            store,
            unpacking=self.unpacking,
            platforms=self.platforms,
            skip_missing=self.skip_missing,
            progress=self.progress,
            limits=self.limits,
        )


@runtime_checkable
class Importer(Protocol):
    """One archive format."""

    def sniff(self, head: bytes) -> bool:
        """Whether an uncompressed archive that begins with these bytes is of this format."""

    def run(self, store: Store, stream: ReadableStream) -> list[ImageRecord]:
        """Read the stream once, to its end, and answer the images that it made.

        Raises `ArchiveError`, and leaves nothing in the store then.
        """


IMPORTERS = Formats(
    GROUP, {"docker": "imagefs.archive.docker:DockerImporter", "oci": "imagefs.archive.oci:OciImporter"}
)
"""The formats that can be asked for by name."""


def make_importer(name: str, options: ImportOptions) -> Importer:
    """The importer that has a name. Raises `ImagefsError` for a name that nothing has."""
    importer: Importer = IMPORTERS.factory(name)(options)
    return importer


def choose_importer(head: bytes, options: ImportOptions) -> Importer:
    """The importer whose format an archive shows by its first bytes. Raises `UnknownFormat`."""
    if not head:
        raise UnknownFormat("empty file")
    for name in IMPORTERS:
        importer = make_importer(name, options)
        if importer.sniff(head):
            return importer
    raise UnknownFormat("not an image archive of a known format")
