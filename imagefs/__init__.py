"""imagefs: container image archives in a content store, mounted as read-only trees.

from imagefs import Store, import_archive, mounted

with Store("/tmp/images") as store, open("busybox.tar", "rb") as stream:
    import_archive(store, stream)
    with mounted(store, "busybox") as root:
        print(sorted(root.iterdir()))
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagefs.api import copy_out, export_archive, export_file, import_archive, import_folder, mounted, write_tar
    from imagefs.archive.docker import DockerImporter
    from imagefs.archive.exporter import ExportedImage, Exporter, ExportOptions
    from imagefs.archive.importer import Importer, ImportOptions
    from imagefs.archive.oci import OciImporter
    from imagefs.archive.written import DockerExporter, LayoutExporter, OciExporter
    from imagefs.errors import (
        AmbiguousImage,
        ArchiveError,
        ContentMissing,
        DigestMismatch,
        ImagefsError,
        ImageNotFound,
        InvalidReference,
        LayerError,
        MissingContent,
        MountError,
        SizeMismatch,
        StoreError,
        TreeError,
        Truncated,
        UnknownFormat,
    )
    from imagefs.store.catalog import ImageRecord
    from imagefs.store.ingest import Ingest
    from imagefs.store.store import Store
    from imagefs.tree.image import ImageTree

__all__ = [
    "AmbiguousImage", "ArchiveError", "ContentMissing", "DigestMismatch", "DockerExporter", "DockerImporter",
    "ExportOptions", "ExportedImage", "Exporter", "ImageNotFound", "ImageRecord", "ImageTree", "ImagefsError",
    "ImportOptions", "Importer", "Ingest", "InvalidReference", "LayerError", "LayoutExporter", "MissingContent",
    "MountError", "OciExporter", "OciImporter", "SizeMismatch", "Store", "StoreError", "TreeError", "Truncated",
    "UnknownFormat", "copy_out", "export_archive", "export_file", "import_archive", "import_folder", "mounted",
    "write_tar",
]  # fmt: skip

_HOMES = {
    "imagefs.api": (
        "copy_out", "export_archive", "export_file",
        "import_archive", "import_folder", "mounted", "write_tar",
    ),
    "imagefs.archive.docker": ("DockerImporter",),
    "imagefs.archive.exporter": ("ExportOptions", "ExportedImage", "Exporter"),
    "imagefs.archive.importer": ("Importer", "ImportOptions"),
    "imagefs.archive.oci": ("OciImporter",),
    "imagefs.archive.written": ("DockerExporter", "LayoutExporter", "OciExporter"),
    "imagefs.errors": (
        "AmbiguousImage", "ArchiveError", "ContentMissing", "DigestMismatch", "ImagefsError", "ImageNotFound",
        "InvalidReference", "LayerError", "MissingContent", "MountError", "SizeMismatch", "StoreError", "TreeError",
        "Truncated", "UnknownFormat",
    ),
    "imagefs.store.catalog": ("ImageRecord",),
    "imagefs.store.ingest": ("Ingest",),
    "imagefs.store.store": ("Store",),
    "imagefs.tree.image": ("ImageTree",),
}  # fmt: skip

_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """A public name. Its module is loaded when it is first used, for the command and each mount need few of them."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
