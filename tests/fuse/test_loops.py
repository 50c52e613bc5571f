"""Both request loops, ours and pyfuse3's own, give one tree."""

import ctypes
import hashlib
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.archives import OciArchive, directory, file, gzip_data, gzip_layer, layer, symlink, whiteout

from imagefs.fuse import takeover

CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")  # cap_net_raw+ep

LOWER = gzip_layer(
    directory("etc"),
    file("etc/conf", b"below\n", mode=0o640, uid=7, gid=8),
    file("etc/gone", b"gone\n"),
    file("big", os.urandom(3 << 20)),
    file("noted", b"#!\n", xattrs={"user.note": b"seen", "security.capability": CAPABILITY}),
    symlink("link", "etc/conf"),
    *[file(f"many/{number:04}", b"%d" % number, mtime=-1.5) for number in range(3000)],
)
UPPER = gzip_layer(whiteout("etc/gone"), file("etc/conf", b"above\n"), directory("dev", mode=0o700))


def everything(root: Path) -> dict[str, tuple[object, ...]]:
    """All that can be told of a tree, by path."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(folder, name)
            status = path.lstat()
            content: object = None
            if stat.S_ISREG(status.st_mode):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            elif path.is_symlink():
                content = os.readlink(path)
            names = os.listxattr(path, follow_symlinks=False)
            xattrs = {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
            found[str(path.relative_to(root))] = (tuple(status), status.st_blocks, status.st_mtime_ns, content, xattrs)
    return found


@pytest.mark.parametrize("arguments", [(), ("app:1",), ("--view", "rootfs", "app:1"), ("-o", "owner=me", "app:1")])
def test_both_loops_give_one_tree(imagefs, mount, monkeypatch, arguments):
    archive = OciArchive()
    archive.add_image([LOWER, UPPER], name="app:1")
    imagefs("import", "-", stdin=archive.bytes())
    trees, figures = [], []
    for stock in ("0", "1"):
        monkeypatch.setenv(takeover.STOCK_LOOP, stock)
        root = mount(*arguments)
        trees.append({path: (status[:2] + status[3:], *rest) for path, (status, *rest) in everything(root).items()})
        figures.append(tuple(os.statvfs(root))[:9])
    assert len(trees[0]) > 3000
    assert trees[0] == trees[1]
    assert figures[0] == figures[1]


def test_who_waits_for_a_layer_can_be_interrupted(imagefs, mount):
    archive = OciArchive()
    archive.add_image([gzip_data(layer(file("zeros", bytes(1 << 30))))], name="app:1")
    imagefs("import", "--no-unpack", "-", stdin=archive.bytes())
    root = mount("--view", "rootfs", "app:1")
    unpacking = imagefs.store / "tmp"
    reading = subprocess.Popen(
        [sys.executable, "-c", f"import os; os.listdir({str(root)!r})"], stderr=subprocess.DEVNULL
    )
    while not any(unpacking.iterdir()):
        assert reading.poll() is None
        time.sleep(0.01)
    reading.send_signal(signal.SIGINT)
    assert reading.wait(10) != 0
    assert any(unpacking.iterdir()), "the layer is still being uncompressed, and who asked for it is gone"
    assert os.listdir(root) == ["zeros"]


@pytest.mark.usefixtures("both_loops")
def test_a_large_directory_into_a_large_buffer(imagefs, mount):
    archive = OciArchive()
    archive.add_image([gzip_layer(*[file(f"many/{number:05}") for number in range(5000)])], name="app:1")
    imagefs("import", "-", stdin=archive.bytes())
    folder = os.open(mount("--view", "rootfs", "app:1") / "many", os.O_RDONLY | os.O_DIRECTORY)
    # Newer kernels hand the size of the reader's buffer on, and the answer may be as large.
    buffer = ctypes.create_string_buffer(1 << 20)
    libc = ctypes.CDLL(None, use_errno=True)
    listed = b""
    while (size := libc.getdents64(folder, buffer, len(buffer))) > 0:
        listed += buffer.raw[:size]
    os.close(folder)
    assert size == 0
    assert all(b"%05d" % number in listed for number in range(5000))
