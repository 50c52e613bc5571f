"""What to mount where: what a command, or a program, hands to the process that serves the mount."""

import os
from pathlib import Path

import msgspec

from imagefs.errors import MountError
from imagefs.fuse.options import parse

VIEWS = ("all", "layout", "rootfs")
"""The layout and the trees; the layout alone; one image's tree alone."""


class MountRequest(msgspec.Struct, frozen=True):
    """What to mount where.

    No `images` means all, as they come and go; `options` are those of `-o`; `fuse.options` tells which. A process in
    the background logs what is of `log_level` or worse, to the file `log` or, without one, to the system's log.
    """

    store: str
    mountpoint: str
    images: tuple[str, ...] = ()
    view: str = "all"
    options: tuple[str, ...] = ()
    log_level: str = "warning"
    log: str | None = None

    def check(self) -> None:
        """Raise `MountError` for options that cannot be had, and where there is nothing to mount on or with."""
        options = parse(self.options)
        if "rw" in options.passed_on:
            raise MountError("images are read-only: the option rw cannot be had")
        if options.layers and self.view != "all":
            raise MountError(f"the view {self.view} has no place for the option layers")
        point = Path(self.mountpoint)
        try:
            if not point.is_dir():
                raise MountError(f"{point}: not a folder" if point.exists() else f"{point}: no such folder")
        except OSError as error:
            raise MountError(f"{point}: {error.strerror}") from None
        if not os.access("/dev/fuse", os.R_OK | os.W_OK):
            raise MountError("/dev/fuse: no such device, or no permission to use it")
