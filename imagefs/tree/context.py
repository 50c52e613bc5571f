"""Opening a chain: each layer's index in its place.

"In the absence of any whiteout files in a layer changeset, the archive is extracted like a regular tar archive"
(image specification, layer chapter, "Applying Changesets"): the path of an entry may lead over symbolic links of the
layers below. Which it does, only the chain decides, so a layer's own index cannot know. The few layers that this
happens to are indexed once more, over what lies below them.
"""

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from imagefs.digest import Digest
from imagefs.errors import LayerError, NoSuchEntry
from imagefs.layers.builder import IndexBuilder
from imagefs.layers.entry import GHOST, IMPLIED, ROOT, Entry
from imagefs.layers.index import GONE, LayerIndex
from imagefs.layers.scan import scan
from imagefs.limits import DEFAULTS
from imagefs.oci.model import Descriptor
from imagefs.streams.chunks import CHUNK, ChunkReader
from imagefs.tree import merge
from imagefs.tree.chain import Chain
from imagefs.tree.openlayers import Layers, OpenLayer

log = logging.getLogger(__name__)

_REMEMBERED = 1 << 12
"""How many directories of the layers below are remembered."""

_Symlink = Callable[[bytes], bytes | None]
"""The target of a symbolic link at a path, None for anything else."""


def open_chain(layers: Layers, manifest: Sequence[tuple[Digest, Descriptor]]) -> Chain:
    """Open the (diff ID, blob) of a manifest's layers, lowest first. Raises `NotUnpacked`, `ContentMissing`."""
    return chain_of([layers.open(diff_id, blob.digest) for diff_id, blob in manifest])


def chain_of(layers: Sequence[OpenLayer]) -> Chain:
    """Put open layers, lowest first, on each other."""
    views: list[LayerIndex] = []
    for position, layer in enumerate(layers):
        views.append(_in_context(layer, Chain(layers[:position], list(views))))
    return Chain(layers, views)


def _in_context(layer: OpenLayer, below: Chain) -> LayerIndex:
    """The layer's own index, or one made for this chain where the layers below lead its entries elsewhere."""
    lower = _Lower(layer.index, below)
    if not _leads_over_links(layer.index, below, lower):
        return layer.index
    left = lower
    if layer.index.removes_anything():
        # Whiteouts go over links too, and entries find only what they leave of the layers below.
        try:
            removing = _index_over(layer, lower.symlink, lower.symlink)
        except LayerError:
            removing = layer.index
        left = _Lower(layer.index, below, removing=removing)
    try:
        return _index_over(layer, lower.symlink, left.symlink)
    except LayerError as error:
        # Links in circles, or to a file: no tool extracts this. A directory in the link's place shows everything.
        log.warning("%s: not extractable over the layers below it: %s", layer.diff_id, error)
        return layer.index


def _index_over(layer: OpenLayer, as_they_are: _Symlink, as_left: _Symlink) -> LayerIndex:
    # The file has no name any more when this returns: the index lives as long as it is open.
    with tempfile.TemporaryDirectory(prefix="imagefs-") as folder:
        path = Path(folder) / "index.sqlite"
        limits = DEFAULTS.for_known(layer.index.totals.size, layer.index.totals.nodes)
        builder = IndexBuilder(path, lambda name, before: as_they_are(name) if before else as_left(name))
        try:
            scan(ChunkReader(_tar_of(layer)), builder, limits)
        except BaseException:
            builder.abandon()
            raise
        return LayerIndex(path)


def _leads_over_links(index: LayerIndex, below: Chain, lower: "_Lower") -> bool:
    def may_be_link(name: bytes) -> bool:
        # Few names are; to walk to all others would take longer than all the rest of opening an image.
        return any(name in view.link_names for view in below.views)

    if not len(below):
        return False
    for parent, name in index.implied():
        if parent == GONE or (may_be_link(name) and lower.symlink_in(parent, name) is not None):
            return True
    for _, _, path in index.outward_links():
        names = path.split(b"/")[:-1]
        for end, name in enumerate(names, 1):
            if may_be_link(name) and lower.symlink(b"/".join(names[:end])) is not None:
                return True
    return False


def _tar_of(layer: OpenLayer) -> Iterator[bytes]:
    position = 0
    while chunk := layer.pread(CHUNK, position):
        yield chunk
        position += len(chunk)


class _Removals:
    """Of a layer only what it takes away from the layers below, for the merge."""

    def __init__(self, index: LayerIndex) -> None:
        self._index = index
        self.hides = index.whites_out

    def root(self) -> Entry:
        return _as_ghost(self._index.root())

    def lookup(self, parent: int, name: bytes) -> Entry | None:
        entry = self._index.lookup(parent, name)
        return _as_ghost(entry) if entry is not None and entry.is_directory else None


def _as_ghost(entry: Entry) -> Entry:
    values = {field: getattr(entry, field) for field in entry.__struct_fields__}
    return Entry(**{**values, "flags": entry.flags | GHOST | IMPLIED})


class _Lower:
    """What is on the way of an entry of a layer: the layers below, as they are or less what the layer takes away."""

    def __init__(self, index: LayerIndex, below: Chain, *, removing: LayerIndex | None = None) -> None:
        self._index = index
        self._below = below
        self._views: list[merge.LayerNames] = [*below.views, *([_Removals(removing)] if removing is not None else [])]
        self._by_node: dict[int, merge.Merged | None] = {}
        self._last: tuple[list[bytes], list[merge.Merged | None]] = ([], [])

    @cached_property
    def _root(self) -> merge.Merged:
        return merge.root(self._views)

    def symlink(self, path: bytes) -> bytes | None:
        """The target of the symbolic link at a path, None for anything else."""
        names = path.split(b"/")
        # Paths come in the order of a walk: what the last one has in common is not walked again.
        before, known = self._last
        common = 0
        while common < min(len(before), len(names)) and before[common] == names[common]:
            common += 1
        known = known[:common]
        for name in names[common:]:
            known.append(self._step(known[-1] if known else self._root, name))
        self._last = (names, known)
        return _target(known[-1])

    def symlink_in(self, parent: int, name: bytes) -> bytes | None:
        """The same of a name in one of the layer's own directories."""
        return _target(self._step(self._directory(parent), name))

    def _step(self, directory: merge.Merged | None, name: bytes) -> merge.Merged | None:
        if directory is None:
            return None
        found = merge.lookup(self._views, directory.parts, name)
        if found is None or found.entry.link_path is None:
            return found
        try:
            return self._below.follow(found)
        except NoSuchEntry:
            return None

    def _directory(self, node: int) -> merge.Merged | None:
        pending = []
        while node != ROOT and node not in self._by_node:
            place = self._index.place(node)
            if place is None:
                return None
            pending.append((node, place[1]))
            node = place[0]
        found = self._root if node == ROOT else self._by_node[node]
        for below, name in reversed(pending):
            found = self._step(found, name)
            if len(self._by_node) >= _REMEMBERED:
                self._by_node.clear()
            self._by_node[below] = found
        return found


def _target(found: merge.Merged | None) -> bytes | None:
    return None if found is None else found.entry.target
