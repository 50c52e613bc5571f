"""Why peers deviate: what umoci 0.4, podman 4.3 and containerd 1.6 do instead of what the specification says.

The snapshotter for overlayfs unpacks each layer into an empty folder of its own, with whiteouts as the kernel's
overlayfs wants them, character devices 0:0; hence most of what it does otherwise.
"""

from collections.abc import Iterable

from .stacks import Deviates, Deviation, Path, Refuses

# -- whiteouts

LATE = "It applies a whiteout where it stands in the tar, to the entries of its own layer before it too."
MADE = "It makes the directory that a whiteout lies in, though nothing is in it."
STUMBLES = "It looks below a file for what a whiteout removes, and fails."
DEVICE = "It makes a device of a whiteout, and cannot do so where its layer has an entry, nor make an entry below it."
NOT_OPAQUE = "It does not make the directory opaque that takes the place of the removed one."
NOT_OPAQUE_ROOT = "It makes no root opaque: overlayfs takes the mark for nothing there."
UNSEEN_WHITEOUTS = "It forgets that the directory is opaque once a whiteout is in it."
METADATA = "It knows AUFS' metadata by the last part of a name only."

# -- everything else

NO_DUPLICATES = "It keeps a list of all entries, to write the same tar again, and refuses names that come twice."
STALE_TIME = "It sets the times of directories at the end, without looking what they have become."
OLD_XATTRS = "It adds a directory's new attributes to its old ones."
UNPACKING_TIME = "It leaves a directory that it puts something into with the time of that."
IN_THE_WAY = "It makes missing parents and fails over a file that is one, as tar(1) does."
ALONE = "It unpacks each layer by itself, where the links and the files of lower layers are not to be seen."
COPIED_UP = "overlayfs keeps the link count of the lower layer, though names are removed or replaced in the upper."
DANGLING = "It does not make the directory that a dangling link leads to."
OPAQUE_BY_NAME = "It takes an opaque marker by its name, and does not see that the link leads to another one."
LEXICAL = "It shortens `link/..` before it looks where the link leads."
LINK_ATTRIBUTES = "It gives the inode the attributes of each further name, one after the other."
NO_TARGET = "The target is not there, which ends the unpacking."
ROOT = "It takes no attributes from the root's entry."
GLOBAL_HEADER = "It takes a global PAX header for a member."
NO_TIME_BEFORE_1970 = "It moves times before 1970 to the epoch, at least of what is no symbolic link."
EMPTY_XATTR = "Go's archive/tar drops records without a value, which POSIX has as their deletion."
NO_LIBARCHIVE = "It knows the SCHILY form only."
NO_TRUSTED = "It sets no attributes of the trusted namespace."
OLD_GNU = "It does not know the type of old GNU sparse files."

FILE_EXISTS, NOT_A_DIRECTORY, NO_SUCH_FILE = "file exists", "not a directory", "no such file or directory"
DUPLICATES = "duplicates of file paths not supported"

SINGLE_NAMES = Refuses(NO_DUPLICATES, DUPLICATES)
"""podman's, for two entries of one name."""

LINK_TO_LOWER = {"containerd-overlayfs": Refuses(ALONE, NO_SUCH_FILE)}
"""A hard link to what only a lower layer has."""

LINK_TO_NOTHING = {"umoci podman containerd": Refuses(NO_TARGET, NO_SUCH_FILE)}
"""A hard link to what no layer has."""

BECAME_A_DIRECTORY = "kind links mode mtime_ns nlink target"
"""What is different of a symbolic link that is a directory."""


def unexpected(because: str, *paths: Path, **more: Iterable[Path]) -> Deviates:
    """Paths that a peer has, and others that it has not, where `missing` names them."""
    return Deviates(because, dict.fromkeys(paths, "unexpected") | dict.fromkeys(more.get("missing", ()), "missing"))


def missing(because: str, *paths: Path) -> Deviates:
    """Paths that a peer has not."""
    return Deviates(because, dict.fromkeys(paths, "missing"))


def late(*paths: Path) -> dict[str, Deviation]:
    """What the peers but umoci do with a whiteout after what it would remove."""
    return {"podman containerd-native": missing(LATE, *paths), "containerd-overlayfs": Refuses(DEVICE, FILE_EXISTS)}


def apart(link: Path, moved: dict[Path, Path | None], **others: str) -> dict[str, Deviation]:
    """What overlayfs has with a directory of the upper layer over the lower one's link.

    `moved` names what is in that directory, and the path that it should have had; `others` is written `a__b` for a/b.
    """
    paths: dict[Path, str] = {link: BECAME_A_DIRECTORY}
    for there, meant in moved.items():
        paths[there] = "unexpected"
        if meant is not None:
            paths[meant] = "missing"
    paths |= {path.replace("__", "/"): properties for path, properties in others.items()}
    return {"containerd-overlayfs": Deviates(ALONE, paths)}
