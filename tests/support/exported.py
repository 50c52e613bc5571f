"""What the tests of `imagefs export` share: a look into archives, stores that lack something, images."""

import io
import json
import tarfile
from pathlib import Path

from imagefs import ImportOptions, Store, import_archive
from support.archives import CONTAINERD_NAME, OCI_MANIFEST, OciArchive, file, gzip_layer
from support.command import Imagefs

S390X = {"architecture": "s390x", "os": "linux"}
WINDOWS = {"architecture": "amd64", "os": "windows"}
FOREIGN_TYPE = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
SHARED = gzip_layer(file("shared", b"s" * 3000))
OWN = gzip_layer(file("own", b"o" * 2000))


def members(path: Path) -> dict[str, bytes]:
    """The files in an archive by name."""
    with tarfile.open(path) as archive:
        return {each.name: archive.extractfile(each).read() for each in archive if each.isfile()}


def blobs(path: Path) -> set[str]:
    return {name.removeprefix("blobs/").replace("/", ":") for name in members(path) if name.startswith("blobs/")}


def entries(path: Path) -> list[dict]:
    return json.loads(members(path)["index.json"])["manifests"]


def dockers(path: Path) -> list[dict]:
    return json.loads(members(path)["manifest.json"])


def take(imagefs: Imagefs, archive: OciArchive, *absent: str, **options) -> None:
    """Import an archive without the content of some digests."""
    left = [f"blobs/{each.replace(':', '/')}" for each in absent]
    with Store(imagefs.store) as store:
        import_archive(store, io.BytesIO(archive.bytes(leave_out=left)), ImportOptions(skip_missing=True, **options))


def rows(imagefs: Imagefs) -> dict[str, tuple[str, list[str]]]:
    return {each["name"]: (each["digest"], each["platforms"]) for each in json.loads(imagefs("images", "--json").out)}


class Multi:
    """An image for several platforms; its first layer is all theirs, the second its platform's."""

    def __init__(self, *platforms: dict[str, str], name: str = "multi:1") -> None:
        self.archive = OciArchive()
        self.layers = [gzip_layer(file("own", repr(each).encode())) for each in platforms]
        self.manifests = [
            self.archive.add_manifest([SHARED, own], each) for own, each in zip(self.layers, platforms, strict=True)
        ]
        self.index = self.archive.add_index(self.manifests, name=name)


def grow(imagefs: Imagefs) -> None:
    """Put an image into the store, and the one that was built on it."""
    archive = OciArchive()
    archive.add_image([SHARED], name="app:1")
    archive.add_image([SHARED, OWN], name="app:2")
    imagefs("import", "-", stdin=archive.bytes())


def windows(name: str) -> tuple[OciArchive, str]:
    """An image whose first layer is a foreign one; answers its manifest's digest, too."""
    archive = OciArchive()
    document = json.loads(archive.blobs.pop(archive.add_manifest([SHARED, OWN], WINDOWS)["digest"]))
    document["layers"][0] |= {"mediaType": FOREIGN_TYPE, "urls": ["https://example.org/layer"]}
    made = archive.add_document(document, OCI_MANIFEST, platform=WINDOWS)
    archive.name(made, name=name)
    return archive, made["digest"]


def config_of(imagefs: Imagefs, name: str) -> str:
    content = json.loads(imagefs("inspect", "--json", name).out)["digest"]
    return json.loads((imagefs.store / "blobs" / content.replace(":", "/")).read_bytes())["config"]["digest"]


def names(path: Path) -> list[str | None]:
    return [each.get("annotations", {}).get(CONTAINERD_NAME) for each in entries(path)]
