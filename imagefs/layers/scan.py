"""From a layer's tar to its index: the rules of the image specification's layer chapter.

A layer is scanned by itself. Whiteouts and opaque markers are recorded, not applied: `tree.merge`
applies them to what is below. Within the layer a later entry wins over an earlier one, whiteouts
apply to lower layers only and so have no order.
"""

import os
import stat

from imagefs.errors import ArchiveError, LayerError, LimitExceeded, Truncated
from imagefs.layers.builder import MAX_PATH_DEPTH, IndexBuilder
from imagefs.layers.entry import LayerTotals
from imagefs.layers.writer import NO_PATH, NodeRow
from imagefs.limits import DEFAULTS, Limits
from imagefs.streams import tar
from imagefs.streams.chunks import ChunkReader
from imagefs.streams.tarfields import NANOSECONDS, printable

WHITEOUT = b".wh."
"""The prefix of a whiteout's file name (layer chapter, "Whiteouts")."""

OPAQUE_MARKER = b".wh..wh..opq"
"""The file name of an opaque whiteout (layer chapter, "Opaque Whiteout")."""

_AUFS_METADATA = b".wh..wh."  # AUFS' own files and folders, such as .wh..wh.plnk/: all tools pass them over

MAX_NAME, MAX_TARGET = 255, 4095
"""Linux's bounds, in bytes, of a file name and of a symbolic link's target."""

IMPLIED, IMPLIED_EACH = 100_000, 32
"""How many folders a layer's entries may imply that have no entry of their own, and more for each entry: a few bytes of
a compressed path can imply thousands."""

STEPS, STEPS_EACH = 2_000_000, 128
"""How many names may be looked up one by one to find out where a layer's paths lead, and more for each entry."""

_TYPES = {
    tar.REGULAR: stat.S_IFREG,
    tar.SYMLINK: stat.S_IFLNK,
    tar.CHARACTER: stat.S_IFCHR,
    tar.BLOCK_DEVICE: stat.S_IFBLK,
    tar.DIRECTORY: stat.S_IFDIR,
    tar.FIFO: stat.S_IFIFO,
}
_MAX_ID = (1 << 32) - 2  # the last one means "none" to chown(2)
_MAX_SECONDS = (1 << 63) - 1
_MAX_FILE = (1 << 63) - 1


def scan(source: ChunkReader, builder: IndexBuilder, limits: Limits = DEFAULTS) -> LayerTotals:
    """Index a layer's uncompressed tar, to the end of the stream.

    Raises `LayerError` with the entry's path where the layer is broken, `Truncated`, and `LimitExceeded`.
    """
    entries = paths = nodes_seen = steps_seen = 0
    watch = _Watch(limits)
    try:
        for member in tar.read_members(source):
            # In here and not in a function: there are millions of them.
            entries += 1
            size = len(member.name) + len(member.link)
            paths += size
            if (
                entries > limits.entries
                or size > limits.path_size
                or paths > limits.paths_size
                or member.xattrs
                or builder.nodes > nodes_seen
                or builder.steps > steps_seen
            ):
                nodes_seen, steps_seen = watch.look(member, entries, paths, builder)
            try:
                _enter(member, builder)
            except LayerError as error:
                raise error.locate(member=printable(member.name)) from None
        # What follows the end mark belongs to the layer's bytes all the same.
        for _ in source.rest():
            pass
    except (LayerError, Truncated, LimitExceeded):
        raise
    except ArchiveError as error:
        raise LayerError(error.problem, member=error.member) from None
    return builder.finish(source.position)


class _Watch:
    """What the entries of a layer may add up to."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._xattrs = 0

    def look(self, member: tar.Member, entries: int, paths: int, builder: IndexBuilder) -> tuple[int, int]:
        """See to an entry, with which there are so many; answers up to how many nodes and steps all is well.

        Raises `LimitExceeded` and `LayerError`.
        """
        limits, nodes = self._limits, builder.nodes
        if entries > limits.entries or nodes > limits.entries:
            raise limits.exceeded("entries", "entries, with the folders that they imply")
        if paths > limits.paths_size:
            raise limits.exceeded("paths_size", "bytes of names and links in all")
        if len(member.name) + len(member.link) > limits.path_size:
            raise limits.exceeded("path_size", "bytes of a name and a link")
        enough, steps = IMPLIED + IMPLIED_EACH * entries, STEPS + STEPS_EACH * entries
        if nodes > enough:
            raise LayerError(f"{nodes} files and folders for {entries} entries")
        if builder.steps > steps:
            raise LayerError("its paths are too many, too deep, or lead over too many links")
        if member.xattrs:
            size = sum(len(name) + len(value) for name, value in member.xattrs)
            self._xattrs += size
            name = printable(member.name)
            limits.check("xattr_size", size, "bytes of extended attributes", member=name)
            limits.check("xattrs_size", self._xattrs, "bytes of extended attributes in all", member=name)
        return min(enough, limits.entries), steps


def clean_path(name: bytes) -> bytes:
    """A member name as a path below the layer's root: no `.`, no `..`, no doubled or outer slashes.

    Climbing stops at the root, as it does for the name of a file on Linux. Raises `LayerError` for a name
    that no file can have.
    """
    if b"\0" in name:
        raise LayerError("a name with a NUL byte")
    if b"//" not in name and b"./" not in name and not name.startswith(b"/"):
        path = name[:-1] if name.endswith(b"/") else name
        if path != b"." and path != b".." and not path.endswith(b"/.") and not path.endswith(b"/.."):
            if len(path) > MAX_NAME:
                _check_lengths(path.split(b"/"))
            return path
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    _check_lengths(parts)
    return b"/".join(parts)


def _check_lengths(parts: list[bytes]) -> None:
    if any(len(part) > MAX_NAME for part in parts):
        raise LayerError(f"a file name of more than {MAX_NAME} bytes")
    if len(parts) > MAX_PATH_DEPTH:
        raise LayerError(f"a path of more than {MAX_PATH_DEPTH} names")


def _enter(member: tar.Member, builder: IndexBuilder) -> None:
    kind = _TYPES.get(member.type)
    if kind is None and member.type == tar.VOLUME_LABEL:
        return
    # Nearly all entries are in a directory that was just used, which says that its path is clean.
    directory, _, name = member.name.rpartition(b"/")
    if not name:
        directory, _, name = directory.rpartition(b"/")
    parent = None
    # Names with a dot in front may be whiteouts or no names at all.
    if name[:1] not in b"." and len(name) <= MAX_NAME and 0 not in name:
        parent = builder.remembered_directory(directory)
    if parent is None:
        directory, _, name = clean_path(member.name).rpartition(b"/")
        if directory.startswith(_AUFS_METADATA):
            return
        if name.startswith(WHITEOUT):
            _enter_whiteout(directory, name, builder)
            return
    if kind is None:
        if member.type == tar.HARD_LINK:
            _enter_hard_link(member, directory, name, builder)
            return
        raise LayerError(f"tar entry of type {member.type!r}, which no file has")
    row = _row(member, kind)
    if not name:
        if kind != stat.S_IFDIR:
            raise LayerError("the root of the layer is no directory")
        builder.update_root(row)
        if member.xattrs:
            builder.add_xattrs(builder.directory(b""), member.xattrs)
        return
    node = builder.add(builder.directory(directory) if parent is None else parent, name, row)
    if member.xattrs:
        builder.add_xattrs(node, member.xattrs)
    if member.sparse is not None:
        offset = member.offset
        segments = []
        for start, length in member.sparse:
            segments.append((start, length, offset))
            offset += length
        builder.add_segments(node, segments)


def _enter_whiteout(directory: bytes, name: bytes, builder: IndexBuilder) -> None:
    if name == OPAQUE_MARKER:
        builder.opaque(builder.directory(directory, ghost=True))
        return
    if name.startswith(_AUFS_METADATA):
        return
    hidden = name[len(WHITEOUT) :]
    if hidden in (b"", b".", b".."):
        raise LayerError("a whiteout of no possible file")
    builder.whiteout(builder.directory(directory, ghost=True), hidden)


def _enter_hard_link(member: tar.Member, directory: bytes, name: bytes, builder: IndexBuilder) -> None:
    target = clean_path(member.link)
    if not target or not name:
        raise LayerError("a hard link to or at the root of the layer")
    found, target = builder.find(target)
    parent = builder.directory(directory)
    if found is None:
        # The layers below can have it; the merge will look there.
        node = builder.add(parent, name, _row(member, 0, link_path=bytearray(target)))
        builder.mark_outward(node)
    elif stat.S_ISDIR(found[1]):
        raise LayerError(f"a hard link to a directory, {printable(target)}")
    else:
        builder.add_link(parent, name, *found)


def _row(member: tar.Member, kind: int, *, link_path: bytearray = NO_PATH) -> NodeRow:
    user, group, size = member.uid, member.gid, member.size
    if not (0 <= user <= _MAX_ID and 0 <= group <= _MAX_ID):
        raise LayerError(f"owner {user}:{group} is out of range")
    if size > _MAX_FILE:
        raise LayerError(f"a size of {size} bytes is out of range")
    seconds, nanoseconds = divmod(member.mtime_ns, NANOSECONDS)
    if not -_MAX_SECONDS <= seconds <= _MAX_SECONDS:
        raise LayerError("a time out of range")
    mode = kind | member.mode & 0o7777
    rdev, blocks, target = 0, 0, NO_PATH
    if kind == stat.S_IFREG:
        blocks = (member.stored + 511) // 512
    elif kind == stat.S_IFLNK:
        target = bytearray(member.link)
        if not target or 0 in target or len(target) > MAX_TARGET:
            raise LayerError("a symbolic link with an impossible target")
        size = len(target)
        mode = kind | 0o777  # Linux keeps no other, whatever the header says
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        if not (0 <= member.device_major < 1 << 12 and 0 <= member.device_minor < 1 << 20):
            raise LayerError(f"device {member.device_major}:{member.device_minor} is out of range")
        rdev = os.makedev(member.device_major, member.device_minor)
    return NodeRow(
        0, mode, user, group, size, seconds, nanoseconds, rdev, member.offset, blocks, target, link_path,
        1 if member.xattrs else 0, 0 if member.sparse is None else 1,
    )  # fmt: skip
