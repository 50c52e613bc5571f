"""What a running process holds open stays valid, whatever becomes of the image."""

import mmap
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from support.archives import OciArchive, directory, file, gzip_layer, hardlink, symlink, whiteout, zstd_layer
from support.command import Imagefs

BIG = os.urandom(1 << 20) * 3
BASH = Path("/bin/bash").resolve()
WIDE = [f"entry-{number:04}" for number in range(2000)]
LOWER = gzip_layer(
    directory("etc"),
    file("etc/hello", b"hello\n"),
    file("etc/gone"),
    file("big", BIG),
    file("linked", BIG[:200_000]),
    hardlink("linked-too", "linked"),
    *(file(f"wide/{name}", name.encode()) for name in WIDE),
)
UPPER = zstd_layer(
    whiteout("etc/gone"),
    file("etc/deep/er/file", b"deep\n"),
    file("etc/later", b"later\n"),
    symlink("etc/link", "hello"),
    file("shell", BASH.read_bytes(), mode=0o755),
)
OTHER = gzip_layer(directory("etc"), file("etc/other", b"other\n"), file("big", b"not the same"))


def archive_of(name: str, *layers: bytes) -> bytes:
    archive = OciArchive()
    archive.add_image(list(layers), name=name)
    return archive.bytes()


@pytest.fixture
def app(imagefs: Imagefs) -> Imagefs:
    imagefs("import", "-", stdin=archive_of("app:1", LOWER, UPPER))
    return imagefs


@pytest.fixture
def tree(app, mount) -> Path:
    return mount() / "images/docker.io/library/app:1"


def mount_of(tree: Path) -> Path:
    return tree.parents[3]


def eventually(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Whether something becomes true in time."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


# -- what can become of the image that the name app:1 means


def removal(app: Imagefs) -> None:
    app("rm", "app:1")


def import_over(app: Imagefs) -> None:
    app("import", "-", stdin=archive_of("app:1", OTHER))


def tag_over(app: Imagefs) -> None:
    app("import", "-", stdin=archive_of("other:1", OTHER))
    app("tag", "--force", "other:1", "app:1")


def renaming(app: Imagefs) -> None:
    app("tag", "app:1", "kept:1")
    app("rm", "app:1")


def unrelated(app: Imagefs) -> None:
    app("import", "-", stdin=archive_of("zzz:1", OTHER))
    app("tag", "zzz:1", "aaa:1")
    app("rm", "zzz:1")


def removal_and_return(app: Imagefs) -> None:
    app("rm", "app:1")
    app("gc")
    app("import", "-", stdin=archive_of("app:1", LOWER, UPPER, OTHER))


ALL = [removal, import_over, tag_over, renaming, unrelated, removal_and_return]
HARDEST = ALL[:3]


def happen(change: Callable[[Imagefs], None], app: Imagefs, root: Path) -> None:
    """Make a change, wait until the mount shows it, and collect the garbage."""
    before = (root / "index.json").read_bytes()
    change(app)
    assert eventually(lambda: (root / "index.json").read_bytes() != before)
    app("gc")


# -- files


@pytest.mark.parametrize("change", ALL)
def test_an_open_file(app, tree, change):
    with ExitStack() as stack:
        files = [stack.enter_context(open(tree / name, "rb", buffering=0)) for name in ("big", "linked", "etc/later")]
        status = [os.fstat(each.fileno()) for each in files]
        assert files[0].read(10) == BIG[:10]
        happen(change, app, mount_of(tree))
        assert files[0].read() == BIG[10:]
        os.posix_fadvise(files[0].fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        files[0].seek(0)
        assert files[0].readall() == BIG
        assert files[1].readall() == BIG[:200_000]
        assert files[2].readall() == b"later\n"
        assert [os.fstat(each.fileno()) for each in files] == status
        assert os.listxattr(files[0].fileno()) == []
        with open(f"/proc/self/fd/{files[1].fileno()}", "rb") as again:
            assert again.read() == BIG[:200_000]


@pytest.mark.parametrize("change", HARDEST)
def test_a_mapped_file(app, tree, change):
    with open(tree / "big", "rb") as reader:
        pages = mmap.mmap(reader.fileno(), 0, access=mmap.ACCESS_READ)
    # A mapping outlives the descriptor that it was made with.
    with closing(pages):
        happen(change, app, mount_of(tree))
        assert pages[:] == BIG


@pytest.mark.parametrize("change", HARDEST)
def test_open_files_of_the_layout(app, mount, change):
    root = mount()
    paths = [root / "index.json", root / "manifest.json", *(root / "blobs/sha256").iterdir()]
    contents = [
        path.read_bytes() if path.parent == root else (app.store / "blobs/sha256" / path.name).read_bytes()
        for path in paths
    ]
    with ExitStack() as stack:
        files = [stack.enter_context(open(path, "rb")) for path in paths]
        happen(change, app, root)
        assert [reader.read() for reader in files] == contents


# -- directories


@contextmanager
def opened(path: Path | str, at: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_at(directory: int, name: str) -> bytes:
    with open(os.open(name, os.O_RDONLY, dir_fd=directory), "rb") as reader:
        return reader.read()


@pytest.mark.parametrize("change", HARDEST)
def test_a_directory_that_is_being_read(app, tree, change):
    with os.scandir(tree / "wide") as listing:
        names = [next(listing).name]
        happen(change, app, mount_of(tree))
        names += [entry.name for entry in listing]
    assert names == WIDE


@pytest.mark.parametrize("change", ALL)
def test_what_is_below_an_open_directory(app, tree, change):
    os.stat(tree / "etc/hello")  # this one the kernel knows, the others it does not
    with opened(tree / "etc") as etc:
        happen(change, app, mount_of(tree))
        assert os.fstat(etc).st_mode & 0o777 == 0o755
        assert [read_at(etc, name) for name in ("hello", "later", "deep/er/file")] == [
            b"hello\n",
            b"later\n",
            b"deep\n",
        ]
        assert os.readlink("link", dir_fd=etc) == "hello"
        assert os.stat("deep/er", dir_fd=etc).st_mode & 0o777 == 0o755
        with pytest.raises(FileNotFoundError):
            os.stat("gone", dir_fd=etc)
        assert sorted(os.listdir(etc)) == ["deep", "hello", "later", "link"]


@pytest.mark.parametrize("change", HARDEST)
def test_what_is_opened_below_holds_in_its_turn(app, tree, change):
    """As a walk through a tree does it: every directory is opened below its parent, and then that one is closed."""
    with ExitStack() as inner:
        with opened(tree) as root:
            happen(change, app, mount_of(tree))
            etc = inner.enter_context(opened("etc", root))
            big = inner.enter_context(open(os.open("big", os.O_RDONLY, dir_fd=root), "rb"))
        time.sleep(1.5)
        app("gc")
        with opened("deep", etc) as deep:
            assert read_at(deep, "er/file") == b"deep\n"
        assert read_at(etc, "later") == b"later\n"
        assert big.read() == BIG


# -- programs


@pytest.mark.parametrize("change", HARDEST)
def test_a_running_program(app, tree, change):
    shell = subprocess.Popen([tree / "shell", "--norc", "--noprofile"], stdin=-1, stdout=-1, env={}, text=True)
    try:
        assert shell.stdin is not None and shell.stdout is not None
        shell.stdin.write("echo up\n")
        shell.stdin.flush()
        assert shell.stdout.readline() == "up\n"
        happen(change, app, mount_of(tree))
        # Its pages come as it gets to them: do what it has not done before.
        shell.stdin.write(
            "declare -A m=([a]=1); for k in ${!m[@]}; do printf '%s=%d\\n' $k $((m[$k] + 41)); done\n"
            "[[ abc =~ ^a(.)c$ ]] && echo ${BASH_REMATCH[1]^^}\n"
            "f() { local -n r=$1; r=x; }; f y; echo $y\n"
            "read answer; exit $answer\n"
        )
        shell.stdin.flush()
        assert [shell.stdout.readline() for _ in range(3)] == ["a=42\n", "B\n", "x\n"]
        assert Path(f"/proc/{shell.pid}/exe").read_bytes() == BASH.read_bytes()
        shell.communicate("7\n", 20)
        assert shell.returncode == 7
    finally:
        shell.kill()
        shell.wait()


def test_a_program_that_becomes_another_of_its_image(app, tree):
    """As the first program of a container, in whose root nobody else has anything open, becomes its second."""
    arguments = [tree / "shell", "--norc", "--noprofile"]
    shell = subprocess.Popen(arguments, stdin=-1, stdout=-1, env={}, text=True, cwd=tree)
    try:
        assert shell.stdin is not None and shell.stdout is not None
        shell.stdin.write("echo up\n")
        shell.stdin.flush()
        assert shell.stdout.readline() == "up\n"
        happen(removal, app, mount_of(tree))
        shell.stdin.write("exec /proc/self/exe --norc --noprofile\necho up\n")
        shell.stdin.flush()
        assert shell.stdout.readline() == "up\n"
        time.sleep(1.5)
        app("gc")
        assert shell.communicate("read line <etc/later; echo $line\n", 20)[0] == "later\n"
    finally:
        shell.kill()
        shell.wait()


STANDING = """
import os, sys
os.chdir(sys.argv[1])
print("up", flush=True)
sys.stdin.readline()
print(sorted(os.listdir(".")), open("later").read().strip(), open("deep/er/file").read().strip())
"""


@pytest.mark.parametrize("change", HARDEST)
def test_a_process_that_stands_in_an_open_directory(app, tree, change):
    with opened(tree / "etc"):
        process = subprocess.Popen([sys.executable, "-c", STANDING, tree / "etc"], stdin=-1, stdout=-1, stderr=-1)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            happen(change, app, mount_of(tree))
            assert process.communicate(b"\n", 20) == (b"['deep', 'hello', 'later', 'link'] later deep\n", b"")
        finally:
            process.kill()
            process.wait()


WAITING = """
import os, sys
print("up", flush=True)
sys.stdin.readline()
os.chdir(sys.argv[1])
print(sorted(os.listdir(".")), open("later").read().strip(), open("deep/er/file").read().strip())
"""


@pytest.mark.parametrize("change", HARDEST)
@pytest.mark.parametrize(("where", "further"), [(".", "etc"), ("etc", ".")])
def test_a_process_that_only_stands_in_the_image(app, tree, change, where, further):
    arguments = [sys.executable, "-c", WAITING, further]
    process = subprocess.Popen(arguments, stdin=-1, stdout=-1, stderr=-1, cwd=tree / where)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        happen(change, app, mount_of(tree))
        assert process.communicate(b"\n", 20) == (b"['deep', 'hello', 'later', 'link'] later deep\n", b"")
    finally:
        process.kill()
        process.wait()


# -- the end


@pytest.mark.parametrize("what", ["big", "etc", "linked"])
def test_the_content_is_let_go_with_the_last_that_held_it(app, tree, what):
    first, second = (os.open(tree / what, os.O_RDONLY) for _ in range(2))
    happen(removal, app, mount_of(tree))
    for descriptor in (first, second):
        app("gc")
        assert [name for name in app.files() if name.startswith(("blobs/", "layers/"))], "still open"
        os.close(descriptor)

    def collected() -> bool:
        app("gc")
        return not [name for name in app.files() if name.startswith(("blobs/", "layers/"))]

    assert eventually(collected)


def test_what_one_mount_holds_the_end_of_another_does_not_take(app, mount):
    one, other = mount(), mount()
    with open(one / "images/docker.io/library/app:1/big", "rb") as reader:
        happen(removal, app, one)
        assert eventually(lambda: b"app:1" not in (other / "index.json").read_bytes())
        app("umount", other)
        app("gc")
        assert reader.read() == BIG
