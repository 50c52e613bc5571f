"""Docker's image archives: `docker save`, `podman save`, skopeo's `docker-archive`.

The format is docker's image specification v1.2, "Combined Image JSON + Filesystem Changeset Format":
`manifest.json` lists configurations and layers by member name. Blobs are kept as they are; what the archive
does not have is a manifest, and it gets the one that containerd's importer makes of it, byte for byte.
"""

from imagefs.archive.importer import ImportOptions
from imagefs.archive.members import ArchiveContents, are_of_a_layout, member_names, printable, read_archive
from imagefs.archive.source import file_name
from imagefs.errors import ArchiveError, InvalidReference, MissingContent, UnknownFormat
from imagefs.oci import layout, mediatypes, reference
from imagefs.oci.model import Descriptor, DockerManifestEntry, decode, encode
from imagefs.store.catalog import ImageRecord
from imagefs.store.ingest import Ingest, StoredBlob
from imagefs.store.store import Store
from imagefs.streams.chunks import ReadableStream
from imagefs.streams.compression import Compression

_LAYER_TYPES = {
    Compression.NONE: mediatypes.DOCKER_LAYER,
    Compression.GZIP: mediatypes.DOCKER_LAYER_GZIP,
    Compression.ZSTD: mediatypes.DOCKER_LAYER_ZSTD,
}


class DockerImporter:
    """Imports docker archives; made from options, or from a prefix alone: `DockerImporter(prefix="foo/bar")`."""

    def __init__(self, options: ImportOptions | None = None, *, prefix: str | None = None) -> None:
        self._options = options or ImportOptions(prefix)

    def sniff(self, head: bytes) -> bool:
        """Whether the first members are of a docker archive, and not of an OCI layout beside one."""
        names = member_names(head)
        return not are_of_a_layout(names) and any(map(_is_dockers, names))

    def run(self, store: Store, stream: ReadableStream) -> list[ImageRecord]:
        """Import a docker archive. Raises `ArchiveError`."""
        prefix = self._options.prefix_for(file_name(stream))
        with Ingest(store, unpacking=self._options.unpacking, progress=self._options.progress) as ingest:
            contents = read_archive(stream, ingest, only_layout=False)
            return publish(contents, prefix, ingest)


def publish(contents: ArchiveContents, prefix: str, ingest: Ingest) -> list[ImageRecord]:
    """Make a manifest for each image that `manifest.json` lists, and name it. Raises `ArchiveError`."""
    if layout.MANIFEST_FILE not in contents.documents:
        raise UnknownFormat(f"a docker archive without {layout.MANIFEST_FILE}")
    entries = decode(contents.documents[layout.MANIFEST_FILE], list[DockerManifestEntry], layout.MANIFEST_FILE)
    if not entries:
        raise ArchiveError("it lists no image", member=layout.MANIFEST_FILE)
    named: dict[str, Descriptor] = {}
    for entry in entries:
        target = _make_manifest(entry, contents, ingest)
        for name in _names(entry, prefix, target):
            named[name] = target
    return ingest.publish(named.items())


def _names(entry: DockerManifestEntry, prefix: str, target: Descriptor) -> list[str]:
    if not entry.repo_tags:
        return [f"{prefix}@{target.digest}"]
    try:
        return [reference.normalize(tag) for tag in entry.repo_tags]
    except InvalidReference as error:
        raise ArchiveError(str(error), member=layout.MANIFEST_FILE) from None


def _make_manifest(entry: DockerManifestEntry, contents: ArchiveContents, ingest: Ingest) -> Descriptor:
    config = _member(entry.config, contents)
    layers = [_member(name, contents) for name in entry.layers or []]
    manifest = {
        "schemaVersion": 2,
        "mediaType": mediatypes.DOCKER_MANIFEST,
        "config": Descriptor(media_type=mediatypes.DOCKER_CONFIG, digest=config.digest, size=config.size),
        "layers": [
            Descriptor(media_type=_LAYER_TYPES[layer.compression], digest=layer.digest, size=layer.size)
            for layer in layers
        ],
    }
    blob = ingest.add_bytes(encode(manifest))
    return Descriptor(media_type=mediatypes.DOCKER_MANIFEST, digest=blob.digest, size=blob.size)


def _member(name: str, contents: ArchiveContents) -> StoredBlob:
    blob = contents.blob(name)
    if blob is None:
        raise MissingContent(
            f"{layout.MANIFEST_FILE} lists it, but the archive does not have it", member=printable(name)
        )
    return blob


def _is_dockers(name: str) -> bool:
    """Whether a member is one of docker's: its documents, configurations, layers or their folders."""
    first, _, rest = name.partition("/")
    stem = first.removesuffix(".json").removesuffix(".tar")
    is_hex = len(stem) == 64 and all(letter in "0123456789abcdef" for letter in stem)
    return name in (layout.MANIFEST_FILE, "repositories") or (is_hex and rest in ("", "layer.tar", "json", "VERSION"))
