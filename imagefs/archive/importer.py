"""What an importer is, which there are, and which one a stream is for."""

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from imagefs.errors import ImagefsError, UnknownFormat
from imagefs.oci import reference
from imagefs.progress import Progress
from imagefs.store.catalog import ImageRecord
from imagefs.store.store import Store
from imagefs.streams.chunks import ReadableStream

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

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


_OWN = {"docker": "imagefs.archive.docker:DockerImporter", "oci": "imagefs.archive.oci:OciImporter"}
"""The formats that come with the package. They are asked first: finding what else there is takes 30 milliseconds."""


def importer_names() -> list[str]:
    """The formats that can be asked for by name."""
    return sorted({*_OWN, *_plugged_in()})


def make_importer(name: str, options: ImportOptions) -> Importer:
    """The importer that has a name. Raises `ImagefsError` for a name that nothing has."""
    importer: Importer
    if name in _OWN:
        module, _, factory = _OWN[name].partition(":")
        importer = getattr(import_module(module), factory)(options)
    elif name in _plugged_in():
        importer = _plugged_in()[name].load()(options)
    else:
        raise ImagefsError(f"{name}: no such archive format, there are {', '.join(importer_names())}")
    return importer


@cache
def _plugged_in() -> "dict[str, EntryPoint]":
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _own_first() -> Iterator[str]:
    yield from sorted(_OWN)
    yield from sorted(_plugged_in().keys() - _OWN.keys())


def choose_importer(head: bytes, options: ImportOptions) -> Importer:
    """The importer whose format an archive shows by its first bytes. Raises `UnknownFormat`."""
    if not head:
        raise UnknownFormat("empty file")
    for name in _own_first():
        importer = make_importer(name, options)
        if importer.sniff(head):
            return importer
    raise UnknownFormat("not an image archive of a known format")
