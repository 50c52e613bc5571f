"""The peers unpack stacks: each gives a tree for every stack, or what it said when it refused."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.archives import OciArchive, digest_of, docker_archive

from .conftest import Containerd, Docker, run
from .stacks import Refuses, Stack
from .tree import Entry, walk


@dataclass(frozen=True)
class Refused:
    """A peer did not unpack a stack."""

    saying: str


Outcome = dict[bytes, Entry] | Refused
"""The tree that a peer made of a stack, or its refusal."""


def reference(stack: Stack) -> str:
    """The name of a stack's image."""
    return f"localhost/stacks/{stack.name}:1"


def archive(stacks: Iterable[Stack]) -> OciArchive:
    """All stacks in one layout, each tagged with its name."""
    made = OciArchive()
    for stack in stacks:
        made.add_image(stack.layers, tag=stack.name, name=reference(stack))
    return made


def attempt(work: Callable[[], dict[bytes, Entry]]) -> Outcome:
    """The tree, or the refusal of a program that ended with an error."""
    try:
        return work()
    except AssertionError as error:
        return Refused(str(error))


def in_batches(stacks: Sequence[Stack], peer: str, unpack: Callable[[Sequence[Stack]], None]) -> dict[str, Refused]:
    """Unpack many stacks at once, for starting a program costs more than a stack; answers the refusals.

    One refusal spoils a batch, so the stacks that the peer is known to refuse go one by one, and all of them
    where the batch fails.
    """
    refused: dict[str, Refused] = {}

    def single(stack: Stack) -> None:
        try:
            unpack([stack])
        except AssertionError as error:
            refused[stack.name] = Refused(str(error))

    doubtful = [stack for stack in stacks if stack.invalid or isinstance(stack.peers.get(peer), Refuses)]
    certain = [stack for stack in stacks if stack not in doubtful]
    try:
        if certain:
            unpack(certain)
    except AssertionError:
        doubtful = list(stacks)
    for stack in doubtful:
        single(stack)
    return refused


def unless_collected(work: Callable[[], str], attempts: int = 5) -> str:
    """Run ctr again where containerd collected a lower layer's snapshot while it unpacked the next one.

    Nothing refers to it then yet; a refused layer that is thrown away starts a collection, which may come in between.
    """
    for _ in range(attempts - 1):
        try:
            return work()
        except AssertionError as error:
            if "snapshot" not in str(error) or "does not exist" not in str(error):
                raise
    return work()


def umoci_trees(program: str, stacks: Sequence[Stack], folder: Path) -> dict[str, Outcome]:
    """`umoci unpack` of each stack."""
    layout = archive(stacks).write_folder(folder / "layout")

    def unpack(stack: Stack) -> Outcome:
        bundle = folder / stack.name
        command = [program, "unpack", "--image", f"{layout}:{stack.name}", bundle]
        return attempt(lambda: run(*command) is not None and walk(bundle / "rootfs"))

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return dict(zip((stack.name for stack in stacks), threads.map(unpack, stacks), strict=True))


def podman_trees(podman: Docker, stacks: Sequence[Stack], folder: Path) -> dict[str, Outcome]:
    """`podman load` and `podman image mount`.

    podman takes a layer that it has over another parent from the tree of that one again, by paths that it follows
    links of the host in. So upper layers, but for the same one twice, get padding that makes them their stack's own.
    """
    path = folder / "podman.tar"
    padding = {stack.name: bytes(512 * number) for number, stack in enumerate(stacks)}

    def layers(stack: Stack) -> list[bytes]:
        first = stack.layers[0]
        return [each + padding[stack.name] if each and each != first else each for each in stack.layers]

    def load(some: Sequence[Stack]) -> None:
        path.write_bytes(docker_archive([(layers(stack), [reference(stack)]) for stack in some]))
        podman("load", "--quiet", "--input", path)

    trees: dict[str, Outcome] = dict(in_batches(stacks, "podman", load))
    loaded = [stack for stack in stacks if stack.name not in trees]
    rows = json.loads(podman("image", "mount", "--format", "json", *map(reference, loaded)))
    places = {name: row["mountpoint"] for row in rows for name in row["Repositories"]}
    for stack in loaded:
        trees[stack.name] = walk(places[reference(stack)])
    podman("image", "umount", "--all")
    return trees


def chain_id(layers: Sequence[bytes]) -> str:
    """The identifier of a chain of uncompressed layers: image specification, "Layer ChainID"."""
    chain = digest_of(layers[0])
    for layer in layers[1:]:
        chain = digest_of(f"{chain} {digest_of(layer)}".encode())
    return chain


def containerd_native_trees(client: Containerd, stacks: Sequence[Stack], folder: Path) -> dict[str, Outcome]:
    """`ctr images import` with the native snapshotter, whose snapshots are plain folders.

    ctr 1.6 unpacks for the snapshotter that it is told, but `ctr images mount` takes the default one whatever it
    is told; so the snapshot is asked for directly.
    """
    path = folder / "native.tar"

    def load(some: Sequence[Stack]) -> None:
        archive(some).write(path)
        unless_collected(lambda: client("images", "import", "--snapshotter", "native", path))

    trees: dict[str, Outcome] = dict(in_batches(stacks, "containerd-native", load))
    for stack in stacks:
        if stack.name in trees:
            continue
        if not stack.layers:
            trees[stack.name] = Refused("no layer, so no snapshot")
            continue
        # A view may be collected at once, but what it shows is the image's own folder.
        view = ["snapshots", "--snapshotter", "native", "view", "--mounts", stack.name, chain_id(stack.layers)]
        (shown,) = json.loads(client(*view))
        trees[stack.name] = walk(shown["Source"])
    return trees


def containerd_overlayfs_trees(client: Containerd, stacks: Sequence[Stack], folder: Path) -> dict[str, Outcome]:
    """`ctr images import` and `ctr images mount`, which unpacks for the overlayfs snapshotter."""
    client("images", "import", "--no-unpack", archive(stacks).write(folder / "overlayfs.tar"))

    def tree(stack: Stack) -> dict[bytes, Entry]:
        place = folder / stack.name
        place.mkdir()
        unless_collected(lambda: client("images", "mount", reference(stack), place))
        try:
            return walk(place)
        finally:
            run("umount", place)

    return {stack.name: attempt(lambda stack=stack: tree(stack)) for stack in stacks}


@dataclass(frozen=True)
class Unpacked:
    """What a peer made of all stacks, and when."""

    trees: dict[str, Outcome]
    began_ns: int
    ended_ns: int

    def at_unpacking(self, mtime_ns: int) -> bool:
        """Whether a time is that of the unpacking: the peer left it as the kernel set it."""
        # The kernel stamps files with the time of its last tick.
        return self.began_ns - 20_000_000 <= mtime_ns <= self.ended_ns


def timed(work: Callable[[], dict[str, Outcome]]) -> Unpacked:
    """The trees, with the times before and after."""
    began = time.time_ns()
    trees = work()
    return Unpacked(trees, began, time.time_ns())


@contextmanager
def imagefs_mount(command: Sequence[str], mountpoint: Path) -> Iterator[Path]:
    """A mount for the time of the block, undone whatever happens in it."""
    mountpoint.mkdir()
    run(*command, "mount", mountpoint)
    try:
        yield mountpoint
    finally:
        subprocess.run([*command, "umount", mountpoint], check=False)
