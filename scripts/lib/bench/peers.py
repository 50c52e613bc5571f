"""The programs that unpack archives, each with state of its own in a new folder.

What they leave there stays until the run ends: to remove so many files takes longer than to make them, on some disks.
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine import PATH, ProgramFailed, is_mounted, run, seconds


def umoci(layout: Path, tag: str, work: Path) -> float:
    """Seconds from a layout folder to the first listing of the unpacked tree."""
    work.mkdir()
    bundle = work / "bundle"

    def unpack() -> None:
        run("umoci", "unpack", "--image", f"{layout}:{tag}", bundle)
        _sync(work)
        run("ls", bundle / "rootfs")

    return seconds(unpack)


def ctr(archive: Path, tag: str, work: Path) -> float:
    """Seconds from an archive to the first listing of the mounted tree; containerd is there already."""
    work.mkdir()
    with _containerd(work) as client:
        place = work / "mnt"
        place.mkdir()

        def first_listing() -> None:
            client("images", "import", "--base-name", "localhost/bench", archive)
            _sync(work)
            client("images", "mount", f"localhost/bench:{tag}", place)
            run("ls", place)

        try:
            return seconds(first_listing)
        finally:
            if is_mounted(place):
                run("umount", place)


def podman(archive: Path, work: Path) -> float:
    """Seconds from an archive to the first listing of the mounted tree."""
    work.mkdir()
    # Everything below the folder: podman keeps what it knows of mounts outside its root.
    state: list[str | Path] = ["--root", work / "root", "--runroot", work / "run", "--tmpdir", work / "tmp"]
    state += ["--storage-driver=overlay", "--events-backend=none"]
    environment = {"TMPDIR": str(work)}

    def client(*words: str | Path) -> str:
        return run("podman", *state, *words, environment=environment, shown=f"podman {words[0]}")

    def first_listing() -> None:
        client("load", "--quiet", "--input", archive)
        _sync(work)
        (image,) = json.loads(client("images", "--format", "json"))
        place = client("image", "mount", image["Id"]).strip()
        run("ls", place)

    # It makes its databases when it is first called, which is no part of loading an image.
    client("images")
    try:
        return seconds(first_listing)
    finally:
        client("image", "umount", "--all", "--force")
        if is_mounted(work / "root" / "overlay"):
            run("umount", work / "root" / "overlay")


@contextmanager
def _containerd(work: Path) -> Iterator[Callable[..., str]]:
    address = work / "socket"
    config = work / "config.toml"
    # Only what stores images; CRI would open a port and look for a network.
    config.write_text(f"""version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri"]
root = "{work / "root"}"
state = "{work / "state"}"
[grpc]
address = "{address}"
""")
    with (work / "log").open("wb") as log:
        process = subprocess.Popen(
            ["containerd", "--config", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": PATH},
        )

    def client(*words: str | Path) -> str:
        return run("ctr", "--address", address, *words, shown=f"ctr {words[0]} {words[1]}" if words[1:] else "ctr")

    try:
        for _ in range(150):
            try:
                client("version")
                break
            except ProgramFailed:
                if process.poll() is not None:
                    break
                time.sleep(0.1)
        yield client
    finally:
        process.terminate()
        process.wait(timeout=30)


def _sync(work: Path) -> None:
    run("sync", "-f", work)
