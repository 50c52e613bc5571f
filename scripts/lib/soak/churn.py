"""Images that come and go, and processes that read the mounts meanwhile."""

import io
import itertools
import os
import random
import shutil
import sys
from contextlib import redirect_stdout
from pathlib import Path

from ociwriter import Layer, Layout, image_config

from imagefs.cli.main import cli

_KEPT = 4
"""How many of the images that came stay for a while."""

STEADY = "soak/steady:1"
"""The image that is always there."""


def make_archive(folder: Path, name: str, number: int) -> Path:
    """An archive of an image of two layers: the lower one all have, the other is like no other number's."""
    work = folder / "work"
    work.mkdir()
    with Layer(work / "base.tar") as base:
        _fill(base, "base", 400, seed=0)
    with Layer(work / "top.tar") as top:
        _fill(top, f"top{number}", 60, seed=number + 1)
    layout = Layout(work / "layout")
    blobs = [layout.add_layer(layer, "gzip") for layer in (base, top)]
    config = image_config({"os": "linux", "architecture": "amd64"}, [base, top])
    manifest = layout.add_image(config, blobs) | {"annotations": {"io.containerd.image.name": f"docker.io/{name}"}}
    archive = folder / f"{number}.tar"
    layout.write(archive, [manifest])
    shutil.rmtree(work)
    return archive


def _fill(layer: Layer, folder: str, files: int, *, seed: int) -> None:
    chance = random.Random(seed)
    layer.directory(folder)
    for number in range(files):
        layer.file(f"{folder}/{number:03}", chance.randbytes(chance.randrange(8_000)))


def come_and_go(store: str, folder: Path) -> None:
    """Import, tag, remove and collect for ever; each image that came is a line on standard output.

    The commands run in this process: to start one for each takes longer than what it does.
    """
    said = io.StringIO()

    def run(*arguments: str) -> None:
        with redirect_stdout(said):
            cli.main(["--store", store, *arguments], standalone_mode=False)

    names: list[str] = []
    for number in itertools.count():
        archive = make_archive(folder, "soak/churn:1", number + 1)
        run("import", "-q", str(archive))
        archive.unlink()
        name = f"docker.io/soak/another:{number}"
        run("tag", "docker.io/soak/churn:1", name)
        run("rm", "docker.io/soak/churn:1")
        names.append(name)
        if len(names) > _KEPT:
            run("rm", names.pop(0))
        run("gc")
        said.truncate(said.seek(0))
        print(name, flush=True)


def walk(mountpoint: str) -> None:
    """Read all of a mount again and again; what is removed meanwhile is gone, and any other error is one."""
    errors = 0

    def note(error: OSError) -> None:
        nonlocal errors
        if not isinstance(error, FileNotFoundError):
            errors += 1
            print(error, file=sys.stderr, flush=True)

    while os.path.ismount(mountpoint) and not errors:
        for folder, _, files in os.walk(mountpoint, onerror=note):
            for name in files:
                try:
                    Path(folder, name).read_bytes()
                except OSError as error:
                    note(error)
    sys.exit(errors > 0 and os.path.ismount(mountpoint))


if __name__ == "__main__":
    if sys.argv[1] == "walk":
        walk(sys.argv[2])
    else:
        come_and_go(sys.argv[2], Path(sys.argv[3]))
