"""From a path of this machine's file system, which lies in a mount, to the image there and the path in it.

The inode number of a directory says all: which image it is of, and which directory in it. So bind mounts, links that
lead into a mount, and folders that somebody stands in are all the same.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from imagefs import mountinfo
from imagefs.browse.address import Address
from imagefs.browse.opened import OpenedImage
from imagefs.errors import MountError
from imagefs.store.catalog import Slot
from imagefs.store.store import Store
from imagefs.tree import inode

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC

_LINKS_FOLLOWED = 40

_LOST = "the image there has lost its name since it was mounted, to another image or with `imagefs rm`"


class Place(msgspec.Struct, frozen=True):
    """A path in a mount: the folder of the store that the mount shows, the number of the last directory on the path
    that is in an image and that no link of the image leads to, and what the path has after it.
    """

    store: Path
    ino: int
    rest: bytes


def place_of(path: bytes) -> Place | None:
    """Where in a mount a path lies, whether or not there is anything; None for a path that is in no mount.

    It is gone name by name, as the kernel goes: a `..` after a link is above where the link leads. Links on the way to
    the image are this machine's, and from the first link in the image on, the image says what the rest means.

    Raises `MountError` for what is in a mount but in no folder of an image, and where the mount does not say what it
    shows; `OSError` for what the system refuses to tell.
    """
    mounts = {mount.device: mount.source for mount in mountinfo.mounts()}
    names = path.split(b"/")[::-1]
    followed = 0
    name = b"."
    here = _start(path)
    try:
        while True:
            status = os.fstat(here)
            source = mounts.get(status.st_dev)
            in_image = source is not None and inode.has_slot(status.st_ino)
            if not names:
                break
            name = names.pop()
            below = _folder(here, name, in_image=in_image)
            if below is None and not in_image and followed < _LINKS_FOLLOWED and (target := _link(here, name)):
                # It leads to a file, or to what is in an image no more.
                followed += 1
                names += target.split(b"/")[::-1]
                below = _start(target) if target.startswith(b"/") else os.dup(here)
            if below is None:
                names.append(name)
                break
            os.close(here)
            here = below
        if source is not None and in_image:
            return Place(_store_folder(source, path), status.st_ino, b"/".join(names[::-1]))
        with suppress(OSError):
            status = os.stat(name, dir_fd=here, follow_symlinks=False)
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fsdecode(path)) from None
    finally:
        os.close(here)
    if status.st_dev not in mounts:
        return None
    if inode.is_of_an_image(status.st_ino):
        raise MountError(f"{os.fsdecode(path)}: a file of an image, mounted by itself; its path there is not known")
    raise MountError(f"{os.fsdecode(path)}: in an imagefs mount, but in no image's tree")


def _start(path: bytes) -> int:
    return os.open(b"/" if path.startswith(b"/") else b".", _FOLDER)


def _folder(above: int, name: bytes, *, in_image: bool) -> int | None:
    """The folder under a name, open, in an image over no link; None where there is none. Raises `OSError`."""
    try:
        return os.open(name or b".", _FOLDER | (os.O_NOFOLLOW if in_image else 0), dir_fd=above)
    except OSError as error:
        # Who may not go into a folder of an image can still ask the image.
        if in_image or error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP):
            return None
        raise


def _link(folder: int, name: bytes) -> bytes | None:
    """Where a symbolic link leads; None where there is none."""
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:
        return None


def _store_folder(source: bytes, path: bytes) -> Path:
    folder = Path(os.fsdecode(source))
    if not folder.is_absolute() or not (folder / "catalog.sqlite").exists():
        raise MountError(f"{os.fsdecode(path)}: in a mount of {os.fsdecode(source)}, which is no store here")
    return folder


def slot_of(store: Store, place: Place) -> Slot:
    """What a place's image is called. Raises `MountError` where its name is gone, or has another image now."""
    slot = store.catalog.slot(inode.tree_parts(place.ino).slot)
    if slot is None:
        raise MountError(_LOST)
    return slot


def address_of(slot: Slot) -> Address:
    """How the image of a slot is opened."""
    return Address(slot.name, slot.platform.replace("/", "-"))


def path_in(image: OpenedImage, place: Place) -> bytes:
    """The path of a place in its image, as it is written after the image's root.

    Raises `MountError` where the image is not the one that the place is in.
    """
    parts = inode.tree_parts(place.ino)
    if image.slot != parts.slot:
        raise MountError(_LOST)
    views = image.chain.views
    names = views[parts.layer].directory_path(parts.node) if parts.layer < len(views) else []
    if names is None:
        raise MountError(f"{image.name}: no directory in it has the number {place.ino}")
    return b"/" + b"/".join([*names, place.rest])
