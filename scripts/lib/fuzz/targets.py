"""What is thrown at: each target takes bytes, and anything that it raises is a finding.

Errors of the package are no findings, and where a function's own words name another error, that is none either.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec
from property import test_merge_model as model
from support.layers import make_index

from fuzz import seeds
from fuzz.choices import Choices
from fuzz.mutation import fix_checksums
from fuzz.whole import Importing, in_memory
from imagefs import digest
from imagefs.archive import docker_v1
from imagefs.browse import address
from imagefs.errors import ArchiveError, ImagefsError
from imagefs.layers.builder import IndexBuilder
from imagefs.layers.entry import ROOT
from imagefs.layers.index import LayerIndex
from imagefs.layers.scan import scan
from imagefs.limits import Expansion, Limits
from imagefs.oci import configuration, documents, history, layout, moments, platform, reference
from imagefs.oci.model import DockerManifestEntry, ImageConfig, Index, Manifest, decode, mentioned
from imagefs.store import filters
from imagefs.streams import tar
from imagefs.streams.chunks import ChunkReader
from imagefs.streams.compression import Compression, detect_around_archive, uncompress

Target = Callable[[bytes], None]

_LIMITS = Limits(layer_size=8 << 20, entries=2000, xattrs_size=1 << 20)
_NODES = 3000
_NOW = datetime(2024, 5, 6, tzinfo=UTC)


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def _tar(data: bytes) -> ChunkReader:
    """The first byte says in what pieces it comes, and whether its checksums are right."""
    head, data = data[:1] or b"\0", data[1:]
    return ChunkReader(_pieces(fix_checksums(data) if head[0] & 1 else data, 1 + 97 * (head[0] >> 1)))


def read_tar(data: bytes) -> None:
    """The tar parser."""
    source = _tar(data)
    with suppress(ArchiveError):
        for number, member in enumerate(tar.read_members(source)):
            assert member.size >= 0 and member.stored >= 0
            if number % 2:
                for _ in source.take(member.stored):
                    pass


def index_layer(data: bytes) -> None:
    """The scan of a layer, the writer of its index, and the reader of that."""
    with tempfile.TemporaryDirectory(dir=in_memory()) as folder:
        path = Path(folder) / "index.sqlite"
        builder = IndexBuilder(path)
        try:
            totals = scan(_tar(data), builder, _LIMITS)
        except ArchiveError:
            builder.abandon()
            return
        with closing(LayerIndex(path)) as index:
            assert index.totals == totals
            _ask(index)


def read_index(data: bytes) -> None:
    """The reader of a layer's index, of which pieces are exchanged for others."""
    choices = Choices(data)
    image = bytearray(choices.one_of(seeds.indexes()))
    while choices:
        at, piece = choices.below(len(image)), choices.some(1 + choices.below(8))
        image[at : at + len(piece)] = piece
    with tempfile.TemporaryDirectory(dir=in_memory()) as folder:
        path = Path(folder) / "index.sqlite"
        path.write_bytes(image)
        with suppress(ImagefsError), closing(LayerIndex(path)) as index:
            _ask(index)


def _ask(index: LayerIndex) -> None:
    """Ask an index all that it can be asked."""
    pending, seen = [index.root().node], {ROOT}
    while pending:
        folder = pending.pop()
        index.whiteouts(folder), index.place(folder), index.directory_path(folder)
        for entry in index.entries(folder):
            assert index.lookup(folder, entry.name) is not None
            index.hides(folder, entry.name), index.whites_out(folder, entry.name), index.names_of(entry.node)
            index.xattrs(entry.node), index.segments(entry.node), index.node(entry.node)
            if entry.is_directory and entry.node not in seen and len(seen) < _NODES:
                seen.add(entry.node)
                pending.append(entry.node)
    list(index.places_of(seen)), index.outward_links(), list(index.implied()), index.removes_anything()
    len(index.link_names)


def read_documents(data: bytes) -> None:
    """The JSON documents."""
    kinds = (Index, Manifest, ImageConfig, list[DockerManifestEntry], docker_v1.V1Image, layout.LayoutVersion)
    for kind in kinds:
        with suppress(ArchiveError):
            found = decode(data, kind, "member")
            if isinstance(found, ImageConfig):
                history.created_by(found.history, 3)
                moments.created(found.created)
                platform.text(found.platform)
    values = configuration.values(data)
    configuration.labels(values)
    mentioned(data)
    with suppress(ArchiveError):
        docker_v1.make_config(data, [], [], "member")
    assert documents.depth(data, 1 << 20) == 0
    deep = documents.depth(data, 0)
    with suppress(msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        assert deep >= _depth(msgspec.json.decode(data))  # of members that come twice, the last one stays


def _depth(value: object) -> int:
    held = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if held is None else 1 + max(map(_depth, held), default=0)


def read_texts(data: bytes) -> None:
    """Names, platforms, times, conditions and addresses."""
    text = data.decode("utf-8", "surrogateescape")
    names: dict[str, str] = {
        "docker.io/library/app:1": seeds.DIGEST,
        "localhost/a/app:2": seeds.DIGEST,
        seeds.DIGEST: seeds.DIGEST,
    }
    for parse in (
        reference.normalize, reference.check_prefix, reference.is_bare_tag, reference.prefix_of_file,
        reference.familiar, reference.repository, reference.tag, partial(reference.find, digests_by_name=names),
        partial(reference.find_all, digests_by_name=names), partial(reference.of_image, content=seeds.DIGEST),
        platform.parse, moments.created, partial(moments.meant, now=_NOW), digest.parse, address.parse,
        lambda text: filters.parse([text]), lambda text: filters.parse(text.split("\n")),
    ):  # fmt: skip
        with suppress(ImagefsError):
            parse(text)
    with suppress(ImagefsError):
        full = reference.normalize(text)
        assert reference.normalize(full) == full
    with suppress(ImagefsError):
        found = platform.parse(text)
        assert platform.parse(platform.text(found)) == found


def merge_layers(data: bytes) -> None:
    """The rules of whiteouts: what is merged at each look equals what is extracted layer by layer."""
    choices = Choices(data)
    kinds = ("file", "directory", "symlink", "whiteout", "opaque", "file")
    stack: list[list[tuple[str, str]]] = [[]]
    while choices and sum(map(len, stack)) < 40:
        what = choices.below(len(kinds) + 1)
        if what == len(kinds):
            stack.append([])
            continue
        places = ["", *model.NAMES, *model.PAIRS] if kinds[what] in ("opaque", "directory") else model.PATHS
        stack[-1].append((kinds[what], choices.one_of(places)))
    tars, expected = model.build(stack[:8])
    with tempfile.TemporaryDirectory(dir=in_memory()) as folder, ExitStack() as stack_of_indexes:
        layers = [
            stack_of_indexes.enter_context(closing(make_index(Path(folder) / f"{number}.sqlite", each)))
            for number, each in enumerate(tars)
        ]
        model.check_listing(layers, expected)
        model.check_identities(layers)


def uncompress_broken(data: bytes) -> None:
    """Compression of every kind."""
    head, data = data[:1] or b"\0", data[1:]
    kind = detect_around_archive(data)
    if kind is Compression.NONE:
        kind = list(Compression)[head[0] % 5]
    limits = Limits(layer_size=4 << 20, ratio_from=1 << 20)
    size = 0
    with suppress(ArchiveError):
        for piece in uncompress(_pieces(data, 1 + 61 * (head[0] >> 3)), kind, Expansion(limits, "layer_size")):
            size += len(piece)
    assert size <= limits.layer_size


def targets() -> dict[str, Target]:
    """All of them by name."""
    return {
        "tar": read_tar,
        "layer": index_layer,
        "index": read_index,
        "import": Importing(),
        "json": read_documents,
        "text": read_texts,
        "whiteout": merge_layers,
        "compression": uncompress_broken,
    }


def forget() -> None:
    """Remove what a run that was killed left behind."""
    for each in Path(in_memory() or tempfile.gettempdir()).glob("imagefs-fuzz-*"):
        shutil.rmtree(each, ignore_errors=True)
