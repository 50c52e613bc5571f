"""The rows about going through the big image's tree, cold, and about what there is to see in it without a mount."""

import shutil
import sys
from collections.abc import Callable

from bench import mounts
from bench.figures import AtMost, Faster, Goal, Group, Measure, Row, Told
from bench.machine import drop_caches, imagefs, run, seconds, shell
from bench.mounts import Mount, cold
from bench.workplace import Workplace

FIND = "find . -printf %s >/dev/null"
LIST = "ls -lR >/dev/null"
TAR = "tar -cf - . | cat >/dev/null"


def groups(place: Workplace) -> list[Group]:
    """All of them."""
    return [_find(place), _list(place), _tar(place), _copy(place), _flatten(place)]


def _rootfs(place: Workplace, script: str) -> Measure:
    def take() -> float:
        return cold(place.ours("gzip.oci"), script)

    return Measure("imagefs", take)


def _peer(place: Workplace, name: str, script: str, most_rounds: int | None = None) -> Measure:
    """A peer over the big image; what it needs is made before the caches are dropped."""

    def overlay() -> Mount:
        unpacked = place.unpacked("gzip")
        return lambda: mounts.fuse_overlayfs(place.mountpoint, [unpacked])

    def ratarmount() -> Mount:
        archive = place.tree_tar("gzip")
        return lambda: mounts.ratarmount(place.mountpoint, archive)

    def squashfuse() -> Mount:
        image = place.squashfs("gzip")
        return lambda: mounts.squashfuse(name, place.mountpoint, image)

    def overlayfs() -> Mount:
        layers = place.unpacked_layers("gzip")
        return lambda: mounts.overlayfs(place.mountpoint, layers)

    ready = {
        "fuse-overlayfs": overlay,
        "ratarmount": ratarmount,
        "squashfuse": squashfuse,
        "squashfuse_ll": squashfuse,
        "the kernel's overlayfs": overlayfs,
    }[name]
    return Measure(name, lambda: cold(ready(), script), most_rounds)


def _find(place: Workplace) -> Group:
    ours = _rootfs(place, FIND)
    goals: dict[str, Goal] = {
        "fuse-overlayfs": Faster(1.5),
        "ratarmount": Faster(4),
        "squashfuse": Faster(4),
        "squashfuse_ll": Told(),
        "the kernel's overlayfs": AtMost(2.5),
    }
    what = "cold find -printf %s"
    rows = [
        Row(what, ours, goal, name, (_peer(place, name, FIND, 1 if name == "squashfuse" else None),))
        for name, goal in goals.items()
    ]
    return Group("find", tuple(rows))


def _list(place: Workplace) -> Group:
    def live(*options: str) -> Callable[[], float]:
        def take() -> float:
            stored = place.stored("gzip.oci", "capable.oci")
            tree = f"images/{stored.names[1]}"
            return cold(lambda: mounts.ours(stored.store, place.mountpoint, *options, below=tree), LIST)

        return take

    with_capability = Measure(
        "fuse-overlayfs, one capability",
        lambda: cold(lambda: mounts.fuse_overlayfs(place.mountpoint, [place.unpacked("gzip"), place.capability]), LIST),
    )
    plain = _peer(place, "fuse-overlayfs", LIST)
    fixed = _rootfs(place, LIST)
    rows = (
        Row("cold ls -lR, fixed image set without xattrs", fixed, Faster(4), "fuse-overlayfs", (plain,)),
        Row(
            "cold ls -lR, live mount, -o noxattr",
            Measure("imagefs, noxattr", live("-o", "noxattr")),
            Faster(4),
            "fuse-overlayfs",
            (plain,),
        ),
        Row(
            "cold ls -lR, live mount, one capability",
            Measure("imagefs, live", live()),
            AtMost(1.0),
            "fuse-overlayfs",
            (with_capability,),
        ),
        Row(
            "cold ls -lR, fixed image set without xattrs",
            fixed,
            AtMost(2.5),
            "the kernel's overlayfs",
            (_peer(place, "the kernel's overlayfs", LIST),),
        ),
    )
    return Group("ls", rows)


def _tar(place: Workplace) -> Group:
    ours = _rootfs(place, TAR)
    goals: dict[str, Goal] = {
        "fuse-overlayfs": Faster(1.3),
        "ratarmount": Faster(3),
        "the kernel's overlayfs": AtMost(2.5),
    }
    what = "cold tar -cf - | cat"
    rows = [Row(what, ours, goal, name, (_peer(place, name, TAR),)) for name, goal in goals.items()]
    return Group("tar", tuple(rows))


def _copy(place: Workplace) -> Group:
    target = place.folder / "copy"

    def ours() -> float:
        stored = place.stored("gzip.oci")
        drop_caches()
        return _copied(lambda: imagefs(stored.store, "cp", f"{stored.names[0]}:/", target))

    def overlay() -> float:
        unpacked = place.unpacked("gzip")
        drop_caches()
        with mounts.fuse_overlayfs(place.mountpoint, [unpacked]) as root:
            return _copied(lambda: run("cp", "-a", f"{root}/.", target))

    def _copied(work: Callable[[], object]) -> float:
        target.mkdir()

        def copy() -> None:
            work()
            run("sync", "-f", target)

        try:
            return seconds(copy)
        finally:
            shutil.rmtree(target)

    peer = Measure("fuse-overlayfs", overlay, most_rounds=1)
    row = Row("imagefs cp IMAGE:/", Measure("imagefs", ours), Told(), "cp -a of fuse-overlayfs", (peer,))
    return Group("cp", (row,), extra=True)


def _flatten(place: Workplace) -> Group:
    def ours() -> float:
        stored = place.stored("gzip.oci")
        drop_caches()
        script = f"'{sys.executable}' -m imagefs --store '{stored.store}' tar '{stored.names[0]}' | cat >/dev/null"
        return seconds(lambda: shell(script, place.folder))

    peer = _peer(place, "fuse-overlayfs", TAR, most_rounds=1)
    row = Row("imagefs tar IMAGE | cat", Measure("imagefs", ours), Told(), "tar of fuse-overlayfs", (peer,))
    return Group("flatten", (row,), extra=True)
