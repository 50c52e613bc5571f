"""Layer stacks, the trees that they make by the image specification, and what the peers make of them instead.

    Stack(
        "whiteout-before-its-replacement",
        WHITEOUT_BELOW,
        [file("a", b"old")],
        [whiteout("a"), file("a", b"new")],
        tree={"a": regular(b"new")},
    )

A layer is a list of the builders' entries, of headers made by hand, or of both. `tree` names every path: what it leaves
out must not be there. It stands on its own; the peers' trees are compared with the mount path by path besides.
"""

import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from support.archives import MTIME, TarEntry

from .tree import Entry

SECOND = 1_000_000_000
"""One second in nanoseconds."""

Path = str | bytes

# -- the rules that decide, in the words of the image specification's layer chapter where it has any

WHITEOUT_BELOW = '"Whiteouts": Whiteout files MUST only apply to resources in lower/parent layers.'
WHITEOUT_SAME_LAYER = (
    '"Whiteouts": Files that are present in the same layer as a whiteout file can only be hidden by whiteout files in'
    " subsequent layers."
)
WHITEOUT_HIDDEN = '"Whiteouts": Once a whiteout is applied, the whiteout itself MUST also be hidden.'
WHITEOUT_WITHOUT_NAME = (
    '"Whiteouts": A `.wh.` file, without a basename to delete, is invalid and implementations SHOULD return an error.'
)
WHITEOUT_NAMES = '"Whiteouts": a special filename signifies that a path should be deleted; its prefix decides.'
OPAQUE_FIRST = (
    '"Opaque Whiteout": `.wh..wh..opq` is applied first, regardless of the ordering in which the whiteout file was'
    " encountered."
)
OPAQUE_ALL = (
    '"Opaque Whiteout": An opaque whiteout file hides all children, including sub-directories and all descendants.'
)
DIRECTORIES_MERGE = (
    '"Changeset over existing files": If the entry and the existing path are both directories, then the existing'
    " path's attributes MUST be replaced by those of the entry in the changeset."
)
REPLACED = (
    '"Changeset over existing files": In all other cases: removing the file path, recreating the file path, based on'
    " the contents and attributes of the changeset entry."
)
LIKE_TAR = (
    '"Applying Changesets": In the absence of any whiteout files in a layer changeset, the archive is extracted like a'
    " regular tar archive."
)
HARD_LINKS = '"Hardlinks": Hardlinked files have the same inode; possible with all file types except directories.'
HARD_LINK_OUTSIDE = (
    '"Hardlinks": A hard link refers by `linkname` to what has been extracted so far, of this layer or a lower one.'
)
ATTRIBUTES = '"File Attributes": mtime, uid, gid, mode, xattrs, linkname MUST be included, and so are restored.'
NO_DUPLICATES = (
    '"Distributable Format": MUST NOT include duplicate entries; a layer that has them all the same is extracted like'
    " a regular tar archive, where the later entry wins."
)
SPARSE = '"File Attributes": Sparse files SHOULD NOT be used; where they are, they are read as the GNU tar manual says.'


# -- what is expected at a path


@dataclass(frozen=True)
class Expected:
    """The properties that a path must have, of `tree.Entry` and `blocks`."""

    properties: Mapping[str, Any]

    def differences(self, entry: Entry) -> list[str]:
        """A line for each property that is not as expected."""
        return [
            f"{name}: expected {wanted!r}, got {getattr(entry, name)!r}"
            for name, wanted in self.properties.items()
            if name != "blocks" and getattr(entry, name) != wanted
        ]


def _expected(kind: str, **properties: Any) -> Expected:
    links = properties.pop("links", None)
    if links is not None:
        properties["links"] = tuple(sorted(raw(path) for path in links))
        properties["nlink"] = len(links)
    elif kind != "directory":
        properties["nlink"] = 1
    xattrs = properties.pop("xattrs", {})
    return Expected({"kind": kind, **properties, "xattrs": tuple(sorted(xattrs.items()))})


def regular(
    data: bytes = b"", *, mode: int = 0o644, uid: int = 0, gid: int = 0, mtime_ns: int = MTIME * SECOND, **more: Any
) -> Expected:
    """A regular file; `links` names all paths of the inode, where there is more than one."""
    content = hashlib.sha256(data).hexdigest()
    return _expected("file", content=content, size=len(data), mode=mode, uid=uid, gid=gid, mtime_ns=mtime_ns, **more)


def folder(*, mode: int = 0o755, uid: int = 0, gid: int = 0, mtime_ns: int = MTIME * SECOND, **more: Any) -> Expected:
    """A directory that some layer has an entry for."""
    return _expected("directory", mode=mode, uid=uid, gid=gid, mtime_ns=mtime_ns, **more)


def implied() -> Expected:
    """A directory that no layer has an entry for: nothing says what its attributes are."""
    return Expected({"kind": "directory"})


def link(target: Path, *, uid: int = 0, gid: int = 0, mtime_ns: int = MTIME * SECOND, **more: Any) -> Expected:
    """A symbolic link, whose mode Linux does not keep: tar(1) and all peers leave it 0777."""
    return _expected("symlink", target=raw(target), mode=0o777, uid=uid, gid=gid, mtime_ns=mtime_ns, **more)


def special(kind: str, *, rdev: int | None = None, mode: int = 0o644, **more: Any) -> Expected:
    """A device or a fifo."""
    number = {} if rdev is None else {"rdev": rdev}
    return _expected(kind, mode=mode, **number, **more)


# -- what a peer does otherwise


@dataclass(frozen=True)
class Deviates:
    """A peer's tree differs from the specification's: exactly so, which is checked.

    `paths` says of each path `missing`, `unexpected`, or the properties that differ, separated by spaces.
    """

    because: str
    paths: Mapping[Path, str]

    def differences(self) -> dict[bytes, set[str]]:
        """The recorded differences by path."""
        return {raw(path): set(properties.split()) for path, properties in self.paths.items()}


@dataclass(frozen=True)
class Refuses:
    """A peer does not unpack the stack, and says so with these words."""

    because: str
    saying: str


@dataclass(frozen=True)
class Accepts:
    """A peer unpacks a stack that the specification calls invalid."""

    because: str


Deviation = Deviates | Refuses | Accepts


# -- the stacks


@dataclass(frozen=True, init=False)
class Stack:
    """One case.

    `peers` records who deviates: umoci, podman, and containerd with either snapshotter. With `invalid`, imagefs must
    refuse the stack with these words.
    """

    name: str
    rule: str
    layers: tuple[bytes, ...]
    tree: Mapping[bytes, Expected]
    peers: Mapping[str, Deviation] = field(default_factory=dict)
    invalid: str | None = None
    parent_times: bool = False

    def __init__(
        self,
        name: str,
        rule: str,
        *layers: Iterable[TarEntry | bytes] | bytes,
        tree: Mapping[Path, Expected] | None = None,
        peers: Mapping[str, Deviation] | None = None,
        invalid: str | None = None,
        parent_times: bool = False,
    ) -> None:
        assert (tree is None) == (invalid is not None), "a stack has a tree or is invalid"
        values = {
            "name": name,
            "rule": rule,
            "layers": tuple(each if isinstance(each, bytes) else tar(*each) for each in layers),
            "tree": {raw(path): expected for path, expected in (tree or {}).items()},
            "peers": _by_peer(peers or {}),
            "invalid": invalid,
            "parent_times": parent_times,
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)


CONTAINERD = ("containerd-native", "containerd-overlayfs")
"""containerd unpacks differently for its snapshotters: overlayfs wants whiteouts in the form of the kernel's."""

PEERS = ("umoci", "podman", *CONTAINERD)
"""All peers; podman with the vfs driver."""


def _by_peer(recorded: Mapping[str, Deviation]) -> dict[str, Deviation]:
    """`containerd` stands for both of its snapshotters, and several peers may share what they do."""
    found = {}
    for names, deviation in recorded.items():
        for name in names.split():
            for peer in CONTAINERD if name == "containerd" else (name,):
                assert peer in PEERS, peer
                found[peer] = deviation
    return found


def raw(path: Path) -> bytes:
    """A path as bytes."""
    return path if isinstance(path, bytes) else path.encode("utf-8", "surrogateescape")


END_OF_ARCHIVE = bytes(1024)
"""What ends a tar."""


def tar(*entries: TarEntry | bytes) -> bytes:
    """A layer of entries and of members made by hand."""
    output = io.BytesIO()
    for entry in entries:
        if isinstance(entry, bytes):
            output.write(entry)
            continue
        output.write(entry.info().tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        output.write(entry.data + bytes(-len(entry.data) % 512))
    return output.getvalue() + END_OF_ARCHIVE


def differing(wanted: Mapping[bytes, Entry], got: Mapping[bytes, Entry]) -> dict[bytes, set[str]]:
    """The properties in which two trees differ, by path."""
    found: dict[bytes, set[str]] = {path: {"missing"} for path in wanted.keys() - got.keys()}
    found |= {path: {"unexpected"} for path in got.keys() - wanted.keys()}
    for path in wanted.keys() & got.keys():
        names = {
            each.name for each in fields(Entry) if getattr(wanted[path], each.name) != getattr(got[path], each.name)
        }
        if names:
            found[path] = names
    return found
