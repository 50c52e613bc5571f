"""What two trees differ in: two images, two points of one chain of layers, or folders in them.

Both are walked side by side, and what both have from the same layers is passed over, as nothing in it can differ:

* A directory shows the parts that layers have of it. Parts at the bottom of both that are the same directory of the
  same layer say the same of every name; so only names that the parts above them mention can differ, and where there
  are no others, nothing below can.
* What such a part says of a name, and of all below it, it says by itself, with one exception: a hard link to a path
  that its own layer does not hold stands for what the layers below have there. Layers with such links count as the
  same only where all that is below them is the same too.
* Which names are hard links of each other depends on the whole image. It can change only for a file that has, under
  one of its names, another file in the other image; that name is not passed over, and leads to the others.
"""

import stat
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from imagefs.browse.hardlinks import HardLinks
from imagefs.browse.nodes import Place
from imagefs.browse.provenance import kind
from imagefs.errors import NoSuchEntry
from imagefs.layers.entry import WHITEOUTS
from imagefs.streams.chunks import CHUNK
from imagefs.tree import merge
from imagefs.tree.chain import Chain, Path
from imagefs.tree.openlayers import open_file

ASPECTS = ("type", "content", "size", "target", "device", "mode", "owner", "xattrs", "links", "mtime")
"""All that can differ between two files, in the order of a report."""

ADDED, REMOVED, CHANGED = "added", "removed", "changed"

_File = tuple[int, int, int]
"""A file of one of the two: the side, the layer's position, the node."""

_SMALL_HOLE = 4096


class Side(msgspec.Struct, frozen=True):
    """One of the two trees: what is at a path of a chain, over no link, and below it."""

    chain: Chain
    start: Path = ()


class Difference(msgspec.Struct, frozen=True):
    """What has become of a place, whose names count from the start of its side.

    `kind` is `ADDED`, `REMOVED` or `CHANGED`; `what` is what is there now, of what was removed what was there: "file",
    "directory" and so on. `changes` says by aspect what was before and what is now: modes and devices as numbers,
    owners as (uid, gid), sizes in bytes, times as (seconds since the epoch, nanoseconds), extended attributes as
    dictionaries, targets as bytes; of contents, the positions (1 the lowest) of the layers that they come from; of
    links, all the names of the file that both sides have.
    """

    place: Place
    kind: str
    what: str
    changes: dict[str, tuple[Any, Any]] = {}

    @property
    def path(self) -> Path:
        """The names that lead to the place, made when they are asked for: trees can be very deep."""
        return self.place.path()


def differences(a: Side, b: Side, *, ignore: Collection[str] = (), skip: bool = True) -> list[Difference]:
    """All differences, sorted by path, parents first; `ignore` has the aspects that do not count.

    `skip` is there to prove that what is passed over makes no difference. Raises `NoSuchEntry`, `NotADirectory` where a
    side's start is not there, and `OSError` where a layer's data is cut short.
    """
    comparison = _Comparison(a, b, frozenset(ignore), twins(a.chain, b.chain) if skip else {})
    comparison.walk()
    if "links" not in ignore:
        comparison.compare_links()
    return comparison.found


def twins(a: Chain, b: Chain) -> dict[int, int]:
    """Which layers of two chains are the same: by itself a directory of one shows what it shows in the other."""
    diff_ids = [[layer.diff_id for layer in chain.layers] for chain in (a, b)]
    common = 0
    while common < min(len(a), len(b)) and diff_ids[0][common] == diff_ids[1][common]:
        common += 1
    found = {position: position for position in range(common)}
    counts = [Counter(each) for each in diff_ids]
    positions = {diff_id: position for position, diff_id in enumerate(diff_ids[1])}
    for position in range(common, len(a)):
        diff_id = diff_ids[0][position]
        # A layer that an image has twice could be the one for some names of a file and the other one for others.
        if counts[0][diff_id] == counts[1][diff_id] == 1:
            other = positions[diff_id]
            if a.is_shared(position) and b.is_shared(other) and not a.views[position].outward_links():
                found[position] = other
    return found


class _Comparison:
    def __init__(self, a: Side, b: Side, ignore: frozenset[str], twins: dict[int, int]) -> None:
        self.a, self.b = a.chain, b.chain
        self._start = (self._at_start(a), self._at_start(b))
        self._ignore = ignore
        self._twins = twins
        self._links = (HardLinks(a.chain, a.start), HardLinks(b.chain, b.start))
        self._suspects: set[Path] = set()
        self._asked: set[_File] = set()  # whose names are suspects
        self._reported: dict[Path, int] = {}  # of the suspects, those that are in `found`
        self._in_both: dict[_File, frozenset[Path]] = {}
        self.found: list[Difference] = []

    @staticmethod
    def _at_start(side: Side) -> merge.Merged:
        return side.chain.follow(side.chain.walk(side.start))

    # -- the walk

    def walk(self) -> None:
        """Compare everything, in the order of the report: sorted by path, parents first."""
        pending: list[tuple[Place, merge.Merged | None, merge.Merged | None]] = [(Place(), *self._start)]
        while pending:
            place, a, b = pending.pop()
            # A hard link to nothing is nothing, as in a mount.
            a, b = _file(self.a, a), _file(self.b, b)
            if a is not None and b is not None:
                self._compare(place, a, b)
            elif b is not None:
                self.found.append(Difference(place, ADDED, kind(b.entry.mode)))
            elif a is not None:
                self.found.append(Difference(place, REMOVED, kind(a.entry.mode)))
            children = sorted(self._children(_folder(a), _folder(b)), key=lambda child: child[0], reverse=True)
            pending += [(Place(name, place), one, other) for name, one, other in children]

    def _children(
        self, a: merge.Merged | None, b: merge.Merged | None
    ) -> Iterator[tuple[bytes, merge.Merged | None, merge.Merged | None]]:
        """The names in two directories that can differ, with what they mean in each."""
        if a is not None and b is not None and (same := self._same_parts(a, b)):
            mentioned = {*_names(self.a, a.parts[:-same]), *_names(self.b, b.parts[:-same])}
            for name in mentioned:
                yield name, self.a.lookup(a, name), self.b.lookup(b, name)
            return
        before = {} if a is None else self.a.listing(a)
        after = {} if b is None else self.b.listing(b)
        for name in before.keys() | after.keys():
            yield name, before.get(name), after.get(name)

    def _same_parts(self, a: merge.Merged, b: merge.Merged) -> int:
        """How many parts at the bottom of two directories are the same."""
        count = 0
        for one, other in zip(reversed(a.parts), reversed(b.parts), strict=False):
            if self._twins.get(one.layer) != other.layer or one.entry.node != other.entry.node:
                break
            count += 1
        return count

    # -- two files

    def _compare(self, place: Place, a: merge.Merged, b: merge.Merged) -> None:
        if self._twins.get(a.layer) == b.layer and a.entry.node == b.entry.node:
            return
        changes = {
            aspect: (before, after)
            for aspect, before, after in self._aspects(a, b)
            if aspect not in self._ignore and before != after
        }
        what, was = kind(b.entry.mode), kind(a.entry.mode)
        if what == was == "file" and "content" not in self._ignore and not self._same_content(a, b):
            changes["content"] = (a.layer + 1, b.layer + 1)
        if what == was != "directory" and self._suspect(a, b):
            path = place.path()
            self._suspects.add(path)
            if changes:
                self._reported[path] = len(self.found)
        if changes:
            self.found.append(_changed(place, what, changes))

    def _suspect(self, *files: merge.Merged) -> bool:
        """Whether a place's files have several names, in a or in b; those are remembered."""
        found = False
        for side, (chain, file) in enumerate(zip((self.a, self.b), files, strict=True)):
            if chain.has_one_name(file.layer, file.entry):
                continue
            found = True
            key = (side, file.layer, file.entry.node)
            if key not in self._asked:
                self._asked.add(key)
                self._suspects |= self._links[side].names(file)
        return found

    def _aspects(self, a: merge.Merged, b: merge.Merged) -> Iterator[tuple[str, Any, Any]]:
        one, other = a.entry, b.entry
        yield "type", kind(one.mode), kind(other.mode)
        if stat.S_IFMT(one.mode) == stat.S_IFMT(other.mode):
            if one.is_regular:
                yield "size", one.size, other.size
            yield "target", one.target, other.target
            yield "device", one.rdev, other.rdev
        if not one.is_symlink and not other.is_symlink:  # Linux knows no mode of a symbolic link
            yield "mode", stat.S_IMODE(one.mode), stat.S_IMODE(other.mode)
        yield "owner", (one.uid, one.gid), (other.uid, other.gid)
        yield "xattrs", _xattrs(self.a, a), _xattrs(self.b, b)
        yield "mtime", (one.mtime_s, one.mtime_ns), (other.mtime_s, other.mtime_ns)

    def _same_content(self, a: merge.Merged, b: merge.Merged) -> bool:
        one, other = a.entry, b.entry
        if one.size != other.size:
            return False
        layers = self.a.layers[a.layer], self.b.layers[b.layer]
        if layers[0].diff_id == layers[1].diff_id and one.offset == other.offset:
            return True  # the same bytes of the same tar
        pieces = [(0, one.size)]
        if one.sparse and other.sparse:  # where both have a hole, both are zero
            pieces = _merged([*_pieces(self.a, a), *_pieces(self.b, b)])
        first = open_file(layers[0], self.a.views[a.layer], one)
        second = open_file(layers[1], self.b.views[b.layer], other)
        return all(
            first.read(position, min(CHUNK, end - position)) == second.read(position, min(CHUNK, end - position))
            for start, end in pieces
            for position in range(start, end, CHUNK)
        )

    # -- hard links

    def compare_links(self) -> None:
        """Tell the names that are hard links of other names now, of those that both sides have as the same type."""
        further: list[tuple[Path, str, dict[str, tuple[Any, Any]]]] = []
        differ: dict[tuple[_File, _File], bool] = {}
        for path in sorted(self._suspects):
            a, b = (links.find(path) for links in self._links)
            if a is None or b is None or kind(a.entry.mode) != kind(b.entry.mode):
                continue
            keys = (0, a.layer, a.entry.node), (1, b.layer, b.entry.node)
            before, after = self._names_in_both(keys[0], a), self._names_in_both(keys[1], b)
            if keys not in differ:
                differ[keys] = before != after
            if not differ[keys]:
                continue
            changes = {"links": (before, after)}
            if (number := self._reported.get(path)) is not None:
                known = self.found[number]
                self.found[number] = _changed(known.place, known.what, known.changes | changes)
            else:
                further.append((path, kind(b.entry.mode), changes))
        self._insert(further)

    def _insert(self, further: Collection[tuple[Path, str, dict[str, tuple[Any, Any]]]]) -> None:
        """Put what was not found by walking where it belongs; both are sorted by path."""
        merged: list[Difference] = []
        start = 0
        for path, what, changes in further:
            end = bisect_left(self.found, path, start, key=lambda difference: difference.path)
            merged += [*self.found[start:end], _changed(Place.at(path), what, changes)]
            start = end
        self.found = [*merged, *self.found[start:]]

    def _names_in_both(self, key: "_File", file: merge.Merged) -> frozenset[Path]:
        side = key[0]
        if key not in self._in_both:
            other = self._links[1 - side]
            what = kind(file.entry.mode)
            found = ((name, other.find(name)) for name in self._links[side].names(file))
            self._in_both[key] = frozenset(
                name for name, there in found if there is not None and kind(there.entry.mode) == what
            )
        return self._in_both[key]


def _changed(place: Place, what: str, changes: dict[str, tuple[Any, Any]]) -> Difference:
    return Difference(place, CHANGED, what, {aspect: changes[aspect] for aspect in ASPECTS if aspect in changes})


def _file(chain: Chain, merged: merge.Merged | None) -> merge.Merged | None:
    if merged is None or merged.entry.link_path is None:
        return merged
    try:
        return chain.follow(merged)
    except NoSuchEntry:
        return None


def _folder(merged: merge.Merged | None) -> merge.Merged | None:
    return merged if merged is not None and merged.entry.is_directory else None


def _names(chain: Chain, parts: Collection[merge.Part]) -> Iterator[bytes]:
    """All names that parts of a directory say something of."""
    for part in parts:
        view = chain.views[part.layer]
        yield from (entry.name for entry in view.listing(part.entry.node))
        if part.entry.flags & WHITEOUTS:
            yield from view.whiteouts(part.entry.node)


def _xattrs(chain: Chain, merged: merge.Merged) -> dict[bytes, bytes]:
    return chain.views[merged.layer].xattrs(merged.entry.node) if merged.entry.xattrs else {}


def _pieces(chain: Chain, merged: merge.Merged) -> Iterator[tuple[int, int]]:
    """(start, end) of the data of a sparse file."""
    for start, length, _ in chain.views[merged.layer].segments(merged.entry.node):
        yield start, start + length


def _merged(pieces: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same bytes in as few pieces as there can be; a hole that is small is quicker read than passed over."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(pieces):
        if found and start <= found[-1][1] + _SMALL_HOLE:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found
