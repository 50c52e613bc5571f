"""Where a path of an image comes from: the layer that made what is there, and what was there before.

Going up from the lowest layer, a path is looked up before and after each. A layer made a version where the attributes
come from its own entry, and removed it where it is there before and not after (image specification, layer chapter,
"Whiteouts" and "Applying Changesets"). Layers that have no word on a path are passed over, so it costs what the layers
that do have one cost.
"""

import stat
from collections.abc import Sequence

import msgspec

from imagefs.errors import NoSuchEntry, NotADirectory
from imagefs.layers.entry import IMPLIED, OPAQUE, WHITEOUTS, Entry
from imagefs.layers.index import LayerIndex
from imagefs.tree import merge
from imagefs.tree.chain import Chain, Path

_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "fifo",
}

REMOVED = "removed"
"""What a version is that removes the one before."""

DANGLING = "hard link to nothing"
"""What an entry is that no tool can extract: the path that it is a further name for is not there."""


class Removal(msgspec.Struct, frozen=True):
    """How a layer removed a path: `by` a "whiteout" of `path`, an "opaque directory" that `path` is, or a
    "replacement" of `path`, a directory above it, by something else. `path` has the names from the root.
    """

    by: str
    path: Path


class LinkTarget(msgspec.Struct, frozen=True):
    """The path of an older layer that a hard link is a further name for, and the position (1 the lowest) of the
    layer that has the content, None where nothing is there.
    """

    path: Path
    position: int | None


class Version(msgspec.Struct, frozen=True):
    """What one layer made of a path. `position` counts from 1, the lowest layer.

    `what` is "file", "directory", "symlink", "character device", "block device", "fifo", `DANGLING` or `REMOVED`.
    `entry` has the attributes, of a hard link those of the file behind it; None where it was removed.
    """

    position: int
    what: str
    entry: Entry | None = None
    removal: Removal | None = None
    link: LinkTarget | None = None


def kind(mode: int) -> str:
    """What a file is, by its mode: "file", "directory", "symlink" and so on."""
    return _KINDS.get(stat.S_IFMT(mode), "unknown")


def versions(chain: Chain, path: Path) -> list[Version]:
    """All that layers made of a path, the newest first: the first one tells what is there, or that it was removed.

    Empty where no layer ever had it.
    """
    found: list[Version] = []
    before: merge.Merged | None = None
    for position, view in enumerate(chain.views):
        if not _has_a_word(view, path):
            continue
        after = _walk(chain.prefix(position + 1), path)
        if after is None:
            if before is not None:
                found.append(Version(position + 1, REMOVED, removal=_removal(view, path)))
        elif after.layer == position and _is_a_version(view, path, before, after):
            found.append(_version(chain, after))
        before = after
    return found[::-1]


def _walk(chain: Chain, path: Path) -> merge.Merged | None:
    try:
        return chain.walk(path)
    except (NoSuchEntry, NotADirectory):
        return None


def _has_a_word(view: LayerIndex, path: Path) -> bool:
    """Whether a layer says anything that can make the path another than it is below."""
    entry = view.root()
    for name in path:
        if entry.flags & OPAQUE or (entry.flags & WHITEOUTS and view.hides(entry.node, name)):
            return True
        found = view.lookup(entry.node, name)
        if found is None or not found.is_directory:
            return found is not None
        entry = found
    return True


def _is_a_version(view: LayerIndex, path: Path, before: merge.Merged | None, after: merge.Merged) -> bool:
    """Whether the layer on top made what is there, where it is the one that gives the attributes."""
    if not after.entry.flags & IMPLIED or before is None or not before.entry.is_directory:
        return True
    # A directory that no layer has an entry for: only another one where the one below was removed.
    return bool(path) and _removal(view, path) is not None


def _removal(view: LayerIndex, path: Path) -> Removal | None:
    """What in a layer removes a path of the layers below, the topmost cause first."""
    entry = view.root()
    for depth, name in enumerate(path):
        if entry.flags & OPAQUE:
            return Removal("opaque directory", path[:depth])
        if entry.flags & WHITEOUTS and view.hides(entry.node, name):
            by = "whiteout" if view.whites_out(entry.node, name) else "replacement"
            return Removal(by, path[: depth + 1])
        found = view.lookup(entry.node, name)
        if found is None:
            return None
        if not found.is_directory:
            return Removal("replacement", path[: depth + 1])
        entry = found
    return None


def _version(chain: Chain, merged: merge.Merged) -> Version:
    position, entry = merged.layer + 1, merged.entry
    if entry.link_path is None:
        return Version(position, kind(entry.mode), entry)
    names = tuple(entry.link_path.split(b"/"))
    try:
        file = chain.follow(merged)
    except NoSuchEntry:
        return Version(position, DANGLING, link=LinkTarget(names, None))
    return Version(position, kind(file.entry.mode), file.entry, link=LinkTarget(names, file.layer + 1))


def shown(path: Sequence[bytes]) -> bytes:
    """A path from the image's root, which is `/`."""
    return b"/" + b"/".join(path)
