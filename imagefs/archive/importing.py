"""From an archive, or a folder, to images in a store: what `imagefs import` does."""

import os
from pathlib import Path

from imagefs.archive.importer import Importer, ImportOptions, choose_importer, make_importer
from imagefs.archive.oci import OciImporter
from imagefs.archive.source import ArchiveStream, size_of
from imagefs.errors import ArchiveError
from imagefs.progress import Silent
from imagefs.store.catalog import ImageRecord
from imagefs.store.store import Store
from imagefs.streams.chunks import ReadableStream


def import_archive(
    store: Store,
    stream: ReadableStream,
    options: ImportOptions | None = None,
    *,
    importer: Importer | None = None,
    archive_format: str = "auto",
) -> list[ImageRecord]:
    """Import an archive, from where `stream` stands to its end.

    Of a regular file, members are read by their place in it; anything else is read once, front to back.
    Its format shows in its content, unless `archive_format` names it or an `importer` is given, which brings
    its own options. Raises `ArchiveError`, and leaves nothing in the store then.
    """
    options = options or ImportOptions()
    progress = options.progress or Silent()
    source = str(getattr(stream, "name", "") or "archive")
    try:
        progress.started(source, size_of(stream))
        archive = ArchiveStream(stream, progress.advanced, options.limits)
        if importer is None:
            if archive_format == "auto":
                importer = choose_importer(archive.head, options)
            else:
                importer = make_importer(archive_format, options)
        return importer.run(store, archive)
    except ArchiveError as error:
        raise error.locate(source=source) from None
    finally:
        progress.finished()


def import_folder(
    store: Store,
    folder: str | os.PathLike[str],
    options: ImportOptions | None = None,
) -> list[ImageRecord]:
    """Import an OCI layout that lies in a folder; only blobs that its index leads to are read.

    Raises `ArchiveError`, and leaves nothing in the store then.
    """
    options = options or ImportOptions()
    progress = options.progress or Silent()
    try:
        progress.started(str(folder), None)
        return OciImporter(options).run_folder(store, Path(folder))
    except ArchiveError as error:
        raise error.locate(source=str(folder)) from None
    finally:
        progress.finished()
