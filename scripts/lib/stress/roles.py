"""What the processes do, over and over, each until it is told to end."""

import errno
import hashlib
import io
import os
import random
import subprocess
import sys
import tarfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

from imagefs import ImageNotFound, Store, export_file, import_archive, write_tar
from imagefs.errors import InUse
from imagefs.store import gc, naming, removal
from stress.images import content

KEPT = "docker.io/kept/"
"""How names begin that are never taken away."""


def repeat(
    role: Callable[..., None],
    name: str,
    arguments: tuple[object, ...],
    stop: Event,
    reports: "Queue[tuple[str, int, str]]",
) -> None:
    """Play a role, and report how often, and what went wrong."""
    chance = random.Random(name)
    rounds, problem = 0, ""
    try:
        while not stop.is_set():
            role(chance, *arguments)
            rounds += 1
    except Exception:
        problem = traceback.format_exc()
        stop.set()
    reports.put((name, rounds, problem))


def import_some(chance: random.Random, folder: Path, archives: list[Path]) -> None:
    """Import an archive, from a file or from what cannot be read twice."""
    path = chance.choice(archives)
    with Store(folder) as store, path.open("rb") as stream:
        import_archive(store, _Pipe(stream.read) if chance.random() < 0.4 else stream)


class _Pipe:
    """A stream that can be read, and nothing else."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def read(self, size: int = -1) -> bytes:
        return self._read(size)


def collect(chance: random.Random, folder: Path) -> None:
    """Collect garbage, at times with unpacked layers."""
    with Store(folder) as store:
        gc.collect(store, room=chance.choice([None, None, 0, 2_000_000]), dry_run=chance.random() < 0.1)


def rename(chance: random.Random, folder: Path) -> None:
    """Give an image a name, or take one away."""
    with Store(folder) as store, suppress(ImageNotFound, InUse):
        names = [record.name for record in store.images() if not record.name.startswith(KEPT)]
        if not names:
            return
        name = chance.choice(names)
        with store.catalog.transaction(durable=True):
            if chance.random() < 0.5:
                new = f"docker.io/stress/tagged:{chance.randrange(6)}"
                naming.tag(store.catalog, store.blobs, store.find_image(name), [new], force=True)
            else:
                removal.remove(store, removal.find(store, name, force=True))


def export_one(chance: random.Random, folder: Path, target: Path) -> None:
    """Export an image, and see whether each blob in the archive is what its name says."""
    kind = chance.choice(["oci+docker", "docker"])
    with Store(folder) as store, suppress(ImageNotFound):
        records = store.images()
        if not records:
            return
        export_file(store, [chance.choice(records).name], target, exporter=kind)
        with tarfile.open(target) as archive:
            for member in archive:
                directory, _, name = member.name.rpartition("/")
                if directory == "blobs/sha256" and member.isfile():
                    file = archive.extractfile(member)
                    assert file is not None and hashlib.sha256(file.read()).hexdigest() == name, member.name


def read_everything(chance: random.Random, folder: Path, mountpoint: Path) -> None:
    """Mount all images for a while, and read; look into one without a mount, when garbage collection drops more."""
    with mounted(folder, mountpoint):
        for _ in range(chance.randint(1, 6)):
            read_tree(chance, mountpoint / "images", True)
    with Store(folder) as store, suppress(ImageNotFound):
        for record in chance.sample(store.images(), 2):
            unpacked = io.BytesIO()
            write_tar(store, record.name, unpacked)
            unpacked.seek(0)
            with tarfile.open(fileobj=unpacked) as archive:
                for member in archive:
                    file = archive.extractfile(member) if member.isfile() else None
                    path = member.name.removeprefix("./")
                    assert file is None or file.read() == content(path), f"{record.name}:{path} has other content"


@contextmanager
def mounted(store: Path, mountpoint: Path, *images: str) -> Iterator[Path]:
    """A mount of some images, or all, for the time of the block."""
    mountpoint.mkdir(exist_ok=True)
    imagefs(store, "mount", *images, str(mountpoint))
    try:
        yield mountpoint
    finally:
        imagefs(store, "umount", str(mountpoint))


def imagefs(store: Path, *arguments: str) -> None:
    """Run a command. Raises `AssertionError` where it fails, or has anything to say on stderr."""
    command = [sys.executable, "-m", "imagefs", "--store", str(store), *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert not done.returncode and not done.stderr, f"{arguments}: {done.returncode}, {done.stdout}{done.stderr}"


def read_tree(chance: random.Random, root: Path, passing: bool) -> None:
    """Read some of what is mounted. In a mount of images that are `passing`, a file may be gone; else none may."""
    try:
        folders = [Path(place) for place, _, _ in os.walk(root) if Path(place).name.startswith("layer")]
        assert folders or passing, "nothing is mounted"
        for folder in chance.sample(folders, min(len(folders), 4)):
            for file in sorted(folder.iterdir()):
                path = f"{folder.name}/{file.name}"
                assert file.read_bytes() == content(path), f"{file} has other content"
    except OSError as error:
        if not passing or error.errno not in (errno.ENOENT, errno.ESTALE):
            raise
