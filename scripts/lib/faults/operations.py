"""What is interrupted: commands, the stores that they begin with, and the archives that these are made of."""

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import ociwriter

from faults import running
from imagefs.store.store import Store

OUTPUT = "out"
"""The folder beside a store that files are exported to."""

_AMD64 = {"architecture": "amd64", "os": "linux"}


class Operation(NamedTuple):
    """A command and where it begins.

    `store` names one of the stores of `Stores`. `piped` is the archive on its standard input. `once` tells that the
    command fails where it was done already, `output` that it writes a file.
    """

    name: str
    store: str
    arguments: tuple[str, ...]
    piped: str | None = None
    once: bool = False
    output: bool = False


OPERATIONS = (
    Operation("import oci", "held", ("import", "-q", "ARCHIVES/new.oci.tar")),
    Operation("import docker", "held", ("import", "-q", "ARCHIVES/new.docker.tar")),
    Operation("import from a pipe", "held", ("import", "-q", "-"), piped="new.oci.tar"),
    Operation("import --no-unpack", "held", ("import", "-q", "--no-unpack", "ARCHIVES/new.oci.tar")),
    Operation("import --compress-blobs", "held", ("import", "-q", "--compress-blobs", "ARCHIVES/new.docker.tar")),
    Operation("import over a name", "held", ("import", "-q", "ARCHIVES/moved.oci.tar")),
    Operation("import again", "held", ("import", "-q", "ARCHIVES/held.oci.tar")),
    Operation("import into a new store", "none", ("import", "-q", "ARCHIVES/held.oci.tar")),
    Operation("gc", "garbage", ("gc",)),
    Operation("rm", "held", ("rm", "held:1"), once=True),
    Operation("tag", "held", ("tag", "held:1", "further:1")),
    Operation("tag --force", "held", ("tag", "--force", "held:1", "other:1")),
    Operation("label", "held", ("label", "held:1", "key=value")),
    Operation("prune", "garbage", ("prune", "--force")),
    Operation("content rm", "blob", ("content", "rm", "BLOB"), once=True),
    Operation("unpack on first use", "packed", ("tar", "held:1")),
    Operation("export", "held", ("export", "-o", "OUTPUT/archive.tar", "held:1", "other:1"), output=True),
    Operation(
        "export docker", "packed", ("export", "--format", "docker", "-o", "OUTPUT/archive.tar", "held:1"), output=True
    ),
)


class Place(NamedTuple):
    """A folder with a store and what is written beside it, for one command."""

    folder: Path

    @property
    def store(self) -> Path:
        """The store's folder."""
        return self.folder / "store"

    @property
    def output(self) -> Path:
        """The file that an export writes."""
        return self.folder / OUTPUT / "archive.tar"

    def copy(self, folder: Path) -> "Place":
        """A copy of it all."""
        shutil.copytree(self.folder, folder, copy_function=shutil.copyfile)
        return Place(folder)


class Stores:
    """The archives, and the stores to begin with, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.archives = folder / "archives"
        self._places = folder / "begin"
        self._places.mkdir(parents=True)
        make_archives(self.archives)
        self.loose = ""
        for name, make in (
            ("none", None), ("held", self._held), ("garbage", self._garbage), ("packed", self._packed),
            ("blob", self._blob),
        ):  # fmt: skip
            place = Place(self._places / name)
            (place.folder / OUTPUT).mkdir(parents=True)
            place.output.write_bytes(b"what was here before")
            if make is not None:
                make(place)

    def begin(self, operation: Operation, folder: Path) -> Place:
        """Put the place where an operation begins into a folder, which is made."""
        return Place(self._places / operation.store).copy(folder)

    def arguments(self, operation: Operation, place: Place) -> list[str]:
        """The command line."""
        named = {"ARCHIVES": str(self.archives), "OUTPUT": str(place.output.parent), "BLOB": self.loose}
        return [
            "/".join([named.get(head, head), *rest])
            for head, *rest in (each.split("/") for each in operation.arguments)
        ]

    def stdin(self, operation: Operation) -> Path | None:
        """What is on its standard input."""
        return None if operation.piped is None else self.archives / operation.piped

    def _import(self, place: Place, name: str, *options: str) -> None:
        _done(place, "import", "-q", *options, str(self.archives / name))

    def _held(self, place: Place) -> None:
        self._import(place, "held.oci.tar")
        self._import(place, "other.docker.tar")

    def _packed(self, place: Place) -> None:
        self._import(place, "held.oci.tar", "--no-unpack")

    def _garbage(self, place: Place) -> None:
        """Images that are gone, one without a name, an import that was killed, and a lease that ended on its own."""
        self._import(place, "new.oci.tar")
        _done(place, "rm", "new:1")
        self._held(place)
        self._import(place, "moved.oci.tar")
        dead, ended = "0123456789abcdef", "fedcba9876543210"
        (place.store / "leases" / dead).touch()
        (place.store / "tmp" / f"{dead}.0").mkdir()
        (place.store / "tmp" / f"{dead}.0" / "layer.tar").write_bytes(b"half a layer")
        (place.store / "tmp" / f"{dead}.1").write_bytes(b"half a blob")
        with Store(place.store) as store:
            store.catalog.add_lease(dead, "mount /gone", None)
            store.catalog.add_lease(ended, "import", 1)
            store.catalog.protect(dead, "blob", "sha256:" + "0" * 64)

    def _blob(self, place: Place) -> None:
        self._import(place, "new.oci.tar", "--no-unpack")
        _done(place, "rm", "new:1")
        self._held(place)
        self.loose = f"sha256:{max(_blobs(place) - _blobs(Place(self._places / 'held')))}"


def _blobs(place: Place) -> set[str]:
    return {path.name for path in (place.store / "blobs" / "sha256").iterdir()}


def _done(place: Place, *arguments: str) -> None:
    outcome = running.run(place.store, arguments)
    if outcome.status != 0:
        raise RuntimeError(f"{arguments}: {outcome.err}")


# -- archives


def make_archives(folder: Path) -> None:
    """Make the archives: images of a few layers, of which some are shared and one takes more than one chunk."""
    folder.mkdir()
    work = folder / "work"
    work.mkdir()
    rare = random.Random(1)

    def layer(name: str, size: int, fill: Callable[[ociwriter.Layer], None] = lambda _: None) -> ociwriter.Layer:
        with ociwriter.Layer(work / name) as made:
            made.directory("etc")
            made.file(f"etc/{name}", rare.randbytes(size))
            fill(made)
        return made

    def removing(made: ociwriter.Layer) -> None:
        made.whiteout("etc/base")
        made.symlink("etc/link", "base")
        made.hard_link("etc/further", "etc/top")

    base, top = layer("base", 3_000), layer("top", 2_000, removing)
    large, small, plain = layer("large", 1_200_000), layer("small", 1_000), layer("plain", 1_150_000)
    _oci(folder, work, "held", "held:1", [base, top])
    _oci(folder, work, "new", "new:1", [base, large])
    _oci(folder, work, "moved", "held:1", [base, small])
    ociwriter.write_docker_archive(
        folder / "other.docker.tar", "other:1", ociwriter.image_config(_AMD64, [small]), [small]
    )
    ociwriter.write_docker_archive(
        folder / "new.docker.tar", "new:1", ociwriter.image_config(_AMD64, [small, plain]), [small, plain]
    )
    shutil.rmtree(work)


def _oci(folder: Path, work: Path, file: str, name: str, layers: Sequence[ociwriter.Layer]) -> None:
    layout = ociwriter.Layout(work / f"layout-{file}")
    image = layout.add_image(
        ociwriter.image_config(_AMD64, layers), [layout.add_layer(each, "gzip") for each in layers]
    )
    image["annotations"] = {"io.containerd.image.name": f"docker.io/library/{name}"}
    layout.write(folder / f"{file}.oci.tar", [image])
