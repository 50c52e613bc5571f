"""Layer stacks: the mount is what the image specification says, and what the peers unpack.

Every peer unpacks all stacks once, and so does imagefs, in one mount; the tests compare.
"""

import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from imagefs import ImagefsError, Store, import_archive

from .cases_archives import STACKS as ARCHIVES
from .cases_attributes import STACKS as ATTRIBUTES
from .cases_hardlinks import STACKS as HARD_LINKS
from .cases_replacements import STACKS as REPLACEMENTS
from .cases_sparse import STACKS as SPARSE
from .cases_symlinks import STACKS as SYMLINKS
from .cases_whiteouts import STACKS as WHITEOUTS
from .conftest import Containerd, Docker, mounted
from .peers import (
    Outcome,
    Refused,
    Unpacked,
    archive,
    containerd_native_trees,
    containerd_overlayfs_trees,
    podman_trees,
    reference,
    timed,
    umoci_trees,
)
from .stacks import PEERS, Accepts, Deviates, Refuses, Stack, differing
from .tree import walk

pytestmark = [pytest.mark.fuse]

STACKS = [*WHITEOUTS, *REPLACEMENTS, *SYMLINKS, *HARD_LINKS, *ARCHIVES, *ATTRIBUTES, *SPARSE]
assert len({stack.name for stack in STACKS}) == len(STACKS), "two stacks have one name"

MANY_LAYERS = 100
"""Beyond this, podman's vfs and containerd's native snapshotter take long: they copy the tree for each layer."""


def has_part(peer: str, number: int) -> bool:
    """Whether a peer unpacks a stack.

    podman takes ten times as long as others over each: it gets a third, and all that it is known to deviate in.
    """
    stack = STACKS[number]
    if peer in ("podman", "containerd-native") and len(stack.layers) > MANY_LAYERS:
        return False
    return peer != "podman" or number % 3 == 0 or peer in stack.peers


PARTS = {peer: [stack for number, stack in enumerate(STACKS) if has_part(peer, number)] for peer in PEERS}
"""What each peer unpacks."""

every_stack = pytest.mark.parametrize("stack", STACKS, ids=lambda stack: stack.name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """A folder for what all stacks take, removed at the end."""
    made = tmp_path_factory.mktemp("stacks")
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def mount(need, folder) -> Iterator[dict[str, Path | ImagefsError]]:
    """Where each stack is mounted, or the error with which imagefs refused it."""
    need("root")
    refused: dict[str, ImagefsError] = {}
    valid = [stack for stack in STACKS if stack.invalid is None]
    with Store(folder / "store") as store:
        try:
            import_archive(store, io.BytesIO(archive(valid).bytes()))
        except ImagefsError:
            valid = []  # one by one, then
        for stack in STACKS:
            if stack not in valid:
                try:
                    import_archive(store, io.BytesIO(archive([stack]).bytes()))
                except ImagefsError as error:
                    refused[stack.name] = error
    with mounted(folder / "store", folder / "mnt") as mountpoint:
        images = {stack.name: mountpoint / "images" / reference(stack) for stack in STACKS}
        yield images | refused


@pytest.fixture(scope="module")
def trees(mount) -> Callable[[Stack], Outcome]:
    """What imagefs makes of a stack."""
    known: dict[str, Outcome] = {}

    def tree(stack: Stack) -> Outcome:
        if stack.name not in known:
            place = mount[stack.name]
            known[stack.name] = walk(place) if isinstance(place, Path) else Refused(str(place))
        return known[stack.name]

    return tree


@pytest.fixture(scope="module")
def unpacked(request, need, folder) -> Iterator[Callable[[str], Unpacked]]:
    """What a peer makes of all stacks. All begin when one is first asked for: they mostly wait for the disk."""
    running: dict[str, Future[Unpacked]] = {}
    threads = ThreadPoolExecutor(len(PEERS))

    def umoci(place: Path, program: str) -> dict[str, Outcome]:
        return umoci_trees(program, PARTS["umoci"], place)

    def podman(place: Path, program: str) -> dict[str, Outcome]:
        # podman refuses a runroot of more than 50 characters, which pytest's folders have.
        with tempfile.TemporaryDirectory(prefix="podman-") as runroot:
            command = [program, "--root", place / "podman", "--runroot", runroot]
            command += ["--tmpdir", f"{runroot}/tmp", "--storage-driver=vfs", "--events-backend=none"]
            return podman_trees(Docker(command, {"TMPDIR": str(place)}), PARTS["podman"], place)

    def native(place: Path, client: Containerd) -> dict[str, Outcome]:
        return containerd_native_trees(client, PARTS["containerd-native"], place)

    def overlayfs(place: Path, client: Containerd) -> dict[str, Outcome]:
        return containerd_overlayfs_trees(client, PARTS["containerd-overlayfs"], place)

    def containerd(namespace: str) -> Containerd:
        return Containerd(*request.getfixturevalue("_containerd"), namespace=namespace)

    def begin(peer: str) -> None:
        if peer in running:
            return
        match peer:
            case "umoci":
                work, program = umoci, need("umoci")
            case "podman":
                work, program = podman, need("podman")
            case "containerd-native":
                work, program = native, containerd("native")
            case _:
                work, program = overlayfs, containerd("overlayfs")
        place = folder / peer
        place.mkdir()
        running[peer] = threads.submit(timed, lambda: work(place, program))

    def unpack(peer: str) -> Unpacked:
        begin(peer)
        for other in PEERS:
            # One that is missing is for the tests that ask for it to say.
            with suppress(pytest.skip.Exception, pytest.fail.Exception):
                begin(other)
        error = running[peer].exception()
        if error is not None:
            pytest.fail(f"{peer}: {error}", pytrace=False)
        return running[peer].result()

    yield unpack
    threads.shutdown()


@every_stack
def test_the_mount_is_what_the_specification_says(trees, mount, stack):
    tree = trees(stack)
    if stack.invalid is not None:
        assert isinstance(tree, Refused), f"taken, against {stack.rule}"
        assert stack.invalid in tree.saying
        return
    assert not isinstance(tree, Refused), f"{stack.rule}\n{tree}"
    lines = [f"{path!r}: missing" for path in sorted(stack.tree.keys() - tree.keys())]
    lines += [f"{path!r}: unexpected" for path in sorted(tree.keys() - stack.tree.keys() - {b"."})]
    for path in sorted(stack.tree.keys() & tree.keys()):
        expected = stack.tree[path]
        lines += [f"{path!r}: {line}" for line in expected.differences(tree[path])]
        blocks = (mount[stack.name] / path.decode()).lstat().st_blocks if "blocks" in expected.properties else None
        if blocks != expected.properties.get("blocks"):
            lines.append(f"{path!r}: blocks: expected {expected.properties['blocks']}, got {blocks}")
    assert lines == [], stack.rule


@pytest.mark.peer
@pytest.mark.parametrize(
    ("stack", "peer"),
    [(stack, peer) for peer, stacks in PARTS.items() for stack in stacks],
    ids=lambda each: each if isinstance(each, str) else each.name,
)
def test_the_mount_is_what_the_peer_unpacks(trees, unpacked, stack, peer):
    recorded = stack.peers.get(peer)
    made = unpacked(peer)
    outcome = made.trees[stack.name]
    if isinstance(outcome, Refused):
        if stack.invalid is not None and recorded is None:
            return
        assert isinstance(recorded, Refuses), f"{peer} refuses it, which is not recorded: {outcome.saying}"
        assert recorded.saying in outcome.saying
        return
    assert not isinstance(recorded, Refuses), f"{peer} is recorded to refuse this, and takes it"
    if stack.invalid is not None:
        assert isinstance(recorded, Accepts), f"{peer} takes it, which is not recorded"
        return
    tree = trees(stack)
    assert not isinstance(tree, Refused), f"{peer} unpacks this: {stack.rule}\n{tree}"

    found = differing(tree, outcome)
    if b"." not in stack.tree:
        found.pop(b".", None)  # no layer has an entry for the root
    for path, expected in stack.tree.items():
        # Where the specification is silent on attributes, so are the stacks.
        if path in found and path in tree and path in outcome and "mode" not in expected.properties:
            found[path] -= {"mode", "uid", "gid", "mtime_ns", "xattrs"}
            if not found[path]:
                del found[path]
    if not stack.parent_times:
        # A layer that puts something into a directory need not have an entry for it; what time the directory has
        # then, nothing says, and peers leave it that of the unpacking. The stacks about this look at it.
        for path, entry in outcome.items():
            if entry.kind == "directory" and found.get(path) == {"mtime_ns"} and made.at_unpacking(entry.mtime_ns):
                del found[path]
    assert found == (recorded.differences() if isinstance(recorded, Deviates) else {}), _explain(stack, peer)


def _explain(stack: Stack, peer: str) -> str:
    recorded = stack.peers.get(peer)
    because = recorded.because if isinstance(recorded, Deviates) else "no deviation is recorded"
    return f"{peer}: {because}\n{stack.rule}"
