"""Bringing archives into a store by the library, with whatever options an import can have."""

import io
from typing import Any

from imagefs import Store
from imagefs.archive.importer import ImportOptions
from imagefs.archive.importing import import_archive
from support.archives import OciArchive
from support.command import Imagefs


def bring(imagefs: Imagefs, archive: OciArchive, **options: Any) -> None:
    """Import an archive into the store of a command."""
    with Store(imagefs.store) as store:
        import_archive(store, io.BytesIO(archive.bytes()), ImportOptions(**options))
