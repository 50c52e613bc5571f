"""From a path of this machine's file system, which lies in a mount, to the image there and the path in it.

The inode number of a directory says all: which image it is of, and which directory in it. So bind mounts, links that
lead into a mount, and folders that somebody stands in are all the same.
"""

import errno
import os
import stat
from pathlib import Path

import msgspec

from imagefs.browse.address import Address
from imagefs.browse.opened import OpenedImage
from imagefs.errors import MountError
from imagefs.store.catalog import Slot
from imagefs.store.store import Store
from imagefs.tree import inode

_ESCAPES = ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\043", b"#"), (b"\\134", b"\\"))
"""What the kernel writes for what separates fields (proc(5), /proc/PID/mounts); the backslash comes last."""

_LOST = "the image there has lost its name since it was mounted, to another image or with `imagefs rm`"


class Place(msgspec.Struct, frozen=True):
    """A path in a mount: the folder of the store that the mount shows, the number of the first directory on the path
    that is in an image, and what the path has after it.
    """

    store: Path
    ino: int
    rest: bytes


def place_of(path: bytes) -> Place | None:
    """Where in a mount a path lies, whether or not there is anything; None for a path that is in no mount.

    Raises `MountError` for what is in a mount but in no image, and where the mount does not say what it shows;
    `OSError` for what the system refuses to tell.
    """
    if b".." in path.split(b"/"):
        path = os.path.abspath(path) + (b"/" if path.endswith(b"/") else b"")
    mounts = _mounts()
    names = path.split(b"/")
    inside = None
    for end in range(path.startswith(b"/"), len(names) + 1):
        # Links on the way to the image are this machine's, those in it are the image's.
        before = b"/".join(names[:end]) or (b"/" if end else b".")
        try:
            found = Path(os.fsdecode(before)).stat()
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP):
                break
            raise
        inside = mounts.get(found.st_dev)
        if inside is not None and inode.kind(found.st_ino) in (inode.TREE, inode.VIEW) and stat.S_ISDIR(found.st_mode):
            return Place(_store_folder(inside, path), found.st_ino, b"/".join(names[end:]))
    if inside is not None:
        raise MountError(f"{os.fsdecode(path)}: in an imagefs mount, but in no image's tree")
    return None


def _mounts() -> dict[int, bytes]:
    """The source of every imagefs mount, by the device number that its files have."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        fields, _, rest = line.partition(b" - ")
        if rest.startswith(b"fuse.imagefs "):
            major, _, minor = fields.split(b" ")[2].partition(b":")
            source = rest.split(b" ")[1]
            for octal, plain in _ESCAPES:
                source = source.replace(octal, plain)
            found[os.makedev(int(major), int(minor))] = source
    return found


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
    if image.tree.slot != parts.slot:
        raise MountError(_LOST)
    views = image.chain.views
    names = views[parts.layer].directory_path(parts.node) if parts.layer < len(views) else []
    if names is None:
        raise MountError(f"{image.name}: no directory in it has the number {place.ino}")
    return b"/" + b"/".join([*names, place.rest])
