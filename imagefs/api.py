"""The public functions: what the commands do, for programs. `imagefs` re-exports them."""

import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from imagefs.archive.exporter import Exporter, ExportOptions, WritableStream
from imagefs.archive.exporting import export_archive
from imagefs.archive.importing import import_archive, import_folder
from imagefs.browse import copying, tarout
from imagefs.browse.address import parse
from imagefs.browse.opened import opened
from imagefs.errors import StoreError
from imagefs.fuse import background
from imagefs.fuse.request import MountRequest
from imagefs.store.files import sync_directory
from imagefs.store.store import Store

__all__ = [
    "complete_file", "copy_out", "export_archive", "export_file", "import_archive", "import_folder", "mounted",
    "write_tar",
]  # fmt: skip


def export_file(
    store: Store,
    images: Sequence[str],
    path: str | os.PathLike[str],
    options: ExportOptions | None = None,
    *,
    exporter: Exporter | str = "oci+docker",
) -> None:
    """Write images to a file, which appears under its name only when it is complete.

    Raises what `export_archive` raises, and `StoreError` where the file cannot be written.
    """
    with complete_file(path) as file:
        export_archive(store, images, file, options, exporter=exporter)


@contextmanager
def complete_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write in the block, which appears under its name only when the block ends well.

    A pipe or a device is written to, not replaced. Raises `StoreError` where the file cannot be written, and
    `BrokenPipeError` where nobody reads any more from a pipe.
    """
    unfinished = None
    try:
        target = _replaceable(path)
        if target is None:
            # By the path that was given: /dev/stdout leads to a pipe, but to no path that it has.
            with open(path, "wb") as device:
                yield device
            return
        # A name that is as long as names can be leaves no room for more.
        unfinished = target.with_name(f".imagefs-{secrets.token_hex(8)}")
        try:
            with unfinished.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(target)
            sync_directory(target.parent)
        finally:
            unfinished.unlink(missing_ok=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        # Another name than this one is that of a file which was to be read, or of a folder.
        where = path if error.filename is None or os.fspath(error.filename) == str(unfinished) else error.filename
        raise StoreError(f"{os.fsdecode(where)}: {error.strerror}") from None


def _replaceable(path: str | os.PathLike[str]) -> Path | None:
    """Where a file is that another one can be put in the place of, links followed; None for a pipe, a device and so on.

    Raises `OSError` where there can be no file.
    """
    if os.fsencode(path).endswith(b"/"):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))  # realpath() takes the slash away
    target = Path(os.path.realpath(path))
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        return target
    # What is open and has no name any more is reached by its link in /proc alone.
    return target if stat.S_ISREG(mode) and target.exists() and target.samefile(path) else None


def copy_out(store: Store, address: str, destination: str | os.PathLike[str]) -> None:
    """Copy what is at IMAGE:PATH out of an image, as `browse.copying.copy_out` says.

    Raises what that raises and what `browse.opened.opened` raises.
    """
    parsed = parse(address)
    with opened(store, parsed) as image:
        copying.copy_out(image, parsed.path or b"/", destination)


def write_tar(store: Store, address: str, stream: WritableStream) -> None:
    """Write what is at IMAGE or IMAGE:PATH to a stream as one tar, as `browse.tarout.write_tar` says.

    Raises what that raises and what `browse.opened.opened` raises.
    """
    parsed = parse(address)
    with opened(store, parsed) as image:
        tarout.write_tar(image, stream, parsed.path or b"/")


@contextmanager
def mounted(store: Store, image: str, *, options: Sequence[str] = ()) -> Iterator[Path]:
    """The image's tree, mounted on a temporary folder for the time of the block.

    Raises `ImageNotFound`, `AmbiguousImage`, `MountError`.
    """
    store.find_image(image)
    with tempfile.TemporaryDirectory(prefix="imagefs-") as folder:
        request = MountRequest(str(store.folder), folder, (image,), "rootfs", tuple(options))
        process = background.start(request)
        try:
            yield Path(folder)
        finally:
            # The process unmounts, detaching what is still open.
            process.terminate()
            process.wait()
