"""The OCI image layout as a tar or a folder (image specification, "Image Layout").

Docker and buildkit write `manifest.json` beside it, or a layout without `index.json`: images that only it lists are
read as docker's.
"""

from contextlib import suppress
from pathlib import Path

import msgspec

from imagefs import digest
from imagefs.archive import docker
from imagefs.archive.importer import ImportOptions
from imagefs.archive.members import ArchiveContents, are_of_a_layout, member_names, printable, read_archive
from imagefs.archive.source import file_name
from imagefs.errors import ArchiveError, InvalidReference, MissingContent, UnknownFormat
from imagefs.oci import layout, mediatypes, reference
from imagefs.oci.model import (
    CONTAINERD_NAME,
    MAX_DOCUMENT,
    REF_NAME,
    Descriptor,
    Index,
    decode,
    encode,
)
from imagefs.store import contents
from imagefs.store.catalog import ImageRecord
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
            archive = read_archive(stream, ingest, only_layout=True)
            named = _images(archive.documents, prefix, ingest)
            named |= _dockers(archive, named, prefix, ingest)
            return ingest.publish(named.items())

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
                index = decode(documents[layout.INDEX_FILE], Index, layout.INDEX_FILE)
                _take_from_folder(folder, [contents.node(target) for target in index.manifests], ingest)
            return ingest.publish(_images(documents, prefix, ingest).items())


def _images(documents: dict[str, bytes], prefix: str, ingest: Ingest) -> dict[str, Descriptor]:
    """The images in `index.json` by name; none where `manifest.json` has to say which there are."""
    if layout.INDEX_FILE not in documents:
        if layout.MANIFEST_FILE in documents:
            return {}
        raise UnknownFormat(f"an OCI layout without {layout.INDEX_FILE}")
    index = decode(documents[layout.INDEX_FILE], Index, layout.INDEX_FILE)
    if not index.manifests and layout.MANIFEST_FILE not in documents:
        raise ArchiveError("it lists no image", member=layout.INDEX_FILE)
    named: dict[str, list[Descriptor]] = {}
    for entry in index.manifests:
        target = Descriptor(
            media_type=_media_type(entry), digest=entry.digest, size=entry.size, platform=entry.platform
        )
        named.setdefault(_name(entry, prefix), []).append(target)
    return {name: _one_target(targets, ingest) for name, targets in named.items()}


def _dockers(
    archive: ArchiveContents, named: dict[str, Descriptor], prefix: str, ingest: Ingest
) -> dict[str, Descriptor]:
    """The images that only `manifest.json` lists: docker from 25 on leaves those that have no name out of the index."""
    if layout.MANIFEST_FILE not in archive.documents:
        return {}
    blobs = ingest.store.blobs
    present = [each for target in named.values() for each in contents.manifests(blobs, target)]
    known = frozenset(each.manifest.config.digest for each in present)
    try:
        found = dict(docker.images(archive, prefix, ingest, known=known))
    except MissingContent:
        if not named:
            raise
        return {}  # the index says what there is; manifest.json has to serve others
    if not found and not named:
        raise ArchiveError("it lists no image", member=layout.MANIFEST_FILE)
    return {name: target for name, target in found.items() if name not in named}


def _one_target(targets: list[Descriptor], ingest: Ingest) -> Descriptor:
    """What a name stands for: where several manifests have it, as some tools list platforms, an index of them."""
    distinct = list({target.digest: target for target in targets}.values())
    if len(distinct) == 1:
        return msgspec.structs.replace(distinct[0], platform=None)
    index = {"schemaVersion": 2, "mediaType": mediatypes.OCI_INDEX, "manifests": distinct}
    blob = ingest.add_bytes(encode(index))
    return Descriptor(media_type=mediatypes.OCI_INDEX, digest=blob.digest, size=blob.size)


def _media_type(entry: Descriptor) -> str:
    if not mediatypes.is_valid(entry.media_type):
        raise ArchiveError(
            f"{entry.digest} has the impossible type {printable(entry.media_type)[:80]}", member=layout.INDEX_FILE
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
        with suppress(InvalidReference):  # the specification lets annotations hold what is no name
            full = reference.of_image(text, entry.digest)
            if full is not None:
                return full
    return f"{prefix}@{entry.digest}"


def _read_document(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_DOCUMENT + 1)
    if len(data) > MAX_DOCUMENT:
        raise ArchiveError(f"a document of more than {MAX_DOCUMENT} bytes", member=path.name)
    return data


def _take_from_folder(folder: Path, waiting: list[contents.Node], ingest: Ingest) -> None:
    """Take in blobs and what they refer to. What the folder lacks, `publish` will miss if it matters."""
    seen: set[contents.Node] = set()
    while waiting:
        node = waiting.pop()
        name = layout.blob_path(node[1])
        path = folder / name
        if node in seen or not path.is_file():
            continue
        seen.add(node)
        try:
            with path.open("rb", buffering=0) as file:
                size, algorithm = path.stat().st_size, digest.algorithm(node[1])
                ingest.add_blob(chunks_of(file), size, label=name, expected=node[1], algorithm=algorithm)
            if node[0] != contents.BLOB:
                ingest.settle()  # a document has to be in its place before it is read
            waiting += contents.parts(ingest.store.blobs, node, subjects=True)
        except ArchiveError as error:
            raise error.locate(member=name) from None
