"""The measurements behind `scripts/bench`: each row is a ratio of two medians of the same run.

Cold means that the serving process is new and the page cache was dropped, for every contestant alike. Baselines that
write end with a `sync` of what they wrote, as an import does. Needs root, to drop caches and to mount.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
IMAGEFS = (sys.executable, "-m", "imagefs")
RATARMOUNT = str(Path(sys.executable).with_name("ratarmount"))


def run(*command: str | Path, cwd: Path | None = None) -> None:
    subprocess.run([str(part) for part in command], check=True, cwd=cwd, stdout=subprocess.DEVNULL)


def drop_caches() -> None:
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


def seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class Bench:
    """The prepared images, copies and daemons, and the contestants as methods."""

    def __init__(self, folder: Path, archive: Path) -> None:
        self.folder = folder
        self.archive = archive
        self.store = folder / "store"
        self.mountpoint = folder / "mnt"
        self.mountpoint.mkdir()

    def prepare_trees(self) -> None:
        """An unpacked copy for fuse-overlayfs, one tar of the tree for ratarmount, a store for imagefs."""
        run(*IMAGEFS, "--store", self.store, "import", "-q", self.archive)
        self.image = subprocess.run(
            [*IMAGEFS, "--store", str(self.store), "images", "--json"], check=True, capture_output=True, text=True
        )
        self.name = json.loads(self.image.stdout)[0]["name"]
        self.unpacked = self.folder / "unpacked"
        with self.imagefs_mount("--view", "rootfs"):
            run("cp", "-a", self.mountpoint, self.unpacked)
            self.tree_tar = self.folder / "tree.tar"
            run("tar", "-C", self.mountpoint, "-cf", self.tree_tar, ".")

    # -- import

    def imagefs_import(self) -> float:
        store = self.folder / "import-store"
        taken = seconds(lambda: run(*IMAGEFS, "--store", store, "import", "-q", self.archive))
        shutil.rmtree(store)
        return taken

    def umoci_unpack(self) -> float:
        bundle, layout = self.folder / "bundle", self.folder / "layout"
        layout.mkdir()
        run("tar", "-C", layout, "-xf", self.archive)
        tag = json.loads((layout / "index.json").read_text())["manifests"][0]["annotations"][
            "org.opencontainers.image.ref.name"
        ].rsplit(":", 1)[-1]
        os.sync()

        def work() -> None:
            run("umoci", "unpack", "--image", f"{layout}:{tag}", bundle)
            run("sync", "-f", bundle)

        taken = seconds(work)
        shutil.rmtree(bundle)
        shutil.rmtree(layout)
        return taken

    def ctr_import(self) -> float:
        with containerd(self.folder / "containerd") as address:

            def work() -> None:
                run("ctr", "-a", address, "images", "import", "--snapshotter", "native", self.archive)
                run("sync", "-f", self.folder)

            return seconds(work)

    # -- the tree, cold

    @contextmanager
    def imagefs_mount(self, *options: str) -> Iterator[Path]:
        run(*IMAGEFS, "--store", self.store, "mount", *options, self.name, self.mountpoint)
        try:
            yield self.mountpoint
        finally:
            run(*IMAGEFS, "umount", self.mountpoint)

    @contextmanager
    def overlay_mount(self) -> Iterator[Path]:
        empty = self.folder / "empty"
        empty.mkdir(exist_ok=True)
        run("fuse-overlayfs", "-o", f"lowerdir={self.unpacked}:{empty}", self.mountpoint)
        try:
            yield self.mountpoint
        finally:
            run("fusermount3", "-u", self.mountpoint)

    @contextmanager
    def ratarmount_mount(self) -> Iterator[Path]:
        # Its index is made before the clock starts, as ours is made at import.
        run(RATARMOUNT, self.tree_tar, self.mountpoint)
        try:
            yield self.mountpoint
        finally:
            run(RATARMOUNT, "-u", self.mountpoint)

    def cold(self, mount: Callable[[], object], command: str) -> float:
        drop_caches()
        with mount() as root:  # type: ignore[attr-defined]
            return seconds(lambda: run("sh", "-c", command, cwd=root))

    # -- out of the tree, cold, with and without a mount

    def imagefs_flatten(self) -> float:
        drop_caches()
        command = f"'{IMAGEFS[0]}' -m imagefs --store '{self.store}' tar '{self.name}' | cat >/dev/null"
        return seconds(lambda: run("sh", "-c", command))

    def imagefs_copy(self) -> float:
        return self._copy(lambda target: run(*IMAGEFS, "--store", self.store, "cp", f"{self.name}:/", target))

    def overlay_copy(self) -> float:
        def work(target: Path) -> None:
            with self.overlay_mount() as root:
                run("cp", "-a", f"{root}/.", target)

        return self._copy(work)

    def _copy(self, work: Callable[[Path], None]) -> float:
        target = self.folder / "copy"
        target.mkdir()
        drop_caches()

        def copy() -> None:
            work(target)
            run("sync", "-f", target)

        taken = seconds(copy)
        shutil.rmtree(target)
        return taken


@contextmanager
def containerd(folder: Path) -> Iterator[str]:
    folder.mkdir()
    address = str(folder / "containerd.sock")
    config = folder / "config.toml"
    config.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
    process = subprocess.Popen(
        [
            "containerd",
            "-c",
            str(config),
            "-a",
            address,
            "--root",
            str(folder / "root"),
            "--state",
            str(folder / "state"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            if subprocess.run(["ctr", "-a", address, "version"], capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


WALKS = {
    "find": "find . -printf %s >/dev/null",
    "ls -lR": "ls -lR >/dev/null",
    "tar": "tar -cf - . | cat >/dev/null",
}


def measure(bench: Bench, rounds: int) -> list[dict[str, object]]:
    """Rounds go through all contestants in turn, so that a slow minute of the machine hits them all."""
    contestants: dict[tuple[str, str], Callable[[], float]] = {
        ("import", "imagefs"): bench.imagefs_import,
        ("import", "ctr images import"): bench.ctr_import,
        ("import", "umoci unpack"): bench.umoci_unpack,
    }
    for walk, command in WALKS.items():
        for name, mount in (
            ("imagefs", lambda: bench.imagefs_mount("--view", "rootfs")),
            ("fuse-overlayfs", bench.overlay_mount),
            ("ratarmount", bench.ratarmount_mount),
        ):
            contestants[walk, name] = lambda mount=mount, command=command: bench.cold(mount, command)  # type: ignore[misc]
    contestants |= {
        ("copy out", "imagefs"): bench.imagefs_copy,
        ("copy out", "fuse-overlayfs, cp -a"): bench.overlay_copy,
        ("flatten", "imagefs"): bench.imagefs_flatten,
        ("flatten", "fuse-overlayfs, tar"): lambda: bench.cold(bench.overlay_mount, WALKS["tar"]),
    }
    times: dict[tuple[str, str], list[float]] = {key: [] for key in contestants}
    for _ in range(rounds):
        for key, contestant in contestants.items():
            times[key].append(contestant())
    medians = {key: statistics.median(values) for key, values in times.items()}
    return [
        {
            "what": what,
            "against": peer,
            "imagefs_seconds": round(medians[what, "imagefs"], 3),
            "peer_seconds": round(median, 3),
            "times_faster": round(median / medians[what, "imagefs"], 2),
        }
        for (what, peer), median in medians.items()
        if peer != "imagefs"
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Compare imagefs with its peers.")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--rounds", type=int, default=3, help="how often to measure each contestant (default 3)")
    parser.add_argument("--archive", type=Path, help="an OCI archive to use instead of the one that is made")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("scripts/bench: needs root, to drop the page cache and to run containerd")
    with tempfile.TemporaryDirectory(prefix="imagefs-bench-") as temporary:
        folder = Path(temporary)
        archive = options.archive
        if archive is None:
            run(PROJECT / "scripts" / "samples", "bench", folder / "images")
            archive = folder / "images" / "gzip.oci.tar"
        bench = Bench(folder, archive.resolve())
        bench.prepare_trees()
        rows = measure(bench, options.rounds)
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'what':8} {'against':22} {'imagefs':>10} {'peer':>10} {'ratio':>8}")
    for row in rows:
        print(
            f"{row['what']:8} {row['against']:22} {row['imagefs_seconds']:>9}s {row['peer_seconds']:>9}s"
            f" {row['times_faster']:>7}x"
        )


if __name__ == "__main__":
    main()
