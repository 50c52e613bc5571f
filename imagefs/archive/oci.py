"""The OCI image layout as a tar or a folder (image specification, "Image Layout")."""

from pathlib import Path

import msgspec

from imagefs import digest
from imagefs.archive.importer import ImportOptions
from imagefs.archive.members import are_of_a_layout, member_names, printable, read_archive
from imagefs.archive.source import file_name
from imagefs.errors import ArchiveError, InvalidReference, UnknownFormat
from imagefs.oci import layout, mediatypes, reference
from imagefs.oci.model import (
    CONTAINERD_NAME,
    MAX_DOCUMENT,
    REF_NAME,
    Descriptor,
    Index,
    children,
    decode,
    encode,
)
from imagefs.store.catalog import ImageRecord
from imagefs.store.contents import MAX_DEPTH
from imagefs.store.ingest import Ingest
from imagefs.store.store import Store
from imagefs.streams.chunks import ReadableStream, chunks_of


class OciImporter:
    """Imports OCI layouts; made from options, or from a prefix alone: `OciImporter(prefix="foo/bar")`."""

    def __init__(self, options: ImportOptions | None = None, *, prefix: str | None = None) -> None:
        self._options = options or ImportOptions(prefix)

    def sniff(self, head: bytes) -> bool:
        """Whether the first members are of an OCI layout."""
        return are_of_a_layout(member_names(head))

    def run(self, store: Store, stream: ReadableStream) -> list[ImageRecord]:
        """Import a tar of a layout. Raises `ArchiveError`."""
        prefix = self._options.prefix_for(file_name(stream))
        with Ingest(store, unpacking=self._options.unpacking, progress=self._options.progress) as ingest:
            contents = read_archive(stream, ingest, only_layout=True)
            return _publish(contents.documents, prefix, ingest)

    def run_folder(self, store: Store, folder: Path) -> list[ImageRecord]:
        """Import a layout that lies in a folder; of its blobs only those that its index leads to are read."""
        prefix = self._options.prefix_for(folder.resolve().name)
        with Ingest(store, unpacking=self._options.unpacking, progress=self._options.progress) as ingest:
            documents = {}
            for name in (layout.LAYOUT_FILE, layout.INDEX_FILE):
                path = folder / name
                if path.is_file():
                    documents[name] = _read_document(path)
            if layout.INDEX_FILE in documents:
                for target in decode(documents[layout.INDEX_FILE], Index, layout.INDEX_FILE).manifests:
                    _take_from_folder(folder, target, ingest, set(), 0)
            return _publish(documents, prefix, ingest)


def _publish(documents: dict[str, bytes], prefix: str, ingest: Ingest) -> list[ImageRecord]:
    if layout.INDEX_FILE not in documents:
        raise UnknownFormat(f"an OCI layout without {layout.INDEX_FILE}")
    index = decode(documents[layout.INDEX_FILE], Index, layout.INDEX_FILE)
    if not index.manifests:
        raise ArchiveError("it lists no image", member=layout.INDEX_FILE)
    named: dict[str, list[Descriptor]] = {}
    for entry in index.manifests:
        target = Descriptor(
            media_type=_media_type(entry), digest=entry.digest, size=entry.size, platform=entry.platform
        )
        named.setdefault(_name(entry, prefix), []).append(target)
    return ingest.publish([(name, _one_target(targets, ingest)) for name, targets in named.items()])


def _one_target(targets: list[Descriptor], ingest: Ingest) -> Descriptor:
    """What a name stands for: where several manifests have it, as some tools list platforms, an index of them."""
    distinct = list({target.digest: target for target in targets}.values())
    if len(distinct) == 1:
        return msgspec.structs.replace(distinct[0], platform=None)
    index = {"schemaVersion": 2, "mediaType": mediatypes.OCI_INDEX, "manifests": distinct}
    blob = ingest.add_bytes(encode(index))
    return Descriptor(media_type=mediatypes.OCI_INDEX, digest=blob.digest, size=blob.size)


def _media_type(entry: Descriptor) -> str:
    known = mediatypes.INDEXES | mediatypes.MANIFESTS
    if entry.media_type not in known:
        raise ArchiveError(
            f"{entry.digest} has the unknown type {printable(entry.media_type)}", member=layout.INDEX_FILE
        )
    return entry.media_type


def _name(entry: Descriptor, prefix: str) -> str:
    """The name of an index entry: a full one as it is, a bare tag behind the prefix, otherwise the digest."""
    annotations = entry.annotations or {}
    for text in (annotations.get(CONTAINERD_NAME), annotations.get(REF_NAME)):
        if not text:
            continue
        if reference.is_bare_tag(text) and text is annotations.get(REF_NAME):
            return f"{prefix}:{text}"
        try:
            return reference.normalize(text)
        except InvalidReference:
            continue  # the specification lets annotations hold what is no name
    return f"{prefix}@{entry.digest}"


def _read_document(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_DOCUMENT + 1)
    if len(data) > MAX_DOCUMENT:
        raise ArchiveError(f"a document of more than {MAX_DOCUMENT} bytes", member=path.name)
    return data


def _take_from_folder(folder: Path, target: Descriptor, ingest: Ingest, seen: set[str], depth: int) -> None:
    """Take in a blob and what it refers to. What the folder lacks, `publish` will miss if it matters."""
    if target.digest in seen or depth > MAX_DEPTH:
        return
    seen.add(target.digest)
    name = layout.blob_path(target.digest)
    path = folder / name
    if not path.is_file():
        return
    try:
        with path.open("rb", buffering=0) as file:
            blob = ingest.add_blob(
                chunks_of(file),
                path.stat().st_size,
                label=name,
                expected=target.digest,
                algorithm=digest.algorithm(target.digest),
                unpackable=mediatypes.is_layer(target.media_type),
            )
    except ArchiveError as error:
        raise error.locate(member=name) from None
    if target.media_type in mediatypes.INDEXES | mediatypes.MANIFESTS:
        for child in children(target.media_type, ingest.store.blobs.read(blob.digest), name):
            _take_from_folder(folder, child, ingest, seen, depth + 1)
