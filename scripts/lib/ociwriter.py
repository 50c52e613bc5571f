"""Writes layers and images, and the two kinds of archive that hold them.

    with Layer(path) as layer:       an uncompressed layer, entry by entry
        layer.file(…)
    layout = Layout(directory)       the blobs of an OCI archive; each add_…() returns a descriptor
    layout.write(archive, …)         the archive, with the descriptors of its index.json
    write_docker_archive(archive, …) one image in the older form of `docker save`

The same calls give the same bytes: every time is a constant, and nothing of the machine gets in.
"""

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

Json = dict[str, Any]

TIME = 1_672_531_200
CREATED = "2023-01-01T00:00:00Z"

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


class Layer:
    """An uncompressed layer, which has its diff ID once it is complete."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.diff_id = ""
        self._tar = tarfile.TarFile(path, "w", encoding="utf-8", errors="surrogateescape")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()
        with self.path.open("rb") as file:
            self.diff_id = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"

    def directory(self, name: str, mode: int = 0o755, gid: int = 0) -> None:
        info = _entry(name, tarfile.DIRTYPE, mode)
        info.gid = gid
        self.copy(info)

    def file(
        self,
        name: str | bytes,
        data: bytes = b"",
        mode: int = 0o644,
        *,
        owner: tuple[int, int] = (0, 0),
        mtime: str = "",
        xattrs: Mapping[str, bytes] | None = None,
    ) -> None:
        """Adds a regular file; `mtime` is in seconds, with a fraction."""
        info = _entry(name if isinstance(name, str) else _text(name), tarfile.REGTYPE, mode)
        info.size = len(data)
        info.uid, info.gid = owner
        headers = {f"SCHILY.xattr.{key}": _text(value) for key, value in (xattrs or {}).items()}
        if mtime:
            headers["mtime"] = mtime
        info.pax_headers = headers
        self.copy(info, io.BytesIO(data))

    def symlink(self, name: str, target: str) -> None:
        info = _entry(name, tarfile.SYMTYPE, 0o777)
        info.linkname = target
        self.copy(info)

    def hard_link(self, name: str, target: str, mode: int = 0o644) -> None:
        info = _entry(name, tarfile.LNKTYPE, mode)
        info.linkname = target
        self.copy(info)

    def fifo(self, name: str) -> None:
        self.copy(_entry(name, tarfile.FIFOTYPE, 0o600))

    def character_device(self, name: str, major: int, minor: int) -> None:
        info = _entry(name, tarfile.CHRTYPE, 0o666)
        info.devmajor, info.devminor = major, minor
        self.copy(info)

    def whiteout(self, name: str) -> None:
        """Hides what the layers below have under this name."""
        directory, _, base = name.rpartition("/")
        self.copy(_entry(f"{directory}/.wh.{base}", tarfile.REGTYPE, 0))

    def opaque(self, directory: str) -> None:
        """Hides all that the layers below have in a directory."""
        self.whiteout(f"{directory}/.wh..opq")

    def copy(self, info: tarfile.TarInfo, data: IO[bytes] | None = None) -> None:
        """Adds an entry as another tar has it."""
        # PAX headers are UTF-8. Other names go raw into the header of old, as tar programs do it.
        self._tar.format = tarfile.PAX_FORMAT if _is_utf8(info.name) else tarfile.GNU_FORMAT
        self._tar.addfile(info, data)


class Layout:
    """The blobs of an OCI archive, in a directory until it is written."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self._blobs: dict[str, Path] = {}

    def add(self, data: bytes, media_type: str) -> Json:
        with self._blob() as file:
            file.write(data)
        return self._keep(media_type)

    def add_json(self, value: Json, media_type: str) -> Json:
        return self.add(_dump(value), media_type)

    def add_layer(self, layer: Layer, compression: str) -> Json:
        """Adds a layer, compressed with gzip or zstd."""
        with layer.path.open("rb") as plain, self._blob() as file:
            if compression == "zstd":
                subprocess.run(["zstd", "--quiet", "-3"], stdin=plain, stdout=file, check=True)
            else:
                with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
                    shutil.copyfileobj(plain, packed, 1 << 20)
        return self._keep(f"{LAYER}+{compression}")

    def add_image(self, config: Json, layers: Iterable[Json]) -> Json:
        """Adds the configuration and the manifest of an image whose layers were added before."""
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.add_json(config, CONFIG),
            "layers": list(layers),
        }
        return self.add_json(manifest, MANIFEST)

    def add_index(self, manifests: Iterable[Json]) -> Json:
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(manifests)}
        return self.add_json(index, INDEX)

    def write(self, archive: Path, manifests: Iterable[Json]) -> None:
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(manifests)}
        with _archive(archive) as tar:
            _write(tar, "oci-layout", _dump({"imageLayoutVersion": "1.0.0"}))
            _write(tar, "index.json", _dump(index))
            for directory in ("blobs", "blobs/sha256"):
                tar.addfile(_entry(directory, tarfile.DIRTYPE, 0o755))
            for digest, path in self._blobs.items():
                _write(tar, f"blobs/{digest.replace(':', '/')}", path)

    @contextmanager
    def _blob(self) -> Iterator[IO[bytes]]:
        with (self._directory / "new").open("wb") as file:
            yield file

    def _keep(self, media_type: str) -> Json:
        new = self._directory / "new"
        with new.open("rb") as file:
            digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        self._blobs[digest] = new.rename(self._directory / digest)
        return {"mediaType": media_type, "digest": digest, "size": self._blobs[digest].stat().st_size}


def image_config(
    platform: Json, layers: Iterable[Layer], command: Iterable[str] = ("/bin/sh",), steps: Iterable[str] = ()
) -> Json:
    """The configuration of an image for a platform; `steps` are the commands that made its layers, if they are told."""
    config = platform | {
        "created": CREATED,
        "config": {"Cmd": list(command)},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
    }
    history = [{"created": CREATED, "created_by": step} for step in steps]
    return config | ({"history": history} if history else {})


def write_docker_archive(archive: Path, name: str, config: Json, layers: Iterable[Layer]) -> None:
    """Writes one image with plain layers, and manifest.json last, as docker did before version 25."""
    data = _dump(config)
    config_name = f"{hashlib.sha256(data).hexdigest()}.json"
    layer_names = []
    with _archive(archive) as tar:
        for layer in layers:
            # A folder per layer; docker takes it for an identifier, and the diff ID is as good as any.
            directory = layer.diff_id.removeprefix("sha256:")
            layer_names.append(f"{directory}/layer.tar")
            tar.addfile(_entry(directory, tarfile.DIRTYPE, 0o755))
            _write(tar, f"{directory}/VERSION", b"1.0")
            _write(tar, layer_names[-1], layer.path)
        _write(tar, config_name, data)
        manifest = [{"Config": config_name, "RepoTags": [name], "Layers": layer_names}]
        _write(tar, "manifest.json", json.dumps(manifest).encode())


@contextmanager
def _archive(path: Path) -> Iterator[tarfile.TarFile]:
    # Under its name an archive is complete.
    partial = path.with_name(f".{path.name}.partial")
    try:
        with tarfile.open(partial, "w") as tar:
            yield tar
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write(tar: tarfile.TarFile, name: str, data: bytes | Path) -> None:
    info = _entry(name, tarfile.REGTYPE, 0o644)
    with io.BytesIO(data) if isinstance(data, bytes) else data.open("rb") as file:
        info.size = file.seek(0, io.SEEK_END)
        file.seek(0)
        tar.addfile(info, file)


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, mode, TIME
    return info


def _dump(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
