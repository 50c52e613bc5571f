"""Layer indexes and merged trees, straight from layer tars and without a store."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagefs.layers.builder import IndexBuilder
from imagefs.layers.entry import Entry
from imagefs.layers.index import LayerIndex
from imagefs.layers.scan import scan
from imagefs.streams.chunks import ChunkReader
from imagefs.tree import merge
from imagefs.tree.chain import Chain
from imagefs.tree.context import chain_of

IndexMaker = Callable[[bytes], LayerIndex]


def make_index(path: Path, tar: bytes, piece: int = 1 << 20) -> LayerIndex:
    """Index a layer's tar into a file, in pieces of a size, and open the index."""
    builder = IndexBuilder(path)
    try:
        scan(ChunkReader(tar[start : start + piece] for start in range(0, len(tar), piece)), builder)
    except BaseException:
        builder.abandon()
        raise
    return LayerIndex(path)


@dataclass
class FakeLayer:
    """What a chain needs of an open layer, without a store."""

    tar: bytes
    index: LayerIndex
    diff_id: str
    number: int

    def pread(self, size: int, offset: int) -> bytes:
        return self.tar[offset : offset + size]


def make_chain(folder: Path, *tars: bytes) -> Chain:
    """A chain of layers, lowest first."""
    layers = [
        FakeLayer(tar, make_index(folder / f"layer{number}.sqlite", tar), f"layer {number}", number)
        for number, tar in enumerate(tars)
    ]
    return chain_of(layers)


def shown(chain: Chain) -> dict[str, str]:
    """Everything in a chain by path: "directory", "-> target", or what is in the file."""
    found = {}

    def visit(directory: merge.Merged, prefix: str) -> None:
        for name, merged in chain.listing(directory).items():
            path = f"{prefix}{name.decode()}"
            if merged.entry.is_directory:
                found[path] = "directory"
                visit(merged, f"{path}/")
                continue
            file = chain.follow(merged)
            layer, entry = chain.layers[file.layer], file.entry
            found[path] = (
                f"-> {entry.target.decode()}" if entry.target else layer.pread(entry.size, entry.offset).decode()
            )

    visit(chain.root(), "")
    return found


def entry_at(index: LayerIndex, path: str | bytes) -> Entry | None:
    """What a layer holds at a path; "" is its root."""
    entry: Entry | None = index.root()
    for name in _names(path):
        if entry is None or not entry.is_directory:
            return None
        entry = index.lookup(entry.node, name)
    return entry


def walk_layer(index: LayerIndex) -> dict[str, Entry]:
    """Everything in a layer by path, its root left out."""
    found: dict[str, Entry] = {}

    def visit(node: int, prefix: str) -> None:
        for entry in index.listing(node):
            path = prefix + entry.name.decode("utf-8", "surrogateescape")
            found[path] = entry
            if entry.is_directory:
                visit(entry.node, f"{path}/")

    visit(index.root().node, "")
    return found


def merged_at(layers: Sequence[LayerIndex], path: str | bytes) -> merge.Merged | None:
    """What a path means in a chain, name by name as a kernel asks."""
    merged: merge.Merged | None = merge.root(layers)
    for name in _names(path):
        if merged is None or not merged.entry.is_directory:
            return None
        merged = merge.lookup(layers, merged.parts, name)
    return merged


def walk_merged(layers: Sequence[LayerIndex]) -> Iterator[tuple[str, merge.Merged]]:
    """(path, meaning) of everything in a chain, the root "" first, by listing."""

    def visit(merged: merge.Merged, path: str) -> Iterator[tuple[str, merge.Merged]]:
        yield path, merged
        if merged.entry.is_directory:
            for name, below in merge.listing(layers, merged.parts).items():
                yield from visit(below, f"{path}/{name.decode()}".lstrip("/"))

    yield from visit(merge.root(layers), "")


def _names(path: str | bytes) -> list[bytes]:
    raw = path.encode("utf-8", "surrogateescape") if isinstance(path, str) else path
    return [name for name in raw.split(b"/") if name]
