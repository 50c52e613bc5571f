"""What the rows need: stores, unpacked copies, a squashfs image; each made when it is first asked for."""

import itertools
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchimages import CAPABILITY
from ocireader import OneImage

from bench import mounts
from bench.baselines import uncompress, unpack
from bench.machine import run

# Readers of trees look at the biggest files: the random reads go to so many of them.
BIGGEST = 16


@dataclass(frozen=True)
class Import:
    """What an import answered and what it cost: peak memory, and bytes that went to the disk."""

    name: str
    peak: int
    written: int


@dataclass(frozen=True)
class Stored:
    """A store of ours and the imports that made it, the first one first."""

    store: Path
    imports: tuple[Import, ...]

    @property
    def names(self) -> list[str]:
        """The images' names."""
        return [each.name for each in self.imports]


class Workplace:
    """Folders for the time of a run, with the archives in `images`; copies for peers are in `kept`."""

    def __init__(self, folder: Path, images: Path, kept: Path) -> None:
        self.folder = folder
        self._images = images
        self._kept = kept
        self.mountpoint = folder / "mnt"
        self.mountpoint.mkdir()
        self._numbers = itertools.count()
        self._stores: dict[tuple[str, ...], Stored] = {}

    def fresh(self) -> Path:
        """A path where nothing is yet; what comes to be there goes with the workplace."""
        return self.folder / f"new-{next(self._numbers)}"

    def archive(self, name: str) -> Path:
        """One of the archives of `scripts/samples bench`."""
        return self._images / f"{name}.tar"

    def image(self, name: str) -> OneImage:
        """The image of an OCI archive."""
        return OneImage(self.archive(f"{name}.oci"))

    def ours(self, archive: str, view: str = "rootfs") -> mounts.Mount:
        """Our mount of the one image of an archive, in a store that has no other and is ready when this returns."""
        stored = self.stored(archive)
        return lambda: mounts.ours(stored.store, self.mountpoint, "--view", view, stored.names[0])

    def stored(self, *archives: str) -> Stored:
        """A store with the images of archives, one of each."""
        if archives not in self._stores:
            self._stores[archives] = self._import(archives)
        return self._stores[archives]

    def _import(self, archives: tuple[str, ...]) -> Stored:
        store = self.folder / f"store-{'-'.join(archives)}"
        return Stored(store, tuple(self.watched_import(store, self.archive(archive)) for archive in archives))

    def watched_import(self, store: Path, archive: Path) -> Import:
        """Import an archive and see what that costs."""
        report = self.folder / "costs"
        command = [sys.executable, "-m", "bench.watched", str(report), "--store", str(store), "import", "-q", "--json"]
        rows = json.loads(run(*command, archive, shown="imagefs import"))
        return Import(rows[0]["name"], **json.loads(report.read_text()))

    # -- for peers; kept under the digest of the image that they are made of

    def _keep(self, image: str, name: str, make: Callable[[Path], None]) -> Path:
        digest = self.image(image).descriptor["digest"].removeprefix("sha256:")[:16]
        place = self._kept / f"{image}-{digest}" / name
        if not place.exists():
            unfinished = place.with_name(f"unfinished-{name}")
            if unfinished.is_dir():
                shutil.rmtree(unfinished)
            unfinished.parent.mkdir(parents=True, exist_ok=True)
            make(unfinished)
            unfinished.rename(place)
        return place

    def unpacked(self, image: str) -> Path:
        """The tree of an image without whiteouts, in a folder."""

        def make(place: Path) -> None:
            for layer in self.image(image).layers():
                unpack(layer, place)

        return self._keep(image, "unpacked", make)

    def unpacked_layers(self, image: str) -> list[Path]:
        """Each layer of an image without whiteouts in a folder of its own, the lowest first."""
        layers = self.image(image).layers()

        def make(place: Path) -> None:
            for number, layer in enumerate(layers):
                unpack(layer, place / f"{number}")

        place = self._keep(image, "layers", make)
        return [place / f"{number}" for number in range(len(layers))]

    def tree_tar(self, image: str) -> Path:
        """The tree in one tar, indexed by ratarmount."""
        unpacked = self.unpacked(image)

        def make(place: Path) -> None:
            run("tar", "-C", unpacked, "-cf", place, ".")

        archive = self._keep(image, "tree.tar", make)
        self._index(archive)
        return archive

    def layer_tar(self, image: str) -> Path:
        """The tar of an image's only layer, indexed by ratarmount."""
        (layer,) = self.image(image).layers()
        archive = self._keep(image, "layer.tar", lambda place: uncompress(layer, place))
        self._index(archive)
        return archive

    def _index(self, archive: Path) -> None:
        if not archive.with_name(f"{archive.name}.index.sqlite").exists():
            with mounts.ratarmount(self.mountpoint, archive):
                pass

    def squashfs(self, image: str) -> Path:
        """The tree in a squashfs image, compressed as mksquashfs does where nothing else is said."""
        unpacked = self.unpacked(image)

        def make(place: Path) -> None:
            run("mksquashfs", unpacked, place, "-quiet", "-no-progress")

        return self._keep(image, "squashfs", make)

    def layout(self, image: str) -> Path:
        """The archive untarred."""

        def make(place: Path) -> None:
            place.mkdir()
            run("tar", "-C", place, "-xf", self.archive(f"{image}.oci"))

        return self._keep(image, "layout", make)

    @cached_property
    def capability(self) -> Path:
        """A folder with the file of the image `capable` that has a capability."""
        place = self.folder / "capability"
        *_, top = self.image("capable").layers()
        unpack(top, place)
        os.setxattr(place / "usr/bin/capable", "security.capability", CAPABILITY)
        return place

    @cached_property
    def biggest(self) -> list[tuple[str, int]]:
        """The names and sizes, in bytes, of the big image's biggest files."""
        root = self.unpacked("gzip")
        sizes = [
            (path.stat().st_size, str(path.relative_to(root)))
            for path in root.rglob("*")
            if path.is_file() and not path.is_symlink()
        ]
        return [(name, size) for size, name in sorted(sizes)[-BIGGEST:]]
