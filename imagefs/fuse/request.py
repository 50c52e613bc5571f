"""What to mount where: what a command, or a program, hands to the process that serves the mount."""

import os
from pathlib import Path

import msgspec

from imagefs.errors import MountError

VIEWS = ("all", "layout", "rootfs")
"""The layout and the trees; the layout alone; one image's tree alone."""


class MountRequest(msgspec.Struct, frozen=True):
    """What to mount where.

    No `images` means all, as they come and go; `options` are mount(8)'s, FUSE's and `noxattr`.
    """

    store: str
    mountpoint: str
    images: tuple[str, ...] = ()
    view: str = "all"
    options: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise `MountError` where there is nothing that could be mounted, or nothing to mount it on."""
        point = Path(self.mountpoint)
        try:
            if not point.is_dir():
                raise MountError(f"{point}: not a folder" if point.exists() else f"{point}: no such folder")
        except OSError as error:
            raise MountError(f"{point}: {error.strerror}") from None
        if not os.access("/dev/fuse", os.R_OK | os.W_OK):
            raise MountError("/dev/fuse: no such device, or no permission to use it")
        if "rw" in self.options:
            raise MountError("images are read-only: the option rw cannot be had")
