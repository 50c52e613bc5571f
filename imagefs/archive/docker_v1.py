"""Docker's image archives up to docker 1.9, in which every layer is an image of its own.

The format is docker's image specification v1.0: a folder for each image, named by its ID, holds `VERSION`, `json`
(the image's configuration) and `layer.tar`; `json` names the image's parent, on whose file system the layer lies;
`repositories` maps names and tags to IDs, and is missing where images were saved by ID. Docker 1.10 and later write
some of this beside a `manifest.json`, which then decides; docker from 25 on, podman and skopeo read it no more.

Nothing in such an archive has a digest. An image gets what docker gave it when it took up digests: a configuration
that is the image's `json` without what described the chain, with the chain's layers as `rootfs` and the chain's
commands as `history`. It is the same byte for byte for images of docker 1.8.3 and later; of older ones docker
dropped fields without a value, which are kept here. Every image of the chain has a layer, however empty. Members
come in any order: they are stored as they stream by, and looked at when all are there.
"""

import re
from collections.abc import Iterator

import msgspec

from imagefs.archive.made import layer_descriptor, make_manifest
from imagefs.archive.members import REPOSITORIES, ArchiveContents, printable
from imagefs.digest import Digest
from imagefs.errors import ArchiveError, InvalidReference, MissingContent
from imagefs.limits import Limits
from imagefs.oci import reference
from imagefs.oci.model import MAX_DOCUMENT, Descriptor, decode, encode
from imagefs.store.ingest import Ingest, StoredBlob

_ID = re.compile(r"[0-9a-f]{64}")
_DESCRIBE_THE_CHAIN = ("id", "parent", "parent_id", "layer_id", "Size", "throwaway")
_STRING_OR_SPACE = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[ \t\r\n]+', re.DOTALL)
# Go's encoder writes these characters so, inside strings; nowhere else does JSON have them.
_ESCAPED = [(letter.encode(), f"\\u{ord(letter):04x}".encode()) for letter in "<>&\u2028\u2029"]


class _ContainerConfig(msgspec.Struct, frozen=True, rename="pascal"):
    """The container that an image was committed from."""

    cmd: str | list[str] | None = None


class V1Image(msgspec.Struct, frozen=True):
    """What of a `json` is looked at."""

    parent: str | None = None
    parent_id: str | None = None
    created: str | None = None
    author: str | None = None
    comment: str | None = None
    container_config: _ContainerConfig | None = None

    @property
    def parent_image(self) -> str | None:
        """The parent's ID; docker 1.9 has it as a digest too."""
        return self.parent or (self.parent_id or "").rpartition(":")[2] or None

    @property
    def history(self) -> dict[str, str]:
        """The image as an entry of a history (image specification, "Image Configuration")."""
        command = self.container_config.cmd if self.container_config is not None else None
        entry = {
            "created": self.created,
            "author": self.author,
            "created_by": command if isinstance(command, str) else " ".join(command or []),
            "comment": self.comment,
        }
        return {key: value for key, value in entry.items() if value}


def image_ids(contents: ArchiveContents) -> list[str]:
    """The IDs of all images in an archive of this form, whole or not; none where it has another."""
    found = set()
    for name in (*contents.blobs, *contents.links):
        image, _, member = name.partition("/")
        if member in ("VERSION", "json", "layer.tar") and _ID.fullmatch(image):
            found.add(image)
    return sorted(found)


def images(
    contents: ArchiveContents, ingest: Ingest, *, compress: bool = False
) -> Iterator[tuple[str | None, Descriptor]]:
    """Every image that has a name, and every one that nobody has as a parent, by name, None for one without.

    A manifest is made for each, with `compress` of compressed layers.

    Raises `MissingContent` for a parent or a layer that is not there, another `ArchiveError` for parents that go in
    a circle, for more of them than a bound allows, and for IDs and names that cannot be any.
    """
    archive = _Archive(contents, ingest, compress=compress)
    tags = _repositories(contents, ingest.limits)
    named = {image for _, image in tags}
    for image in named:
        if image not in archive.parents:
            raise MissingContent(f"the image {printable(image)[:80]} is not in the archive", member=REPOSITORIES)
    bare = sorted(archive.parents.keys() - named - set(archive.parents.values()))
    ingest.limits.check("manifests", len(named) + len(bare), "images")
    made = {image: archive.manifest(image) for image in (*dict.fromkeys(image for _, image in tags), *bare)}
    for name, image in tags:
        yield f"{name}@{made[image].digest}" if reference.tag(name) is None else name, made[image]
    for image in bare:
        yield None, made[image]


def _repositories(contents: ArchiveContents, limits: Limits) -> list[tuple[str, str]]:
    """(name, image ID) in the order of `repositories`; the name has no tag where a digest stood in its place."""
    if REPOSITORIES not in contents.documents:
        return []
    found = []
    repositories = decode(contents.documents[REPOSITORIES], dict[str, dict[str, str]], REPOSITORIES)
    limits.check("manifests", sum(map(len, repositories.values())), "names of images", member=REPOSITORIES)
    for name, tags in repositories.items():
        for tag, image in tags.items():
            try:
                full = reference.normalize(f"{name}@{tag}" if ":" in tag else f"{name}:{tag}")
            except InvalidReference as error:
                raise ArchiveError(str(error), member=REPOSITORIES) from None
            found.append((reference.repository(full) if "@" in full else full, image))
    return found


class _Archive:
    """The images of one archive. Raises `ArchiveError` where their parents do not lead to a first one."""

    def __init__(self, contents: ArchiveContents, ingest: Ingest, *, compress: bool) -> None:
        self._contents, self._ingest, self._compress = contents, ingest, compress
        self.parents = {image: self._describe(image).parent_image for image in image_ids(contents)}
        depths: dict[str, int] = {}
        for image in self.parents:
            self._count_layers(image, depths)

    def _count_layers(self, image: str, depths: dict[str, int]) -> None:
        chain: dict[str, None] = {}
        step: str | None = image
        while step is not None and step not in depths:
            chain[step] = None
            parent = self.parents[step]
            if parent is not None and parent not in self.parents:
                raise MissingContent(
                    f"its parent {printable(parent)[:80]} is not in the archive", member=f"{step}/json"
                )
            if parent in chain:
                raise ArchiveError("its parents go in a circle", member=f"{step}/json")
            step = parent
        depth = depths[step] if step is not None else 0
        for each in reversed(chain):
            depth += 1
            self._ingest.limits.check("layers", depth, "images on each other", member=f"{each}/json")
            depths[each] = depth

    def _layer(self, image: str) -> StoredBlob:
        blob = self._contents.blob(f"{image}/layer.tar")
        if blob is None:
            raise MissingContent("the archive does not have it", member=f"{image}/layer.tar")
        return blob

    def _json(self, image: str) -> bytes:
        data = self._contents.document(f"{image}/json", self._ingest.store.blobs)
        if data is None:
            raise MissingContent("the archive does not have it", member=f"{image}/json")
        return data

    def _describe(self, image: str) -> V1Image:
        return decode(self._json(image), V1Image, f"{image}/json")

    def manifest(self, image: str) -> Descriptor:
        """Make the manifest and the configuration of an image."""
        chain = [image]
        while (parent := self.parents[chain[-1]]) is not None:
            chain.append(parent)
        layers, diff_ids, history, size = [], [], [], 0
        for each in reversed(chain):
            layer = self._layer(each)
            layers.append(layer_descriptor(self._ingest.compressed(layer) if self._compress else layer))
            try:
                diff_ids.append(self._ingest.diff_id(layer))
            except ArchiveError as error:
                raise error.locate(member=f"{each}/layer.tar") from None
            history.append(self._describe(each).history)
            size += len(encode(history[-1]))
            if size > MAX_DOCUMENT:
                raise ArchiveError(f"a history of more than {MAX_DOCUMENT} bytes", member=f"{image}/json")
        config = self._ingest.add_bytes(make_config(self._json(image), diff_ids, history, f"{image}/json"))
        return make_manifest(config, layers, self._ingest)


def make_config(image: bytes, diff_ids: list[Digest], history: list[dict[str, str]], member: str) -> bytes:
    """The configuration of an image whose `json` is `image`: equal input gives equal bytes, those that docker made.

    Its values are kept as they are written but for white space, its keys sorted. Docker wrote no architecture and no
    operating system as long as it ran on one of each. Raises `ArchiveError` that names `member`.
    """
    values = decode(image, dict[str, msgspec.Raw], member)
    document = {"architecture": b'"amd64"', "os": b'"linux"'} | {key: bytes(value) for key, value in values.items()}
    for key in _DESCRIBE_THE_CHAIN:
        document.pop(key, None)
    document["rootfs"] = encode({"type": "layers", "diff_ids": diff_ids})
    document["history"] = encode(history)
    config = b",".join(encode(key) + b":" + _compact(value) for key, value in sorted(document.items()))
    for plain, escaped in _ESCAPED:
        config = config.replace(plain, escaped)
    if len(config) > MAX_DOCUMENT:
        raise ArchiveError(f"a configuration of {len(config)} bytes, more than {MAX_DOCUMENT}", member=member)
    return b"{" + config + b"}"


def _compact(value: bytes) -> bytes:
    return _STRING_OR_SPACE.sub(lambda found: found[0] if found[0].startswith(b'"') else b"", value)
