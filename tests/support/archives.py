"""Builders of layers and image archives, all with `tarfile`.

    layer(directory("etc"), file("etc/passwd", b"root"), whiteout("etc/shadow"))

gives a layer's tar; `OciArchive` and `docker_archive` put layers into archives.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

MTIME = 1_600_000_000
"""The modification time of entries that name none."""

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"

AMD64 = {"architecture": "amd64", "os": "linux"}
ARM64 = {"architecture": "arm64", "os": "linux", "variant": "v8"}


# -- layers


@dataclass(frozen=True)
class TarEntry:
    """One member of a tar that is to be made."""

    name: str
    type: bytes = tarfile.REGTYPE
    data: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: float = MTIME
    link: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: Mapping[str, bytes] = field(default_factory=dict)
    pax: Mapping[str, str] = field(default_factory=dict)

    def info(self) -> tarfile.TarInfo:
        info = tarfile.TarInfo(self.name)
        info.type, info.mode, info.uid, info.gid = self.type, self.mode, self.uid, self.gid
        info.mtime, info.linkname, info.size = self.mtime, self.link, len(self.data)
        info.devmajor, info.devminor = self.device
        info.pax_headers = dict(self.pax)
        for key, value in self.xattrs.items():
            info.pax_headers[f"SCHILY.xattr.{key}"] = value.decode("utf-8", "surrogateescape")
        return info


def file(name: str, data: bytes = b"", **options: Any) -> TarEntry:
    return TarEntry(name, data=data, **options)


def directory(name: str, mode: int = 0o755, **options: Any) -> TarEntry:
    return TarEntry(name, tarfile.DIRTYPE, mode=mode, **options)


def symlink(name: str, target: str, **options: Any) -> TarEntry:
    return TarEntry(name, tarfile.SYMTYPE, link=target, mode=0o777, **options)


def hardlink(name: str, target: str, **options: Any) -> TarEntry:
    return TarEntry(name, tarfile.LNKTYPE, link=target, **options)


def character_device(name: str, major: int, minor: int, **options: Any) -> TarEntry:
    return TarEntry(name, tarfile.CHRTYPE, device=(major, minor), **options)


def block_device(name: str, major: int, minor: int, **options: Any) -> TarEntry:
    return TarEntry(name, tarfile.BLKTYPE, device=(major, minor), **options)


def fifo(name: str, **options: Any) -> TarEntry:
    return TarEntry(name, tarfile.FIFOTYPE, **options)


def whiteout(path: str) -> TarEntry:
    """The whiteout of `path`."""
    folder, slash, name = path.rpartition("/")
    return TarEntry(f"{folder}{slash}.wh.{name}")


def opaque(folder: str) -> TarEntry:
    """The opaque marker of a directory; "" is the root."""
    return TarEntry(f"{folder}/.wh..wh..opq" if folder else ".wh..wh..opq")


def layer(*entries: TarEntry, format: int = tarfile.PAX_FORMAT) -> bytes:
    """An uncompressed layer."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=format, encoding="utf-8", errors="surrogateescape") as archive:
        for entry in entries:
            archive.addfile(entry.info(), io.BytesIO(entry.data))
    return output.getvalue()


def gzip_data(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def zstd_data(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def gzip_layer(*entries: TarEntry) -> bytes:
    return gzip_data(layer(*entries))


def zstd_layer(*entries: TarEntry) -> bytes:
    return zstd_data(layer(*entries))


def uncompressed(blob: bytes) -> bytes:
    """What is in a layer blob, whatever its compression."""
    if blob.startswith(b"\x1f\x8b"):
        return gzip.decompress(blob)
    if blob.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().decompressobj().decompress(blob)
    return blob


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


# -- archives


def tar_of(members: Iterable[tuple[str, bytes]], prefix: str = "") -> bytes:
    """A tar of plain members, each name after `prefix`."""
    return layer(*(file(prefix + name, data) for name, data in members))


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _config(layers: Sequence[bytes], platform: Mapping[str, str], **more: Any) -> bytes:
    diff_ids = [digest_of(uncompressed(each)) for each in layers]
    return _json({**platform, "rootfs": {"type": "layers", "diff_ids": diff_ids}, **more})


class OciArchive:
    """An OCI image layout in the making. The `add_…` methods answer descriptors, which can be changed or nested.

    >>> archive = OciArchive()
    >>> archive.add_image([gzip_layer(file("a"))], tag="1.0")
    >>> archive.add_index([archive.add_manifest([...], AMD64), archive.add_manifest([...], ARM64)], tag="all")
    """

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: list[dict[str, Any]] = []
        self.extra: dict[str, bytes] = {}  # further members by name

    def add_blob(self, data: bytes) -> str:
        """Put a blob in; answers its digest."""
        digest = digest_of(data)
        self.blobs[digest] = data
        return digest

    def add_document(self, document: Any, media_type: str, **fields: Any) -> dict[str, Any]:
        """Put a JSON document in; answers its descriptor."""
        data = _json(document)
        return {"mediaType": media_type, "digest": self.add_blob(data), "size": len(data), **fields}

    def add_manifest(
        self, layers: Sequence[bytes], platform: Mapping[str, str] = AMD64, **config: Any
    ) -> dict[str, Any]:
        """An image manifest with its configuration and layers, unnamed: its descriptor with the platform."""
        data = _config(layers, platform, **config)
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": self.add_blob(data), "size": len(data)},
            "layers": [
                {"mediaType": OCI_LAYER + _suffix(each), "digest": self.add_blob(each), "size": len(each)}
                for each in layers
            ],
        }
        return self.add_document(document, OCI_MANIFEST, platform=dict(platform))

    def name(
        self,
        descriptor: Mapping[str, Any],
        tag: str | None = None,
        name: str | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """An entry in index.json: `tag` in the reference annotation, `name` in containerd's."""
        notes = dict(annotations or {})
        if tag is not None:
            notes[REF_NAME] = tag
        if name is not None:
            notes[CONTAINERD_NAME] = name
        entry = {**descriptor, **({"annotations": notes} if notes else {})}
        self.manifests.append(entry)
        return entry

    def add_image(
        self,
        layers: Sequence[bytes],
        tag: str | None = None,
        name: str | None = None,
        platform: Mapping[str, str] = AMD64,
        annotations: Mapping[str, str] | None = None,
        **config: Any,
    ) -> dict[str, Any]:
        """A manifest with an entry in index.json; answers its entry."""
        return self.name(self.add_manifest(layers, platform, **config), tag, name, annotations)

    def add_nested(self, descriptors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """An index over descriptors, unnamed; indexes may hold indexes."""
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(descriptors)}
        return self.add_document(document, OCI_INDEX)

    def add_index(
        self, descriptors: Sequence[Mapping[str, Any]], tag: str | None = None, name: str | None = None
    ) -> dict[str, Any]:
        """An index with an entry in index.json."""
        return self.name(self.add_nested(descriptors), tag, name)

    def members(self) -> dict[str, bytes]:
        """Every member by name: the documents first, then the blobs by digest, then the extra ones."""
        members = {
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
            "index.json": _json({"schemaVersion": 2, "manifests": self.manifests}),
        }
        for digest in sorted(self.blobs):
            members[f"blobs/{digest.replace(':', '/')}"] = self.blobs[digest]
        return members | self.extra

    def bytes(
        self,
        order: Callable[[list[str]], Iterable[str]] | Iterable[str] | None = None,
        prefix: str = "",
        leave_out: Iterable[str] = (),
    ) -> bytes:
        """The archive. `order` sorts the member names, such as `reversed`; `prefix` such as "./" goes before each."""
        members = self.members()
        for name in leave_out:
            del members[name]
        names = list(members)
        if order is not None:
            names = list(order(names)) if callable(order) else list(order)
        return tar_of([(name, members[name]) for name in names], prefix)

    def write(self, path: Path, **options: Any) -> Path:
        """The archive in a file."""
        path.write_bytes(self.bytes(**options))
        return path

    def write_folder(self, path: Path) -> Path:
        """The layout as a folder."""
        for name, data in self.members().items():
            target = path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        return path


def _suffix(blob: bytes) -> str:
    if blob.startswith(b"\x1f\x8b"):
        return "+gzip"
    return "+zstd" if blob.startswith(b"\x28\xb5\x2f\xfd") else ""


def docker_archive(
    images: Sequence[tuple[Sequence[bytes], Sequence[str] | None]],
    *,
    repeated: str = "once",
    manifest_first: bool = False,
    prefix: str = "",
    platform: Mapping[str, str] = AMD64,
) -> bytes:
    """What `docker save` wrote before it wrote OCI layouts: `<config>.json`, `<id>/layer.tar`, `manifest.json`.

    `images` are (layers, RepoTags or None). A layer that comes again is the same member with `repeated` "once", a
    symbolic link to the first with "symlink" (as docker does), and the same bytes again with "copy".
    """
    members: list[TarEntry] = []
    entries = []
    seen: dict[str, str] = {}
    for number, (layers, tags) in enumerate(images):
        config = _config(layers, platform)
        config_name = f"{digest_of(config)[7:]}.json"
        names = []
        for position, blob in enumerate(layers):
            folder = hashlib.sha256(b"%d %d " % (number, position) + blob).hexdigest()
            name = f"{folder}/layer.tar"
            first = seen.setdefault(digest_of(blob), name)
            if first == name or repeated != "once":
                members += [
                    directory(f"{prefix}{folder}/"),
                    file(f"{prefix}{folder}/VERSION", b"1.0"),
                    file(f"{prefix}{folder}/json", _json({"id": folder})),
                ]
                if first == name or repeated == "copy":
                    members.append(file(prefix + name, blob))
                else:
                    members.append(symlink(prefix + name, f"../{first}"))
            names.append(first if repeated == "once" else name)
        if all(member.name != prefix + config_name for member in members):
            members.append(file(prefix + config_name, config))
        entries.append({"Config": config_name, "RepoTags": None if tags is None else list(tags), "Layers": names})
    manifest = file(f"{prefix}manifest.json", _json(entries))
    members.insert(0 if manifest_first else len(members), manifest)
    return layer(*members)
