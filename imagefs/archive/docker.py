"""Docker's image archives: `docker save`, `podman save`, skopeo's `docker-archive`, `crane pull`, buildkit, bazel.

The format is docker's image specification v1.2, "Combined Image JSON + Filesystem Changeset Format":
`manifest.json` lists configurations and layers by member name. Blobs are kept as they are; what the archive
does not have is a manifest, and it gets the one that containerd's importer makes of it, byte for byte. Where
there is no `manifest.json` either, it is an archive of the specification's v1.0: see `docker_v1`.
"""

from collections.abc import Iterator

from imagefs.archive import docker_v1
from imagefs.archive.importer import ImportOptions
from imagefs.archive.made import layer_descriptor, make_index, make_manifest
from imagefs.archive.members import (
    ArchiveContents,
    are_of_a_layout,
    is_named_by_digest,
    member_names,
    printable,
    read_archive,
)
from imagefs.archive.naming import Names
from imagefs.archive.source import file_name
from imagefs.digest import Digest
from imagefs.errors import ArchiveError, InvalidReference, MissingContent, UnknownFormat
from imagefs.oci import layout, reference
from imagefs.oci.model import Descriptor, DockerManifestEntry, ImageConfig, decode
from imagefs.store.catalog import ImageRecord
from imagefs.store.ingest import Ingest, StoredBlob
from imagefs.store.store import Store
from imagefs.streams.chunks import ReadableStream


class DockerImporter:
    """Imports docker archives."""

    def __init__(self, options: ImportOptions | None = None) -> None:
        self._options = options or ImportOptions()

    def sniff(self, head: bytes) -> bool:
        """Whether the first members are of a docker archive, and not of an OCI layout beside one."""
        names = member_names(head)
        return not are_of_a_layout(names) and any(map(_is_dockers, names))

    def run(self, store: Store, stream: ReadableStream) -> list[ImageRecord]:
        """Import a docker archive. Raises `ArchiveError`."""
        names = Names(self._options, file_name(stream))
        with self._options.ingest(store) as ingest:
            contents = read_archive(stream, ingest, only_layout=False, limits=ingest.limits)
            if layout.MANIFEST_FILE in contents.documents:
                found = list(images(contents, ingest, compress=self._options.compress))
                if not found:
                    raise ArchiveError("it lists no image", member=layout.MANIFEST_FILE)
            elif docker_v1.image_ids(contents):
                found = list(docker_v1.images(contents, ingest, compress=self._options.compress))
            else:
                raise UnknownFormat(f"a docker archive without {layout.MANIFEST_FILE}")
            named = names.choose(found)
            if names.index_name is not None:
                named |= names.of_index(make_index(found, ingest))
            return ingest.publish(named.items(), labels=self._options.labels)


def images(
    contents: ArchiveContents, ingest: Ingest, *, known: frozenset[Digest] = frozenset(), compress: bool = False
) -> Iterator[tuple[str | None, Descriptor]]:
    """The images in `manifest.json` by name, None for one without; not those whose configuration is `known`.

    A manifest is made for each, with `compress` of compressed layers. Raises `MissingContent` or another
    `ArchiveError`.
    """
    limits = ingest.limits
    entries = decode(contents.documents[layout.MANIFEST_FILE], list[DockerManifestEntry], layout.MANIFEST_FILE)
    count = sum(max(1, len(entry.repo_tags or ())) for entry in entries)
    limits.check("manifests", count, "images", member=layout.MANIFEST_FILE)
    for entry in entries:
        config = _listed(entry.config, contents)
        if config is None:
            raise _missing(entry.config)
        layers = entry.layers or ()
        limits.check("layers", len(layers), "layers of an image", member=layout.MANIFEST_FILE)
        if config.digest not in known:
            target = make_manifest(config, _layers(entry, config, contents, ingest, compress=compress), ingest)
            for name in _names(entry, target):
                yield name, target


def _names(entry: DockerManifestEntry, target: Descriptor) -> list[str] | list[None]:
    try:
        names = [reference.of_image(tag, target.digest) for tag in entry.repo_tags or []]
    except InvalidReference as error:
        raise ArchiveError(str(error), member=layout.MANIFEST_FILE) from None
    return [name for name in names if name is not None] or [None]


def _layers(
    entry: DockerManifestEntry, config: StoredBlob, contents: ArchiveContents, ingest: Ingest, *, compress: bool
) -> list[Descriptor]:
    sources = entry.layer_sources or {}
    diff_ids: list[Digest] = []
    if sources:
        diff_ids = decode(ingest.documents.read(config.digest), ImageConfig, entry.config).rootfs.diff_ids
    layers = []
    for position, name in enumerate(entry.layers or []):
        blob = _listed(name, contents)
        source = sources.get(diff_ids[position]) if position < len(diff_ids) else None
        # A foreign layer may be absent, or here in the form that its source describes, or as a tar of docker's own.
        if source is not None and (blob is None or blob.digest == source.digest):
            layers.append(Descriptor(source.media_type, source.digest, source.size, source.urls))
        elif blob is not None:
            layers.append(layer_descriptor(ingest.compressed(blob) if compress else blob))
        else:
            raise _missing(name)
    return layers


def _listed(name: str, contents: ArchiveContents) -> StoredBlob | None:
    """The content of a member that `manifest.json` lists. Docker on Windows wrote its names with backslashes."""
    return contents.blob(name) or (contents.blob(name.replace("\\", "/")) if "\\" in name else None)


def _missing(name: str) -> MissingContent:
    return MissingContent(f"{layout.MANIFEST_FILE} lists it, but the archive does not have it", member=printable(name))


def _is_dockers(name: str) -> bool:
    """Whether a member is one of docker's: its documents, configurations, layers or their folders."""
    first, _, rest = name.partition("/")
    if rest in ("layer.tar", "json", "VERSION"):
        return is_named_by_digest(first)
    return name in (layout.MANIFEST_FILE, "repositories") or (rest == "" and is_named_by_digest(first))
