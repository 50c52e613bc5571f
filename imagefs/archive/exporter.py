"""Writing archives: an OCI layout, docker's form, or both in one. Equal input gives equal bytes."""

import tarfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from imagefs import digest
from imagefs.archive.plugins import Formats
from imagefs.digest import Digest
from imagefs.errors import ContentMissing
from imagefs.oci import layout, reference
from imagefs.oci.model import encode
from imagefs.store.catalog import ImageRecord
from imagefs.store.selection import Selection, select
from imagefs.store.store import Store
from imagefs.streams.chunks import CHUNK

GROUP = "imagefs.exporters"
"""The entry point group by which other packages plug in exporters: a callable that makes one."""


class WritableStream(Protocol):
    """What is needed of a binary file to write an archive: it is never sought."""

    def write(self, data: bytes, /) -> object:
        """Write all of `data`."""


@runtime_checkable
class Exporter(Protocol):
    """One archive format."""

    def run(self, store: Store, records: Sequence[ImageRecord], stream: WritableStream) -> None:
        """Write the images to the stream, front to back.

        Raises `ContentMissing` where no platform of an image is complete, or a blob is damaged.
        """


EXPORTERS = Formats(
    GROUP,
    {
        "oci+docker": "imagefs.archive.exporter:LayoutExporter",
        "oci": "imagefs.archive.exporter:OciExporter",
        "docker": "imagefs.archive.exporter:DockerExporter",
    },
)
"""The formats that can be asked for by name."""


def make_exporter(name: str) -> Exporter:
    """The exporter that has a name. Raises `ImagefsError` for a name that nothing has."""
    exporter: Exporter = EXPORTERS.factory(name)()
    return exporter


class LayoutExporter:
    """An OCI layout with docker's `manifest.json` in it: every tool loads it."""

    documents: tuple[str, ...] = (layout.LAYOUT_FILE, layout.INDEX_FILE, layout.MANIFEST_FILE)

    def run(self, store: Store, records: Sequence[ImageRecord], stream: WritableStream) -> None:
        """Write the layout, in the order in which a mount lists it."""
        selected = _select(store, records)
        images = [selection.named(record.name) for record, selection in selected]
        contents = {
            layout.LAYOUT_FILE: layout.OCI_LAYOUT,
            layout.INDEX_FILE: layout.index_json(images),
            layout.MANIFEST_FILE: layout.manifest_json(images),
        }
        for name in self.documents:
            _write_bytes(stream, name, contents[name])
        made = {content: document for _, selection in selected for content, document in selection.documents.items()}
        stored = {blob for _, selection in selected for blob in selection.blobs}
        blobs = sorted({*made, *stored})
        for folder in ("blobs/", *sorted({f"blobs/{digest.algorithm(blob)}/" for blob in blobs})):
            stream.write(_header(folder, 0, tarfile.DIRTYPE, 0o755))
        for blob in blobs:
            if blob in made:
                _write_bytes(stream, layout.blob_path(blob), made[blob])
            else:
                _write_blob(store, stream, layout.blob_path(blob), blob)
        stream.write(_END)


class OciExporter(LayoutExporter):
    """An OCI layout and nothing else."""

    documents = (layout.LAYOUT_FILE, layout.INDEX_FILE)


class DockerExporter:
    """A docker archive with uncompressed layers, as `docker save` wrote them for years: any docker loads it."""

    def run(self, store: Store, records: Sequence[ImageRecord], stream: WritableStream) -> None:
        """Write one platform of each image: docker's format knows no more."""
        names: dict[tuple[Digest, tuple[tuple[Digest, Digest], ...]], list[str]] = {}
        for record, selection in _select(store, records):
            main = selection.main
            if main is None:
                raise ContentMissing(f"{record.name}: has no file system, docker's format cannot hold it")
            layers = tuple((diff_id, layer.digest) for diff_id, layer in main.layers)
            tags = names.setdefault((main.manifest.config.digest, layers), [])
            if reference.tag(record.name) is not None:
                tags.append(record.name)
        written: set[str] = set()
        manifest = []
        for (config, layers), tags in names.items():
            manifest.append(
                {
                    "Config": f"{digest.encoded(config)}.json",
                    "RepoTags": tags or None,
                    "Layers": [f"{digest.encoded(diff_id)}.tar" for diff_id, _ in layers],
                }
            )
        _write_bytes(stream, layout.MANIFEST_FILE, encode(manifest))
        for config, layers in names:
            name = f"{digest.encoded(config)}.json"
            if name not in written:
                written.add(name)
                _write_blob(store, stream, name, config)
            for diff_id, blob in layers:
                name = f"{digest.encoded(diff_id)}.tar"
                if name not in written:
                    written.add(name)
                    _write_layer(store, stream, name, diff_id, blob)
        stream.write(_END)


def _select(store: Store, records: Iterable[ImageRecord]) -> list[tuple[ImageRecord, Selection]]:
    selected = []
    for record in sorted(records, key=lambda record: record.name):
        selection = select(store.blobs, record.target)
        if selection is None:
            raise ContentMissing(f"{record.name}: no platform of it is complete in the store")
        selected.append((record, selection))
    return selected


# Two zero blocks end an archive (POSIX.1-2017, pax, "ustar Interchange Format").
_END = bytes(1024)


def _header(name: str, size: int, kind: bytes = tarfile.REGTYPE, mode: int = 0o644) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.mode = size, kind, mode
    return member.tobuf(tarfile.PAX_FORMAT)


def _write_bytes(stream: WritableStream, name: str, data: bytes) -> None:
    stream.write(_header(name, len(data)))
    stream.write(data + bytes(-len(data) % 512))


def _write_blob(store: Store, stream: WritableStream, name: str, blob: Digest) -> None:
    size = store.blobs.size(blob)
    if size is None:
        raise ContentMissing(f"{blob}: the store does not have it")
    _write_checked(stream, name, size, store.blobs.chunks(blob), blob)


def _write_layer(store: Store, stream: WritableStream, name: str, diff_id: Digest, blob: Digest) -> None:
    store.unpack_blob(blob, diff_id)
    descriptor = store.layers.open_tar(diff_id, store.blobs)
    with open(descriptor, "rb", buffering=0) as file:
        size = store.layers.index(diff_id).totals.size
        _write_checked(stream, name, size, iter(lambda: file.read(CHUNK), b""), diff_id)


def _write_checked(stream: WritableStream, name: str, size: int, chunks: Iterator[bytes], content: Digest) -> None:
    """Write a member and hash what was written: a damaged blob must not leave as a good archive."""
    stream.write(_header(name, size))
    check = digest.hasher(digest.algorithm(content))
    written = 0
    for chunk in chunks:
        check.update(chunk)
        stream.write(chunk)
        written += len(chunk)
    if written != size or digest.of_hash(check, digest.algorithm(content)) != content:
        raise ContentMissing(f"{content}: damaged in the store")
    stream.write(bytes(-size % 512))
