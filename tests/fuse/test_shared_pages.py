"""Images that share a layer share the kernel's pages of its files: nothing is read twice."""

import os
from pathlib import Path

import pytest
from support.archives import OciArchive, file, gzip_layer

FILES = {f"data/{number}": os.urandom(100_000) for number in range(40)}
SIZE = sum(map(len, FILES.values()))
SHARED = gzip_layer(*(file(name, data) for name, data in FILES.items()))


def bytes_read(mountpoint: Path) -> int:
    """How much the processes that serve a mount have read by now, in bytes: from layers and requests alike."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            if b"imagefs.fuse" in command and os.fsencode(mountpoint) + b'"' in command:
                counts = dict(line.split(": ") for line in (process / "io").read_text().splitlines())
                total += int(counts["rchar"])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def read_all(tree: Path) -> None:
    for name, data in FILES.items():
        assert (tree / name).read_bytes() == data


@pytest.fixture
def images(imagefs, mount):
    archive = OciArchive()
    for name in ("one:1", "two:1"):
        archive.add_image([SHARED, gzip_layer(file("etc/name", name.encode()))], name=name)
    imagefs("import", "-", stdin=archive.bytes())
    return lambda *arguments: mount(*arguments) / "images/docker.io/library"


@pytest.mark.parametrize("named", [(), ("one:1", "two:1")])
def test_what_one_image_has_read_no_other_asks_for(images, named):
    folder = images(*named)
    mountpoint = folder.parents[2]
    before = bytes_read(mountpoint)
    assert before > 0
    read_all(folder / "one:1")
    first = bytes_read(mountpoint)
    assert first - before > SIZE
    read_all(folder / "two:1")
    second = bytes_read(mountpoint)
    # Looking up and opening are requests of some hundred bytes each.
    assert second - first < SIZE / 10
    for name in FILES:
        assert (folder / "one:1" / name).stat().st_ino == (folder / "two:1" / name).stat().st_ino
