"""What the store has already is not written again, whatever the archive's form, and from a pipe as from a file."""

import errno
import gzip
import hashlib
import io
import itertools
import json
import os
import tempfile

import pytest
from support.archives import OciArchive, digest_of, docker_archive, file, gzip_data, layer, zstd_layer

from imagefs import ImportOptions, Ingest, Store, import_archive
from imagefs.errors import ArchiveError, DigestMismatch, SizeMismatch
from imagefs.layers.writer import IndexWriter
from imagefs.store.files import NewFile

LARGE = layer(file("large", os.urandom(3_000_000)), file("b", b"2"))
SMALL = layer(file("small", os.urandom(3000)))
PACKED = zstd_layer(file("packed", os.urandom(2_000_000)))


def of_docker(*layers: bytes) -> bytes:
    return docker_archive([(list(layers), ["app:1"])])


def of_oci(*layers: bytes) -> bytes:
    archive = OciArchive()
    archive.add_image(list(layers), name="app:1")
    return archive.bytes()


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store") as store:
        yield store


@pytest.fixture
def written(monkeypatch):
    """The sizes of the files that are written, and "index" for each layer that is indexed."""
    sizes = []
    real, index = NewFile.close, IndexWriter.__init__

    def close(self):
        sizes.append(self._size)
        real(self)

    def begin(self, *arguments):
        sizes.append("index")
        index(self, *arguments)

    monkeypatch.setattr(NewFile, "close", close)
    monkeypatch.setattr(IndexWriter, "__init__", begin)
    return sizes


class Pipe:
    """A stream that is read once, some at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, 100_000) if size >= 0 else size)


def as_file(data: bytes):
    file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  it ends with the test
    file.write(b"before it" + data)
    file.seek(len(b"before it"))
    return file


STREAMS = {
    "buffer": io.BytesIO,
    "pipe": Pipe,
    "packed": lambda data: Pipe(gzip.compress(data)),
    "file": as_file,
    "packed file": lambda data: as_file(gzip.compress(data)),
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("form", [of_docker, of_oci])
def test_nothing_is_written_twice(store, written, form, stream):
    data = form(LARGE, SMALL, PACKED)
    first = import_archive(store, stream(data))
    assert len(LARGE) in written
    del written[:]
    assert [record.target for record in import_archive(store, stream(data))] == [record.target for record in first]
    assert written == []
    assert os.listdir(store.temporary_folder) == []


@pytest.mark.parametrize(("form", "other"), [(of_docker, of_oci), (of_oci, of_docker)])
def test_plain_layers_are_the_same_in_both_forms(store, written, form, other):
    import_archive(store, io.BytesIO(form(LARGE, SMALL)))
    del written[:]
    import_archive(store, Pipe(other(LARGE, SMALL)))
    assert max(written) < 2000, "a manifest or a configuration"


def test_a_layer_that_was_uncompressed_is_the_blob_of_a_docker_archive(imagefs, store, written):
    import_archive(store, io.BytesIO(of_oci(gzip_data(LARGE), SMALL)))
    del written[:]
    import_archive(store, Pipe(docker_archive([([LARGE, SMALL], ["two:1"])])))
    assert max(written) < 2000
    assert store.blobs.path(digest_of(LARGE)).samefile(store.layers.tar(digest_of(LARGE)))
    del written[:]
    import_archive(store, Pipe(docker_archive([([LARGE, SMALL], ["two:1"])])))
    assert written == []


def test_the_blob_that_came_of_a_layer_outlives_the_image_that_brought_it(imagefs):
    imagefs("import", "-", stdin=of_oci(gzip_data(LARGE)))
    imagefs("import", "-", stdin=docker_archive([([LARGE], ["two:1"])]))
    imagefs("rm", "app:1")
    imagefs("gc")
    assert f"blobs/{digest_of(gzip_data(LARGE)).replace(':', '/')}" not in imagefs.files()
    assert (imagefs.store / "blobs" / digest_of(LARGE).replace(":", "/")).read_bytes() == LARGE
    assert imagefs("cat", "two:1:/b").out == "2"
    imagefs("rm", "two:1")
    imagefs("gc")
    assert imagefs.files() == []


def test_without_hard_links_it_is_written(store, monkeypatch):
    monkeypatch.setattr("pathlib.Path.hardlink_to", lambda *_: (_ for _ in ()).throw(PermissionError()))
    import_archive(store, io.BytesIO(of_oci(gzip_data(LARGE))))
    import_archive(store, Pipe(docker_archive([([LARGE], ["two:1"])])))
    assert store.blobs.path(digest_of(LARGE)).read_bytes() == LARGE
    assert not store.blobs.path(digest_of(LARGE)).samefile(store.layers.tar(digest_of(LARGE)))


def test_a_layer_that_is_kept_compressed_is_unpacked_when_it_comes_again(store):
    first = import_archive(store, Pipe(of_docker(PACKED, LARGE)), ImportOptions(unpacking=False))
    assert list(store.layers) == []
    assert [record.target for record in import_archive(store, Pipe(of_docker(PACKED, LARGE)))] == [first[0].target]
    assert len(list(store.layers)) == 2


@pytest.mark.parametrize("stream", [Pipe, as_file])
@pytest.mark.parametrize("position", [600, 1_500_000, len(LARGE) - 2000])
def test_a_layer_of_the_same_size_is_another_layer(store, position, stream):
    other = LARGE[:position] + bytes([LARGE[position] ^ 1]) + LARGE[position + 1 :]
    import_archive(store, io.BytesIO(of_docker(LARGE)))
    import_archive(store, stream(of_docker(other)))
    assert store.blobs.path(digest_of(other)).read_bytes() == other
    assert store.blobs.path(digest_of(LARGE)).read_bytes() == LARGE
    assert digest_of(other) in store.layers


def test_a_twin_that_ends_early_is_an_error(store):
    import_archive(store, io.BytesIO(of_docker(LARGE)))
    before = sorted(store.blobs)
    with Ingest(store) as ingest, pytest.raises(SizeMismatch):
        ingest.add_blob([LARGE[:-1]], len(LARGE), label="x")
    assert sorted(store.blobs) == before
    assert os.listdir(store.temporary_folder) == []


def test_a_plain_layer_that_is_stored_under_another_algorithm_keeps_its_tar(imagefs, tmp_path):
    plain = layer(file("a", b"1" * 3_000_000))
    archive = OciArchive()
    image = archive.add_image([plain], name="app:1")
    manifest = json.loads(archive.blobs.pop(image["digest"]))
    del archive.blobs[manifest["layers"][0]["digest"]]
    renamed = f"sha512:{hashlib.sha512(plain).hexdigest()}"
    archive.blobs[renamed] = plain
    manifest["layers"][0]["digest"] = renamed
    image["digest"] = archive.add_blob(json.dumps(manifest).encode())
    image["size"] = len(archive.blobs[image["digest"]])
    for options in ((), ("--no-unpack",)):
        imagefs("import", *options, "-", stdin=archive.bytes())
        assert imagefs("ls", "app:1:/").lines == ["a"]
        assert len(imagefs("cat", "app:1:/a").out) == 3_000_000
        imagefs("rm", "app:1")
        imagefs("gc")


@pytest.mark.parametrize("failing", range(1, 9))
@pytest.mark.parametrize("packed", [True, False])
def test_a_layer_that_cannot_be_put_in_its_place_leaves_nothing(store, monkeypatch, failing, packed):
    real, calls = os.fsync, itertools.count(1)

    def fsync(descriptor: int) -> None:
        if next(calls) == failing:
            raise OSError(errno.EIO, "the disk is broken")
        real(descriptor)

    descriptors = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="broken"):
        import_archive(store, io.BytesIO(of_oci(PACKED if packed else LARGE, SMALL)))
    assert next(calls) > failing, "it was called"
    assert os.listdir(store.temporary_folder) == []
    assert store.images() == []
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_what_is_there_is_checked_all_the_same(store, stream):
    layers = [gzip_data(layer(file(str(number), os.urandom(1_500_000)))) for number in range(5)]
    data = of_oci(*layers)
    import_archive(store, stream(data))
    bad = layers[1]
    name = f"blobs/{digest_of(bad).replace(':', '/')}"
    before = sorted(store.blobs), sorted(store.layers)
    with pytest.raises(DigestMismatch) as caught:
        import_archive(store, stream(data.replace(bad, bad[:-1] + bytes([bad[-1] ^ 1]))))
    assert caught.value.member == name
    assert (sorted(store.blobs), sorted(store.layers)) == before
    end = data.index(bad) + len(bad) - 1000
    with pytest.raises(ArchiveError) as caught:
        import_archive(store, stream(data[:end]))
    assert str(caught.value).endswith(f"{name}: the archive ends inside it, 1000 bytes early")
    assert (sorted(store.blobs), sorted(store.layers)) == before


def test_a_digest_that_does_not_hold_leaves_nothing_though_the_layer_is_good(store):
    good, bad = gzip_data(LARGE), PACKED
    archive = OciArchive()
    archive.add_image([good, bad], name="app:1")
    data = archive.bytes().replace(bad, bad[:-1] + bytes([bad[-1] ^ 1]))
    with pytest.raises(Exception, match=r"digest is sha256:\w+, not"):
        import_archive(store, Pipe(data))
    assert (list(store.blobs), list(store.layers), os.listdir(store.temporary_folder)) == ([], [], [])
    assert json.dumps(store.images()) == "[]"
