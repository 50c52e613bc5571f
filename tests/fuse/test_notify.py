"""What a service manager is told, over a socket as systemd's."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.archives import OciArchive, file, gzip_layer
from support.inside import InsideImagefs

UNIT = Path(__file__).parents[2] / "scripts/imagefs@.service"


@pytest.fixture
def imagefs(tmp_path) -> InsideImagefs:
    imagefs = InsideImagefs(tmp_path / "store")
    archive = OciArchive()
    archive.add_image([gzip_layer(file("hello"))], name="app:1")
    imagefs("import", "-", stdin=archive.bytes())
    return imagefs


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path) -> Iterator[tuple[str, socket.socket]]:
    """(what $NOTIFY_SOCKET is, the manager's end)."""
    name = f"imagefs-{os.getpid()}-{tmp_path.name}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(f"\0{name}" if request.param == "abstract" else name)
        end.settimeout(20)
        yield (f"@{name}" if request.param == "abstract" else name), end


@contextmanager
def service(imagefs, root: Path, notify: str) -> Iterator["subprocess.Popen[bytes]"]:
    root.mkdir()
    command = [sys.executable, "-m", "imagefs", "--store", imagefs.store, "mount", "-f", "app:1", root]
    process = subprocess.Popen(command, env={**os.environ, "NOTIFY_SOCKET": notify})
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        imagefs("umount", root, check=False)


def test_ready_and_stopping(imagefs, manager, tmp_path):
    address, end = manager
    root = tmp_path / "mnt"
    with service(imagefs, root, address) as process:
        assert end.recv(4096).decode().split("\n") == ["READY=1", f"STATUS=1 image of {imagefs.store} on {root}"]
        assert os.path.ismount(root)
        assert os.listdir(root / "images/docker.io/library/app:1") == ["hello"]
        process.send_signal(signal.SIGTERM)
        assert end.recv(4096).decode().split("\n")[0] == "STOPPING=1"
        assert process.wait(20) == 0
    assert not os.path.ismount(root)


def test_nobody_listens(imagefs, tmp_path):
    root = tmp_path / "mnt"
    with service(imagefs, root, str(tmp_path / "nothing")) as process:
        while not os.path.ismount(root):
            assert process.poll() is None
        assert "images" in os.listdir(root)


def test_a_mount_in_the_background_is_no_service(imagefs, mount, tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        imagefs("umount", mount())
        with pytest.raises(BlockingIOError):
            end.recv(4096)


def test_the_unit_is_one(tmp_path):
    """As far as can be told without a service manager: it is there to be copied, and its commands are ours."""
    lines = UNIT.read_text().splitlines()
    told = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    assert (told["Type"], told["Restart"]) == ("notify", "on-failure")
    assert told["ExecStart"].split()[1:] == ["mount", "-f", "%f"]
    assert told["ExecStop"].split()[1:] == ["umount", "%f"]
    assert told["ExecStopPost"].startswith("-") and told["ExecStopPost"].split()[1:] == ["umount", "--lazy", "%f"]
