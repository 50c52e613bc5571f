"""The one merge rule: what a name means where several layers have a say (image specification, layer chapter).

All of a layer's whiteouts apply to what is below it, then its entries go on top. So, from the top layer down: the
first entry decides; directories become one as far down as no whiteout, opaque marker or other kind of file
ends them; a whiteout ends the search below its own layer only. A directory that a layer merely implies takes its
attributes from the first layer below that has an entry for it.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import msgspec

from imagefs.layers.entry import GHOST, IMPLIED, OPAQUE, ROOT, WHITEOUTS, Entry


class LayerNames(Protocol):
    """What it takes of a layer to look names up; `layers.index.LayerIndex` has it."""

    def root(self) -> Entry:
        """The root directory."""

    def lookup(self, parent: int, name: bytes) -> Entry | None:
        """One entry of a directory."""

    def hides(self, parent: int, name: bytes) -> bool:
        """Whether a directory hides a name of the layers below."""


class LayerListings(LayerNames, Protocol):
    """What it takes to list directories too."""

    def entries(self, parent: int) -> Iterator[Entry]:
        """All entries of a directory, sorted by name."""

    def whiteouts(self, parent: int) -> frozenset[bytes]:
        """All names that a directory hides."""


class Part(msgspec.Struct, frozen=True, gc=False):
    """One layer's share of a directory: the layer's position in the chain, the directory in it."""

    layer: int
    entry: Entry


class Merged(msgspec.Struct, frozen=True):
    """What a name means: the entry that gives the attributes and its layer's position.

    `parts` are the layers whose content shows, top first, where it is a directory. `identity` is the topmost
    layer that knows the directory: (position, node).
    """

    layer: int
    entry: Entry
    parts: tuple[Part, ...] = ()
    identity: tuple[int, int] = (0, 0)


Candidate = tuple[int, Entry | None, bool]
"""One layer's word on a name: its position, its entry, whether it whites the name out."""


def resolve(candidates: Iterable[Candidate]) -> Merged | None:
    """The merge rule, for one name; candidates come top layer first. None: there is no such name."""
    parts: list[Part] = []
    first: tuple[int, Entry] | None = None
    attributes: tuple[int, Entry] | None = None
    exists = content_ends = False
    for layer, entry, hides in candidates:
        if entry is not None:
            if not entry.is_directory:
                if exists:
                    break
                return Merged(layer, entry, (), (layer, entry.node))
            first = first or (layer, entry)
            if not content_ends:
                parts.append(Part(layer, entry))
            exists = exists or not entry.flags & GHOST
            if attributes is None and not entry.flags & IMPLIED:
                attributes = (layer, entry)
            content_ends = content_ends or bool(entry.flags & OPAQUE)
            if content_ends and attributes is not None:
                break
        if hides:
            break
    if first is None or not exists:
        return None
    layer, entry = attributes or first
    return Merged(layer, entry, tuple(parts), (first[0], first[1].node))


def alone(layer: int, entry: Entry) -> Merged | None:
    """What `resolve` makes of a name that one layer alone has a word on, and so of most names."""
    identity = (layer, entry.node)
    if not entry.is_directory:
        return Merged(layer, entry, (), identity)
    return None if entry.flags & GHOST else Merged(layer, entry, (Part(layer, entry),), identity)


def root(layers: Sequence[LayerNames]) -> Merged:
    """The root of a chain; an image without layers has an empty one."""
    entries = [(position, layers[position].root()) for position in reversed(range(len(layers)))]
    merged = resolve((position, entry, False) for position, entry in entries)
    if merged is not None:
        return merged
    if entries:  # no layer has anything but whiteouts
        position, entry = entries[0]
        return Merged(position, entry, tuple(Part(*each) for each in entries), (position, entry.node))
    nothing = Entry(b"", ROOT, IMPLIED, 0o40755, 0, 0, 0, 0, 0, 0, 0, 1, 0, None, None, 0, 0)
    return Merged(0, nothing, (), (0, ROOT))


def lookup(layers: Sequence[LayerNames], parts: Sequence[Part], name: bytes) -> Merged | None:
    """What a name in a merged directory means."""
    if len(parts) == 1:
        (part,) = parts
        entry = layers[part.layer].lookup(part.entry.node, name)
        return None if entry is None else alone(part.layer, entry)
    return resolve(
        (
            part.layer,
            layers[part.layer].lookup(part.entry.node, name),
            bool(part.entry.flags & WHITEOUTS) and layers[part.layer].hides(part.entry.node, name),
        )
        for part in parts
    )


def listing(layers: Sequence[LayerListings], parts: Sequence[Part]) -> dict[bytes, Merged]:
    """All that a merged directory holds, sorted by name."""
    return dict(entries(layers, parts))


def entries(layers: Sequence[LayerListings], parts: Sequence[Part]) -> Iterator[tuple[bytes, Merged]]:
    """The same one by one, which for a directory of many files takes less memory."""
    if len(parts) == 1:
        (part,) = parts
        for entry in layers[part.layer].entries(part.entry.node):
            meaning = alone(part.layer, entry)
            if meaning is not None:
                yield entry.name, meaning
        return
    words: dict[bytes, list[Candidate]] = {}
    for part in parts:
        hidden = layers[part.layer].whiteouts(part.entry.node) if part.entry.flags & WHITEOUTS else frozenset()
        for entry in layers[part.layer].entries(part.entry.node):
            words.setdefault(entry.name, []).append((part.layer, entry, entry.name in hidden))
            hidden = hidden - {entry.name} if entry.name in hidden else hidden
        for name in hidden:
            words.setdefault(name, []).append((part.layer, None, True))
    for name in sorted(words):
        meaning = resolve(words.pop(name))
        if meaning is not None:
            yield name, meaning
