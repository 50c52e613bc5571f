"""What people and programs do in a mounted tree: copy it, search it, scan it, run what is in it."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.archives import OciArchive, directory, file, layer

from .archives import oci_images
from .conftest import imagefs, mounted, run
from .tree import differences, walk

pytestmark = [pytest.mark.peer, pytest.mark.fuse]


@pytest.fixture(scope="module")
def debian(samples, need, tmp_path_factory) -> Iterator[Path]:
    """The tree of a whole Debian: capabilities, hard links, a fifo, odd names, whiteouts."""
    need("root")
    folder = tmp_path_factory.mktemp("users")
    tag = list(oci_images(samples.debian).values())[-1].tag
    names = imagefs(folder / "store", "import", "-q", samples.debian).split()
    (image,) = [name for name in names if name.endswith(f":{tag}")]
    with mounted(folder / "store", folder / "mnt", "--view", "rootfs", image) as root:
        yield root


@pytest.fixture(scope="module")
def expected(debian):
    """All that there is to know of it."""
    tree = walk(debian)
    assert len(tree) > 3000
    assert any(entry.xattrs for entry in tree.values())
    assert any(len(entry.links) > 1 for entry in tree.values())
    assert any(entry.kind == "fifo" for entry in tree.values())
    return tree


@pytest.mark.slow
def test_cp(debian, expected, scratch):
    run("cp", "-a", debian, scratch / "copy")
    assert differences(expected, walk(scratch / "copy")) == []


@pytest.mark.slow
def test_rsync(debian, expected, need, scratch):
    run(need("rsync"), "-aHAX", "--numeric-ids", f"{debian}/", scratch / "copy")
    assert differences(expected, walk(scratch / "copy")) == []
    again = run(need("rsync"), "-aHAXni", "--numeric-ids", f"{debian}/", scratch / "copy/")
    assert again == "", "a second run finds nothing to do"


@pytest.mark.slow
def test_tar(debian, expected, scratch):
    (scratch / "copy").mkdir()
    keeping = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls"]
    run("tar", "-C", debian, "--format=posix", *keeping, "-cf", scratch / "all.tar", ".")
    run("tar", "-C", scratch / "copy", *keeping, "-xpf", scratch / "all.tar")
    assert differences(expected, walk(scratch / "copy")) == []


def test_find(debian, expected):
    command = ["find", debian, "-xdev", "-printf", "%y %m %U %G %n %P\\0"]
    found = os.fsdecode(subprocess.run(command, capture_output=True, check=True).stdout).split("\0")[:-1]
    kinds = {"d": "directory", "f": "file", "l": "symlink", "p": "fifo", "c": "character device", "b": "block device"}
    assert len(found) == len(expected)
    for line in found:
        kind, mode, uid, gid, links, path = line.split(" ", 5)
        entry = expected[os.fsencode(path) or b"."]
        assert (kinds[kind], int(mode, 8), int(uid), int(gid)) == (entry.kind, entry.mode, entry.uid, entry.gid)
        assert entry.nlink in (None, int(links))


def test_a_walker_that_trusts_the_types_in_directories(debian, expected):
    """As Go's filepath.WalkDir, on which scanners of images are built."""
    pending, seen = [os.fsencode(debian)], 0
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                seen += 1
                status = os.lstat(entry.path)
                assert entry.is_dir(follow_symlinks=False) == stat.S_ISDIR(status.st_mode)
                assert entry.is_file(follow_symlinks=False) == stat.S_ISREG(status.st_mode)
                assert entry.is_symlink() == stat.S_ISLNK(status.st_mode)
                assert entry.inode() == status.st_ino
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
    assert seen == len(expected) - 1
    release = (debian / "etc/os-release").read_text()
    assert "ID=debian" in release
    assert "Package: dash" in (debian / "var/lib/dpkg/status").read_text()


def test_chroot_runs_the_shell_of_the_image(debian):
    script = ". /etc/os-release && echo $ID $0 && ls / | wc -l"
    names, count = run("chroot", debian, "/bin/sh", "-c", script).splitlines()
    assert names == "debian /bin/sh"
    assert int(count) == len(os.listdir(debian))


def test_bwrap_runs_the_shell_of_the_image(debian, need):
    bwrap = need("bwrap")
    command = [bwrap, "--ro-bind", debian, "/", "--dev", "/dev", "--tmpfs", "/tmp", "--unshare-pid", "/bin/sh", "-c"]
    assert run(*command, "echo it >/tmp/runs && cat /tmp/runs && . /etc/os-release && echo $ID") == "it\ndebian\n"


def test_git_status_in_a_tree(need, scratch):
    git = need("git")
    home = scratch / "home"
    home.mkdir()
    environment = {"HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1"}
    made = scratch / "made"
    run(git, "init", "-q", made, env=environment)
    for name in ("kept", "changed", "removed"):
        (made / name).write_text(name)
    run(git, "-C", made, "add", ".", env=environment)
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    run(git, "-C", made, *identity, "commit", "-qm", "first", env=environment)
    entries = []
    for path in sorted(made.rglob("*")):
        name = f"src/{path.relative_to(made)}"
        if path.is_dir():
            entries.append(directory(name))
        else:
            entries.append(file(name, path.read_bytes(), mode=path.stat().st_mode & 0o777))
    archive = OciArchive()
    archive.add_image(
        [layer(directory("src"), *entries), layer(file("src/.wh.removed"), file("src/changed", b"2"), file("src/new"))],
        tag="1",
    )
    name = imagefs(scratch / "store", "import", "-q", archive.write(scratch / "git.tar")).strip()
    with mounted(scratch / "store", scratch / "mnt", "--view", "rootfs", name) as root:
        trusted = ["-c", f"safe.directory={root}/src", "-c", "safe.directory=*"]
        status = run(git, *trusted, "-C", root / "src", "status", "--porcelain", env=environment)
        log = run(git, *trusted, "-C", root / "src", "log", "--format=%s", env=environment)
    assert sorted(status.splitlines()) == [" D removed", " M changed", "?? new"]
    assert log == "first\n"


def test_programs_of_the_image_are_mapped_and_run_from_it(debian):
    """Loaded by the image's own loader, whose pages come through the mount."""
    loader = next((debian / "lib64").glob("ld-*"), None) or next((debian / "lib").glob("ld-linux*"))
    libraries = sorted({str(path.parent) for path in (debian / "usr/lib").glob("*/libc.so.6")})
    done = subprocess.run(
        [loader, "--library-path", ":".join(libraries), debian / "usr/bin/sha256sum", debian / "usr/bin/env"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split()[0] == run("sha256sum", debian / "usr/bin/env").split()[0]
