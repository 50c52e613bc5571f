"""What a live mount tells of itself, what it logs, and the stacks of its threads."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.archives import OciArchive, file, gzip_layer
from support.inside import InsideImagefs
from support.served import eventually, lives, process_of

from imagefs.fuse import stats, takeover

TREE = "images/docker.io/library/app:1"


@pytest.fixture
def imagefs(tmp_path) -> InsideImagefs:
    return InsideImagefs(tmp_path / "store")


@pytest.fixture
def app(imagefs) -> InsideImagefs:
    return brought(imagefs)


def brought(imagefs: InsideImagefs, *options: str) -> InsideImagefs:
    archive = OciArchive()
    archive.add_image([gzip_layer(*[file(f"f{n}", b"x" * 1000) for n in range(50)])], name="app:1")
    imagefs("import", *options, "-", stdin=archive.bytes())
    return imagefs


def told(app, root: Path) -> dict:
    return json.loads(app("stats", "--json", root).out)


def test_what_was_asked_is_counted(app, mount):
    root = mount()
    for number in range(50):
        assert len((root / TREE / f"f{number}").read_bytes()) == 1000
        assert not (root / TREE / f"nothing{number}").exists()
    found = told(app, root)
    assert found["requests"]["lookup"]["count"] >= 100
    assert found["requests"]["read"]["count"] == found["reads"] == 50
    assert found["bytes_read"] == 50_000
    assert 0 <= found["cached_reads"] <= 50
    assert (found["open_layers"], found["unpacked_layers"]) == (1, 0)
    assert (found["mountpoint"], found["store"], found["view"]) == (str(root), str(app.store), "all")
    assert found["images"] is None
    assert found["memory"] > 1 << 20
    assert found["open_files"] > 3
    assert found["threads"] >= 1
    assert found["uptime"] > 0
    for each in found["requests"].values():
        assert each["count"] > 0
        assert 0 < each["p50"] <= each["p99"] < 60
        assert 0 < each["mean"] < 60
    # It goes on counting, and being asked is counted, too.
    os.listdir(root / TREE)
    again = told(app, root)
    assert again["requests"]["readdirplus"]["count"] > found["requests"].get("readdirplus", {"count": 0})["count"]
    assert again["requests"]["ioctl"]["count"] == 1 + found["requests"].get("ioctl", {"count": 0})["count"]


def test_it_is_told_for_people(app, mount):
    root = mount("app:1")
    os.listdir(root / TREE)
    lines = app("stats", root).lines
    assert lines[0].startswith(f"process:   {process_of(root)}, up 0:00:")
    assert [line.split(":")[0] for line in lines[:5]] == ["process", "memory", "layers", "read", "errors"]
    assert lines[6].split() == ["REQUEST", "COUNT", "MEAN", "P50", "P99"]
    assert any(line.startswith("lookup ") for line in lines[7:])


def test_layers_that_are_unpacked_on_demand_are_counted(imagefs, mount):
    root = mount(brought(imagefs, "--no-unpack") and "app:1")
    before = told(imagefs, root)
    assert (before["open_layers"], before["unpacked_layers"], before["images"]) == (0, 0, ["app:1"])
    os.listdir(root / TREE)
    after = told(imagefs, root)
    assert (after["open_layers"], after["unpacked_layers"]) == (1, 1)


def test_errors_are_counted_by_errno(app, mount):
    root = mount("-o", "provenance")
    (diff_id,) = (app.store / "layers").iterdir()
    os.truncate(diff_id / "layer.tar", 1024)
    for number in range(3):
        with pytest.raises(OSError, match="Input/output"):
            (root / TREE / f"f{number + 10}").read_bytes()
    found = told(app, root)
    assert found["errors"]["EIO"] >= 3
    assert f"{found['errors']['EIO']} EIO" in app("stats", root).out


@pytest.mark.parametrize("arguments", [("app:1",), ("--view", "rootfs", "app:1"), ("-o", "noxattr")])
def test_mounts_that_answer_no_extended_attribute_are_asked_all_the_same(app, mount, arguments):
    root = mount(*arguments)
    with pytest.raises(OSError, match="not supported"):
        os.getxattr(root, "user.anything")
    assert told(app, root)["errors"]["ENOSYS"] >= 1


def test_many_names_are_cut_short(app, mount):
    names = [f"quay.io/somebody/{'x' * 60}:{number}" for number in range(200)]
    app("tag", "app:1", *names)
    root = mount(*names)
    found = told(app, root)
    assert found["images"] == names[: len(found["images"])]
    assert 20 < len(found["images"]) < 200
    assert len(found["images"]) + found["more_images"] == 200
    assert f" and {found['more_images']} more " in app("mounts").out


def test_what_cannot_be_asked(app, mount, tmp_path, monkeypatch):
    refused = app("stats", tmp_path, check=False)
    assert (refused.status, refused.err) == (1, f"imagefs: {tmp_path}: not an imagefs mount\n")
    root = mount()
    process = process_of(root)
    os.kill(process, signal.SIGKILL)
    assert eventually(lambda: not lives(process))
    refused = app("stats", root, check=False)
    assert refused.err == f"imagefs: {root}: its process is gone; imagefs umount clears it away\n"
    monkeypatch.setenv(takeover.STOCK_LOOP, "1")
    stock = mount()
    refused = app("stats", stock, check=False)
    assert refused.err == f"imagefs: {stock}: it cannot be asked, or not by you\n"
    assert stats.look(os.fsencode(stock)).state == "live"


def test_other_commands_of_ioctl_are_refused(app, mount):
    import fcntl

    root = mount()
    for path, command in ((root, stats.COMMAND + 1), (root / TREE, stats.COMMAND)):
        folder = os.open(path, os.O_RDONLY)
        with pytest.raises(OSError, match="Inappropriate ioctl"):
            fcntl.ioctl(folder, command, bytearray(stats.SIZE))
        os.close(folder)


# -- logs


def test_a_log_file_at_a_level(app, mount, tmp_path):
    log = tmp_path / "log"
    root = tmp_path / "mnt"
    root.mkdir()
    app("--log-level", "debug", "mount", "--log", log, root)
    os.listdir(root / TREE)
    app("umount", root)
    text = log.read_text()
    assert f" INFO {root}: mounted" in text
    assert " DEBUG lookup " in text
    quiet = tmp_path / "quiet"
    app("--log-level", "error", "mount", "--log", quiet, root)
    app("umount", root)
    assert quiet.read_text() == ""


def test_a_log_file_that_cannot_be(app, tmp_path):
    (tmp_path / "mnt").mkdir()
    log = tmp_path / "nowhere/log"
    for flags in ((), ("-f",)):
        refused = app("mount", *flags, "--log", log, tmp_path / "mnt", check=False)
        assert (refused.status, refused.err) == (1, f"imagefs: {log}: No such file or directory\n")
        assert not os.path.ismount(tmp_path / "mnt")


def test_a_level_that_is_none(app):
    command = [sys.executable, "-m", "imagefs", "--log-level", "loud", "mounts"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"'loud' is not one of" in done.stderr


def test_the_stacks_of_a_mount_in_the_background(app, mount, tmp_path):
    log = tmp_path / "log"
    root = mount("--log", str(log))
    process = process_of(root)
    for count in (1, 2):
        os.kill(process, signal.SIGUSR1)
        assert eventually(lambda count=count: log.read_text().count("most recent call first") >= count)
    assert "serve.py" in log.read_text()
    assert os.listdir(root / TREE)
    assert lives(process)


def test_a_mount_without_a_log_does_not_die_of_it(app, mount):
    root = mount()
    os.kill(process_of(root), signal.SIGUSR1)
    assert len(os.listdir(root / TREE)) == 50
    assert lives(process_of(root))


def test_the_stacks_of_a_mount_in_the_foreground(app, tmp_path):
    root = tmp_path / "mnt"
    root.mkdir()
    command = [sys.executable, "-m", "imagefs", "--store", app.store, "--log-level", "info", "mount", "-f", root]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert eventually(lambda: os.path.ismount(root))
        assert process_of(root) == process.pid
        process.send_signal(signal.SIGUSR1)
        assert process.stderr is not None
        lines = []
        while "cli/main.py" not in "".join(lines[-1:]):
            lines.append(process.stderr.readline())
            assert lines[-1]
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=20)[1]
        assert f"imagefs: {root}: mounted\n" in lines
        assert "imagefs: ended by SIGTERM\n" in rest
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
