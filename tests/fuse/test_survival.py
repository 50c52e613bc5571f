"""A mount goes on whatever goes wrong in it, and ends cleanly whatever is going on."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import faulty_mount
from support.archives import OciArchive, directory, file, gzip_data, gzip_layer, layer, symlink
from support.inside import InsideImagefs
from support.served import eventually, held_leases, lives

ERRORS = [*faulty_mount.ERRORS, "RecursionError"]
TREE = "images/docker.io/library/app:1"


@pytest.fixture
def imagefs(tmp_path) -> InsideImagefs:
    return InsideImagefs(tmp_path / "store")


def archive_of(*layers: bytes) -> bytes:
    archive = OciArchive()
    archive.add_image(list(layers), name="app:1")
    return archive.bytes()


@contextmanager
def faulty(store: Path, folder: Path) -> Iterator[tuple[Path, Path]]:
    """Serves a store with faults to be chosen; answers the file to choose them with, and the log."""
    fault, log = folder / "fault", folder / "log"
    root = folder / "mnt"
    fault.touch()
    root.mkdir()
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, faulty_mount.__file__, store, root, fault], stdout=-1, stderr=errors
        )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n", log.read_text()
        yield fault, log
        assert process.poll() is None, "it lives on"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def read_new(path: Path) -> bytes:
    with path.open("rb", buffering=0) as reader:
        return reader.readall()


# What is asked of a mount so that it comes to each method; names are new each time, for the kernel keeps what it has.
QUESTIONS: dict[str, Callable[[Path, int], object]] = {
    "lookup": lambda root, number: os.stat(root / TREE / f"stat{number}"),
    "listdir": lambda root, number: os.listdir(root / TREE / f"folder{number}"),
    "open": lambda root, number: read_new(root / TREE / f"file{number}"),
    "readlink": lambda root, number: os.readlink(root / TREE / f"link{number}"),
    "xattrs": lambda root, _: os.listxattr(root / TREE / "file0"),
    "statistics": lambda root, _: os.statvfs(root),
    "refresh": lambda root, number: os.path.exists(root / f"images/nothing{number}") or os.listdir(root / "images"),
    "read": lambda root, number: read_new(root / TREE / f"data{number}"),
    "read_cached": lambda root, number: read_new(root / TREE / f"more{number}"),
}


@pytest.mark.usefixtures("both_loops")
def test_whatever_is_raised_is_an_error_of_the_one_who_asked(imagefs, tmp_path):
    kinds = {"stat": file, "file": file, "data": file, "more": file, "folder": directory}
    entries = [make(f"{name}{number}") for name, make in kinds.items() for number in range(len(ERRORS))]
    contents = [file(f"{name}{number}", b"content") for name in ("file", "data", "more") for number in range(20)]
    links = [symlink(f"link{number}", "x") for number in range(len(ERRORS))]
    imagefs("import", "-", stdin=archive_of(gzip_layer(*entries, *contents, *links)))
    with faulty(imagefs.store, tmp_path) as (fault, log):
        root = tmp_path / "mnt"
        os.listdir(root / TREE)  # so that the tree is open
        failed = 0
        for method, ask in QUESTIONS.items():
            for number, error in enumerate(ERRORS):
                fault.write_text(f"{method} {error}")
                before = log.stat().st_size
                try:
                    ask(root, number)
                except OSError as answer:
                    assert answer.errno == errno.EIO, (method, error)
                    said = log.read_text()[before:]
                    # An error whose text says it all comes without a traceback, any other with it.
                    assert ("Traceback" in said) == (error not in ("OSError", "StoreError")), (method, error, said)
                    failed += 1
                fault.write_text("")
                ask(root, number)
        # The kernel asks for some of it once only; and what is read is in memory, or is not.
        assert failed > 0.6 * len(QUESTIONS) * len(ERRORS)
        assert all(error in log.read_text() for error in ("RecursionError", "MemoryError", "sqlite3.OperationalError"))


READER = """
import os, sys
file = os.open(sys.argv[1], os.O_RDONLY)
print("reading", flush=True)
try:
    while True:
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        while os.read(file, 1 << 20):
            pass
        os.lseek(file, 0, 0)
except OSError:
    sys.exit(7)
"""
WALKER = """
import os, sys
print("walking", flush=True)
while os.path.ismount(sys.argv[1]):
    for _ in os.walk(sys.argv[1]):
        pass
sys.exit(7)
"""


@contextmanager
def running(script: str, *arguments: Path) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=-1, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("both_loops")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_files_are_read(imagefs, mount, number):
    files = [file(f"many/{number:03}") for number in range(300)]
    imagefs("import", "-", stdin=archive_of(gzip_layer(file("big", os.urandom(8 << 20)), *files)))
    root = mount()
    process = server_of(root)
    with running(READER, root / TREE / "big") as reader, running(WALKER, root) as walker:
        time.sleep(0.3)
        os.kill(process, number)
        assert reader.wait(20) == 7
        assert walker.wait(20) == 7
    assert eventually(lambda: not lives(process))
    assert not os.path.ismount(root)
    assert list((imagefs.store / "leases").iterdir()) == []


def server_of(root: Path) -> int:
    """The process that serves a mount, whichever loop it has."""
    wanted = os.fsencode(f'"{root}"')
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            continue
        if b"imagefs.fuse" in command and wanted in command:
            return int(process)
    raise AssertionError("no process serves it")


@pytest.mark.slow
@pytest.mark.usefixtures("both_loops")
def test_a_signal_while_a_layer_is_unpacked(imagefs, mount):
    imagefs("import", "--no-unpack", "-", stdin=archive_of(gzip_data(layer(file("zeros", bytes(1 << 30))))))
    root = mount()
    process = server_of(root)
    listing = "import os, sys; print(flush=True); os.listdir(sys.argv[1])"
    with running(listing, root / TREE) as reader:
        assert eventually(lambda: any((imagefs.store / "tmp").iterdir()))
        os.kill(process, signal.SIGTERM)
        assert reader.wait(20) != 0
    assert eventually(lambda: not lives(process))
    assert not os.path.ismount(root)
    assert held_leases(imagefs.store) == []
    assert not any((imagefs.store / "layers").iterdir()), "it did not wait for the layer"
    imagefs("gc")
    assert list((imagefs.store / "tmp").iterdir()) == []
