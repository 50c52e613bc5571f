"""A fixed set of more images than a process may have files open."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from support.archives import OciArchive, file, gzip_layer

IMAGES = 150
DESCRIPTORS = 256


@pytest.fixture
def few_descriptors():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def images(imagefs):
    archive = OciArchive()
    for number in range(IMAGES):
        archive.add_image([gzip_layer(file("number", b"%d" % number))], name=f"many/image{number}:1")
    imagefs("import", "-", stdin=archive.bytes())
    return [f"many/image{number}:1" for number in range(IMAGES)]


def test_every_file_of_every_image_can_be_read(imagefs, mount, images, few_descriptors):
    root = mount(*images)
    for number in range(IMAGES):
        path = root / "images/docker.io/many" / f"image{number}:1" / "number"
        assert path.read_bytes() == b"%d" % number


def test_every_blob_can_be_read(imagefs, mount, images, few_descriptors):
    root = mount("--view", "layout", *images)
    copied = subprocess.run(["tar", "-C", root, "-cf", "-", "."], capture_output=True, check=False)
    assert (copied.returncode, copied.stderr) == (0, b"")


def test_they_can_be_read_where_the_system_allows_no_more(imagefs, images, tmp_path):
    root = tmp_path / "mnt"
    root.mkdir()
    limited = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512));"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    command = ["-m", "imagefs", "--store", imagefs.store, "mount", *images, root]
    subprocess.run([sys.executable, "-c", limited, *command], check=True)
    try:
        for number in range(IMAGES):
            path = root / "images/docker.io/many" / f"image{number}:1" / "number"
            assert path.read_bytes() == b"%d" % number
        for blob in os.scandir(root / "blobs/sha256"):
            assert len(Path(blob.path).read_bytes()) == blob.stat().st_size
    finally:
        imagefs("umount", root)


def test_a_damaged_image_does_not_keep_the_others_from_being_mounted(imagefs, mount):
    archive = OciArchive()
    for name in ("bad", "good"):
        archive.add_image([gzip_layer(*[file(f"{name}{number:04}", b"x") for number in range(2000)])], name=f"{name}:1")
    imagefs("import", "-", stdin=archive.bytes())
    index = next(path for path in imagefs.store.glob("layers/*/index.sqlite") if b"bad0000" in path.read_bytes())
    index.chmod(0o600)
    size = index.stat().st_size
    with index.open("r+b") as broken:
        broken.seek(4096)
        broken.write(b"\xff" * (size - 4096))
    root = mount("bad:1", "good:1")
    assert len(os.listdir(root / "images/docker.io/library/good:1")) == 2000
    with pytest.raises(OSError, match="Input/output error"):
        os.listdir(root / "images/docker.io/library/bad:1")
