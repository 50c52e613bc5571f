"""What an importer is, which there are, and which one a stream is for."""

from typing import Protocol, runtime_checkable

from imagefs.archive.plugins import Formats
from imagefs.errors import UnknownFormat
from imagefs.oci import reference
from imagefs.progress import Progress
from imagefs.store.catalog import ImageRecord
from imagefs.store.store import Store
from imagefs.streams.chunks import ReadableStream

GROUP = "imagefs.importers"
"""The entry point group by which other packages plug in importers: a callable that makes one from `ImportOptions`."""


class ImportOptions:
    """What a user asks of an import.

    `prefix` goes before bare tags (None: from the archive's file name), `unpacking` tells whether layers are
    uncompressed at once, `progress` is told how far it is.
    """

    def __init__(self, prefix: str | None = None, *, unpacking: bool = True, progress: Progress | None = None) -> None:
        self.prefix = prefix
        self.unpacking = unpacking
        self.progress = progress

    def prefix_for(self, name: str | None) -> str:
        """The prefix for an archive of this file name. Raises `InvalidReference` for a given one that cannot be one."""
        return reference.prefix_of_file(name) if self.prefix is None else reference.check_prefix(self.prefix)


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
