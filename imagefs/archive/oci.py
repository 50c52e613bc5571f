"""The OCI image layout as a tar or a folder (image specification, "Image Layout").

Docker and buildkit write `manifest.json` beside it, or a layout without `index.json`: images that only it lists are
read as docker's.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from imagefs import digest
from imagefs.archive import docker
from imagefs.archive.importer import ImportOptions
from imagefs.archive.lookahead import unwanted_layers, unwanted_members
from imagefs.archive.made import make_index
from imagefs.archive.members import ArchiveContents, are_of_a_layout, member_names, printable, read_archive
from imagefs.archive.naming import Names
from imagefs.archive.source import FileReader, file_name
from imagefs.digest import Digest
from imagefs.errors import ArchiveError, InvalidReference, MissingContent, UnknownFormat
from imagefs.limits import Limits
from imagefs.oci import layout, mediatypes, reference
from imagefs.oci.documents import check_depth, check_size
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

_VERSION = "1.0.0"
"""The one version of layouts that there is."""

Found = tuple[str | None, Descriptor]
"""An image and its full name, None where it has none."""


class OciImporter:
    """Imports OCI layouts."""

    def __init__(self, options: ImportOptions | None = None) -> None:
        self._options = options or ImportOptions()

    def sniff(self, head: bytes) -> bool:
        """Whether the first members are of an OCI layout."""
        return are_of_a_layout(member_names(head))

    def run(self, store: Store, stream: ReadableStream) -> list[ImageRecord]:
        """Import a tar of a layout. Raises `ArchiveError`."""
        names = Names(self._options, file_name(stream))
        with self._options.ingest(store) as ingest:
            archive = read_archive(
                stream, ingest, only_layout=True, pass_over=self._pass_over(store), limits=ingest.limits
            )
            found = _images(archive.documents, names, ingest)
            found += _dockers(archive, found, ingest)
            return self._publish(archive.documents, names, found, ingest)

    def _pass_over(self, store: Store) -> Callable[[FileReader], frozenset[str]] | None:
        platforms = self._options.platforms
        return None if platforms is None else lambda source: unwanted_members(source, store.blobs, platforms)

    def run_folder(self, store: Store, folder: Path) -> list[ImageRecord]:
        """Import a layout that lies in a folder; of its blobs only those that its index leads to are read."""
        names = Names(self._options, folder.resolve().name)
        with self._options.ingest(store) as ingest:
            documents = {}
            for name in (layout.LAYOUT_FILE, layout.INDEX_FILE):
                path = folder / name
                if path.is_file():
                    documents[name] = _read_document(path, ingest.limits)
            if layout.INDEX_FILE in documents:
                index = decode(documents[layout.INDEX_FILE], Index, layout.INDEX_FILE)
                _take_from_folder(folder, index.manifests, ingest, self._options.platforms)
            return self._publish(documents, names, _images(documents, names, ingest), ingest)

    def _publish(
        self, documents: dict[str, bytes], names: Names, found: list[Found], ingest: Ingest
    ) -> list[ImageRecord]:
        named = names.choose(found)
        if names.index_name is not None:
            named |= names.of_index(_whole_index(documents, found, ingest))
        return ingest.publish(named.items(), labels=self._options.labels)


def _whole_index(documents: dict[str, bytes], found: list[Found], ingest: Ingest) -> Descriptor:
    """The archive's index as an image, byte for byte; one that is made for an archive without."""
    if layout.INDEX_FILE not in documents:
        return make_index(found, ingest)
    blob = ingest.add_bytes(documents[layout.INDEX_FILE])
    return Descriptor(media_type=mediatypes.OCI_INDEX, digest=blob.digest, size=blob.size)


def _images(documents: dict[str, bytes], names: Names, ingest: Ingest) -> list[Found]:
    """The images in `index.json` by name; none where `manifest.json` has to say which there are."""
    if layout.LAYOUT_FILE in documents:
        version = decode(documents[layout.LAYOUT_FILE], layout.LayoutVersion, layout.LAYOUT_FILE).version
        if version != _VERSION:
            raise ArchiveError(
                f"an OCI layout of version {printable(version)[:20]}, not {_VERSION}", member=layout.LAYOUT_FILE
            )
    if layout.INDEX_FILE not in documents:
        if layout.MANIFEST_FILE in documents:
            return []
        raise UnknownFormat(f"an OCI layout without {layout.INDEX_FILE}")
    index = decode(documents[layout.INDEX_FILE], Index, layout.INDEX_FILE)
    ingest.limits.check("manifests", len(index.manifests), "images", member=layout.INDEX_FILE)
    if not index.manifests and layout.MANIFEST_FILE not in documents:
        raise ArchiveError("it lists no image", member=layout.INDEX_FILE)
    unnamed: list[Found] = []
    named: dict[str, dict[str | None, list[Descriptor]]] = {}
    for entry in index.manifests:
        target = Descriptor(
            media_type=_media_type(entry), digest=entry.digest, size=entry.size, platform=entry.platform
        )
        name = _name(entry, names)
        if name is None:
            unnamed.append((None, msgspec.structs.replace(target, platform=None)))
        else:
            named.setdefault(name, {}).setdefault(_bare_tag(entry), []).append(target)
    found = [
        (each, _one_target(targets, ingest))
        for name, by_tag in named.items()
        for each, targets in _apart(name, by_tag).items()
    ]
    return [*found, *unnamed]


def _apart(name: str, by_tag: dict[str | None, list[Descriptor]]) -> dict[str, list[Descriptor]]:
    """The images of one full name. Umoci gives an image that it derives a new tag, and leaves the full name on it."""
    everything = [target for targets in by_tag.values() for target in targets]
    if None in by_tag or len({target.digest for target in everything}) == 1:
        return {name: everything}
    return {f"{reference.repository(name)}:{tag}": targets for tag, targets in by_tag.items()}


def _bare_tag(entry: Descriptor) -> str | None:
    text = (entry.annotations or {}).get(REF_NAME)
    return text if text is not None and reference.is_bare_tag(text) else None


def _dockers(archive: ArchiveContents, listed: list[Found], ingest: Ingest) -> list[Found]:
    """The images that only `manifest.json` lists: docker from 25 on leaves those that have no name out of the index."""
    if layout.MANIFEST_FILE not in archive.documents:
        return []
    distinct = {target.digest: target for _, target in listed}.values()
    present = [each for target in distinct for each in contents.manifests(ingest.documents, target)]
    known = frozenset(each.manifest.config.digest for each in present)
    try:
        found = list(docker.images(archive, ingest, known=known))
    except MissingContent:
        if not listed:
            raise
        return []  # the index says what there is; manifest.json has to serve others
    if not found and not listed:
        raise ArchiveError("it lists no image", member=layout.MANIFEST_FILE)
    names = {name for name, _ in listed if name is not None}
    return [each for each in found if each[0] not in names]


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


def _name(entry: Descriptor, names: Names) -> str | None:
    """The name of an index entry: a full one as it is, a bare tag behind the prefix, None where there is neither."""
    annotations = entry.annotations or {}
    for text in (annotations.get(CONTAINERD_NAME), annotations.get(REF_NAME)):
        if not text:
            continue
        if reference.is_bare_tag(text) and text is annotations.get(REF_NAME):
            return names.of_tag(text)
        with suppress(InvalidReference):  # the specification lets annotations hold what is no name
            full = reference.of_image(text, entry.digest)
            if full is not None:
                return full
    return None


def _read_document(path: Path, limits: Limits) -> bytes:
    with path.open("rb") as file:
        data = file.read(limits.json_size + 1)
    check_size(len(data), limits, path.name)
    check_depth(data, limits, path.name)
    return data


def _take_from_folder(
    folder: Path, targets: list[Descriptor], ingest: Ingest, platforms: tuple[str, ...] | None
) -> None:
    """Take in blobs and what they refer to. What the folder lacks, `publish` will miss if it matters.

    Large ones come last, when it is known which of them only other platforms have.
    """
    waiting = [contents.node(target) for target in targets]
    seen: set[contents.Node] = set()
    large = []
    while waiting:
        node = waiting.pop()
        path = folder / layout.blob_path(node[1])
        if node in seen or not path.is_file():
            continue
        seen.add(node)
        if node[0] == contents.BLOB and path.stat().st_size > MAX_DOCUMENT:
            large.append(node[1])
            continue
        _take_blob(folder, node[1], ingest)
        if node[0] != contents.BLOB:
            ingest.settle()  # a document has to be in its place before it is read
        with _located(layout.blob_path(node[1])):
            waiting += contents.parts(ingest.documents, node, subjects=True)
    unwanted = frozenset[Digest]()
    if platforms is not None and large:
        unwanted = unwanted_layers(ingest.store.blobs, targets, platforms)
    for content in large:
        if content not in unwanted:
            _take_blob(folder, content, ingest)


def _take_blob(folder: Path, content: Digest, ingest: Ingest) -> None:
    name = layout.blob_path(content)
    with _located(name), (folder / name).open("rb", buffering=0) as file:
        size, algorithm = os.fstat(file.fileno()).st_size, digest.algorithm(content)
        ingest.add_blob(chunks_of(file), size, label=name, expected=content, algorithm=algorithm)


@contextmanager
def _located(member: str) -> Iterator[None]:
    try:
        yield
    except ArchiveError as error:
        raise error.locate(member=member) from None
