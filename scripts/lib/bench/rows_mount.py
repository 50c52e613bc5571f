"""The rows about single things that a mount does: reads, long chains, shared layers, memory, many images."""

from pathlib import Path

from bench import mounts
from bench.figures import AtMost, Faster, Group, Limit, Measure, Noted, Rate, Row, Told
from bench.machine import ProgramFailed, drop_caches, imagefs, resident, run, seconds, servers, shell, times_dropped
from bench.mounts import cold
from bench.randomread import PROCESSES, random_reads
from bench.rows_tree import FIND
from bench.tracing import read_requests
from bench.workplace import Workplace

_ATTEMPTS = 5
# All but what the second image alone has, and hard links: how many names a file has is for each image to say, so that
# each has an inode of its own for it.
_COPY = (
    "find . -type f -links 1 ! -path ./usr/bin/capable -print0 | tar --null --no-recursion -T - -cf - | cat >/dev/null"
)


def groups(place: Workplace) -> list[Group]:
    """All of them."""
    return [
        _sequential(place),
        _layout(place),
        _random(place),
        _chain(place),
        _shared(place),
        _memory(place),
        _many(place),
        _wide(place),
    ]


def _sequential(place: Workplace) -> Group:
    script = "cat large >/dev/null"

    def ours() -> float:
        return cold(place.ours("large.oci"), script)

    def overlay() -> float:
        unpacked = place.unpacked("large")
        return cold(lambda: mounts.fuse_overlayfs(place.mountpoint, [unpacked]), script)

    row = Row(
        "sequential read of one large file, cold",
        Measure("imagefs", ours),
        AtMost(1.0),
        "fuse-overlayfs",
        (Measure("fuse-overlayfs", overlay),),
    )
    return Group("sequential", (row,), repeats=3)


def _layout(place: Workplace) -> Group:
    def ours() -> float:
        return cold(place.ours("gzip.oci", "layout"), "tar -cf - . | cat >/dev/null")

    def cat() -> float:
        blobs = place.stored("gzip.oci").store / "blobs" / "sha256"
        drop_caches()
        return seconds(lambda: shell("cat * | cat >/dev/null", blobs))

    row = Row(
        "tar of the layout view, cold",
        Measure("imagefs", ours),
        Rate(0.6),
        "cat of the same blobs from the store",
        (Measure("cat", cat),),
    )
    return Group("layout", (row,), repeats=3)


def _random(place: Workplace) -> Group:
    def ours() -> float:
        mount, files = place.ours("gzip.oci"), place.biggest
        drop_caches()
        with mount() as root:
            return random_reads(root, files)

    def overlay() -> float:
        unpacked, files = place.unpacked("gzip"), place.biggest
        drop_caches()
        with mounts.fuse_overlayfs(place.mountpoint, [unpacked]) as root:
            return random_reads(root, files)

    row = Row(
        f"random 4 KiB reads, {PROCESSES} processes, cold",
        Measure("imagefs", ours),
        AtMost(1.0),
        "fuse-overlayfs",
        (Measure("fuse-overlayfs", overlay),),
    )
    return Group("random", (row,))


def _chain(place: Workplace) -> Group:
    def find(name: str) -> float:
        return cold(place.ours(f"{name}.oci"), FIND)

    row = Row(
        "find over 100 layers, cold",
        Measure("100 layers", lambda: find("chain100")),
        AtMost(1.5),
        "imagefs, the same files in one layer",
        (Measure("one layer", lambda: find("flat100")),),
    )
    return Group("chain", (row,), repeats=5)


def _shared(place: Workplace) -> Group:
    def reads_again() -> Noted:
        # What else happens on the machine can only take pages away: the least is nearest to what we do.
        least = _count_reads(place)
        for _ in range(_ATTEMPTS - 1):
            if not least.value:
                break
            least = min(least, _count_reads(place), key=lambda counted: counted.value)
        return least

    row = Row(
        "read requests for a second image's shared files",
        Measure("imagefs", reads_again, most_rounds=1),
        Limit(0, "requests"),
        unit="requests",
    )
    return Group("shared", (row,))


def _count_reads(place: Workplace) -> Noted:
    stored = place.stored("gzip.oci", "capable.oci")
    drop_caches()
    with mounts.ours(stored.store, place.mountpoint) as root, read_requests(root) as count:
        one, other = (root / "images" / name for name in stored.names)
        dropped = times_dropped()
        shell(_COPY, one)
        first = count()
        shell(_COPY, other)
        again = count() - first
        dropped = times_dropped() - dropped
    if not first:
        raise ProgramFailed("tracefs: shows no read request, so none can be counted")
    disturbed = "; something else dropped caches meanwhile, so this says nothing" if dropped else ""
    return Noted(again, f"{first} requests for the first image{disturbed}")


def _memory(place: Workplace) -> Group:
    def after_find(name: str) -> Noted:
        mount = place.ours(f"{name}.oci")
        drop_caches()
        with mount() as root:
            files = len(run("bash", "-c", "find . -printf .", cwd=root))
            processes = servers(place.mountpoint)
            if not processes:
                raise ProgramFailed("imagefs mount: found no process of it")
            return Noted(resident(processes), f"{name}: {files} files, served by {len(processes)} process(es)")

    small = Measure("41 k files", lambda: after_find("gzip"))
    large = Measure("ten times the files", lambda: after_find("ten"), most_rounds=1)
    rows = (
        Row("memory of the mount after find", small, Limit(80, "MB"), unit="MB"),
        Row("the same, ten times the files", large, AtMost(1.5), "after find over the first", (small,), unit="MB"),
    )
    return Group("memory", rows)


def _many(place: Workplace) -> Group:
    def mount() -> float:
        store = place.stored("many.oci").store
        try:
            return seconds(lambda: imagefs(store, "mount", place.mountpoint))
        finally:
            imagefs(store, "umount", place.mountpoint)

    def warm_mount() -> float:
        mount()
        return mount()

    def cold_mount() -> float:
        place.stored("many.oci")
        drop_caches()
        return mount()

    def listing() -> float:
        stored = place.stored("many.oci")
        folder = Path(stored.names[0]).parent
        with mounts.ours(stored.store, place.mountpoint, below=f"images/{folder}") as root:
            return seconds(lambda: run("ls", root))

    what = "mount of a store of 1,000 images"
    rows = (
        Row(what, Measure("mount", warm_mount), Limit(0.5, "s")),
        Row(f"{what}, nothing cached", Measure("cold mount", cold_mount), Told()),
        Row("first ls images/... of 1,000 names", Measure("ls", listing), Limit(0.1, "s")),
    )
    return Group("many", rows, repeats=3)


def _wide(place: Workplace) -> Group:
    script = "ls wide >/dev/null"

    def ours() -> float:
        return cold(place.ours("wide.oci"), script)

    def ratarmount() -> float:
        archive = place.layer_tar("wide")
        return cold(lambda: mounts.ratarmount(place.mountpoint, archive), script)

    row = Row(
        "first ls in a directory of 100 k entries, cold",
        Measure("imagefs", ours),
        Faster(3),
        "ratarmount",
        (Measure("ratarmount", ratarmount),),
    )
    return Group("wide", (row,))
