"""Disks that lose data under a mount: what is read there is an error, and the mount lives on."""

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.archives import OciArchive, digest_of, file, gzip_data, layer

from imagefs.layers.pieces import PIECE

BIG = os.urandom(3 * PIECE)
PACKED = layer(file("packed", BIG), file("small", b"small"))
PLAIN = layer(file("plain", BIG))


@pytest.fixture
def stored(imagefs) -> dict[str, Path]:
    """The files with the data of two layers."""
    archive = OciArchive()
    archive.add_image([gzip_data(PACKED), PLAIN], name="app:1")
    imagefs("import", "-q", "-", stdin=archive.bytes())
    places = {
        "packed": imagefs.store / "layers" / digest_of(PACKED) / "layer.tar",
        "plain": imagefs.store / "blobs" / digest_of(PLAIN).replace(":", "/"),
    }
    for path in places.values():
        path.chmod(0o644)
    return places


def tree(folder: Path) -> Path:
    return folder / "images/docker.io/library/app:1"


def error_of(path: Path, offset: int = 0, size: int = 100) -> int | None:
    """The errno of reading some bytes of a file, None where it goes well."""
    with path.open("rb", buffering=0) as source:
        os.posix_fadvise(source.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        try:
            os.pread(source.fileno(), size, offset)
        except OSError as error:
            return error.errno
    return None


def flip(path: Path, position: int) -> None:
    with path.open("r+b") as out:
        out.seek(position)
        (byte,) = out.read(1)
        out.seek(position)
        out.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("name", ["packed", "plain"])
@pytest.mark.parametrize("arguments", [["-o", "verify"], ["-o", "verify", "app:1"]])
@pytest.mark.usefixtures("both_loops")
def test_a_flipped_bit_is_an_error_where_it_is(stored, mount, name, arguments):
    flip(stored[name], 2 * PIECE)
    damaged = tree(mount(*arguments)) / name
    assert error_of(damaged, 2 * PIECE) == errno.EIO
    assert damaged.with_name("small").read_bytes() == b"small"
    other = damaged.with_name("plain" if name == "packed" else "packed")
    assert other.read_bytes() == BIG
    assert error_of(damaged, 2 * PIECE) == errno.EIO, "again"


def test_without_verify_it_is_not_looked_for(stored, mount):
    flip(stored["packed"], 2 * PIECE)
    content = (tree(mount()) / "packed").read_bytes()
    assert len(content) == len(BIG)
    assert content != BIG


def test_whole_layers_read_as_they_are(stored, mount):
    folder = tree(mount("-o", "verify"))
    assert (folder / "packed").read_bytes() == (folder / "plain").read_bytes() == BIG
    assert (folder / "small").read_bytes() == b"small"


def test_the_log_names_the_layer_and_where(stored, imagefs, tmp_path):
    folder = tmp_path / "mnt"
    folder.mkdir()
    flip(stored["packed"], 2 * PIECE)
    command = [sys.executable, "-m", "imagefs", "--store", imagefs.store, "mount", "-f", "-o", "verify", folder]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not os.path.ismount(folder):
            assert process.poll() is None
        assert error_of(tree(folder) / "packed", 2 * PIECE) == errno.EIO
        process.terminate()
        said = process.stderr.read()
    assert f"{digest_of(PACKED)}: the layer's data is damaged between byte {2 * PIECE} and {3 * PIECE}" in said


@pytest.mark.parametrize("options", [[], ["-o", "verify"]])
@pytest.mark.parametrize("name", ["packed", "plain"])
def test_truncated_under_a_mount(stored, mount, name, options):
    path = tree(mount(*options)) / name
    assert error_of(path) is None
    os.truncate(stored[name], PIECE)
    assert error_of(path, 2 * PIECE) == errno.EIO
    assert (path.with_name("plain" if name == "packed" else "packed")).read_bytes() == BIG


@pytest.mark.parametrize("name", ["packed", "plain"])
def test_truncated_before_the_mount(stored, mount, name):
    os.truncate(stored[name], PIECE)
    path = tree(mount()) / name
    assert error_of(path, 2 * PIECE) == errno.EIO
    assert (path.with_name("plain" if name == "packed" else "packed")).read_bytes() == BIG


def test_a_tar_that_is_gone_is_made_again(stored, mount):
    stored["packed"].unlink()
    assert (tree(mount()) / "packed").read_bytes() == BIG


def test_a_directory_in_the_place_of_a_tar_makes_way(stored, mount):
    stored["packed"].unlink()
    (stored["packed"] / "in it").mkdir(parents=True)
    assert (tree(mount()) / "packed").read_bytes() == BIG
    assert stored["packed"].is_file()


@pytest.mark.parametrize("instead", ["nothing", "a directory"])
def test_a_blob_that_is_gone_under_a_mount(imagefs, stored, mount, instead):
    other = OciArchive()
    other.add_image([gzip_data(layer(file("whole", b"whole")))], name="other:1")
    imagefs("import", "-q", "-", stdin=other.bytes())
    folder = mount()
    stored["plain"].unlink()
    if instead == "a directory":
        stored["plain"].mkdir()
    with pytest.raises(OSError) as caught:
        (tree(folder) / "plain").read_bytes()
    assert caught.value.errno == errno.EIO
    assert (folder / "images/docker.io/library/other:1/whole").read_bytes() == b"whole"


def test_a_blob_in_the_layout_that_is_cut_short(stored, mount):
    folder = mount()
    path = folder / "blobs" / digest_of(PLAIN).replace(":", "/")
    assert path.stat().st_size == len(PLAIN)
    os.truncate(stored["plain"], PIECE)
    assert error_of(path, 2 * PIECE) == errno.EIO
    assert error_of(path, PIECE) == errno.EIO
    assert json.loads((folder / "index.json").read_bytes())["manifests"]


def test_an_index_of_another_format_is_made_again(imagefs, stored, mount):
    index = stored["packed"].with_name("index.sqlite")
    index.chmod(0o644)
    with index.open("r+b") as out:
        out.seek(60)
        out.write((2).to_bytes(4, "big"))
    assert (tree(mount()) / "packed").read_bytes() == BIG
    shutil.rmtree(index.parent)
    assert imagefs("ls", "app:1:/").lines == ["packed", "plain", "small"]


def test_a_mount_drops_what_a_repair_costs(imagefs, stored, mount):
    folder = mount()
    other = OciArchive()
    other.add_image([gzip_data(layer(file("whole", b"whole")))], name="other:1")
    imagefs("import", "-q", "-", stdin=other.bytes())
    assert (tree(folder) / "plain").read_bytes() == BIG
    flip(stored["plain"], PIECE)
    assert imagefs("check", "--full", "--repair", check=False).status == 1
    deadline = time.monotonic() + 30
    while tree(folder).exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert (folder / "images/docker.io/library/other:1/whole").read_bytes() == b"whole"
