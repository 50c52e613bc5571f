"""Archives as other tools write them: what comes out of each, and that nothing of it is lost on the way."""

import inspect
import io
import json
import subprocess
import tarfile
from collections.abc import Callable

import pytest
from support import foreign_docker, foreign_oci
from support.archives import OciArchive, digest_of, file, gzip_data, layer, zstd_data
from support.foreign import HIGH, LOW, Case, Image, docker, image
from support.inside import InsideImagefs

from imagefs import ArchiveError, ImportOptions, Store, import_archive
from imagefs.store import contents, gc

DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"


def cases_of(module: object) -> dict[str, Callable[[], Case]]:
    functions = inspect.getmembers(module, inspect.isfunction)
    return {
        name: make for name, make in functions if inspect.signature(make).return_annotation is Case and name[0] != "_"
    }


CASES = cases_of(foreign_docker) | cases_of(foreign_oci)


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def imagefs(tmp_path) -> InsideImagefs:
    return InsideImagefs(tmp_path / "store")


def found(store: Store) -> list[Image]:
    """What is in the store."""
    images = []
    for record in store.images():
        (manifest,) = contents.manifests(store.blobs, record.target)
        assert manifest.mountable
        images.append((record.name, [diff_id for diff_id, _ in manifest.layers]))
    return images


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("unpack", [True, False], ids=["unpacked", "packed"])
def test_archives_of_other_tools(store, case, unpack):
    data, expected = CASES[case]()
    stream = io.BytesIO(data)
    stream.name = "a.tar"  # bare tags get localhost/a for a prefix
    import_archive(store, stream, ImportOptions(unpacking=unpack))
    images = found(store)
    assert len(images) == len(expected)
    for (name, diff_ids), (start, wanted) in zip(images, sorted(expected), strict=True):
        assert name.startswith(start)
        assert diff_ids == wanted
    assert set(store.layers) == {diff_id for _, wanted in expected for diff_id in wanted if unpack}
    assert gc.collect(store).size == 0


def test_there_are_as_many_cases_as_functions():
    assert len(CASES) > 45


@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_sparse_members_are_filled(store, tmp_path, form):
    """GNU tar -S of a layout: the zeros of a plain layer are holes."""
    archive = OciArchive()
    big = layer(file("zeros", bytes(1 << 20)), file("end", b"1"))
    archive.add_image([big], tag="1")
    archive.write_folder(tmp_path / "layout")
    for blob in (tmp_path / "layout" / "blobs" / "sha256").iterdir():
        subprocess.run(["cp", "--sparse=always", blob, f"{blob}.new"], check=True)
        (blob.parent / f"{blob.name}.new").rename(blob)
    path = tmp_path / "a.tar"
    subprocess.run(["tar", "-C", tmp_path / "layout", f"--format={form}", "-S", "-cf", path, "."], check=True)
    assert path.stat().st_size < len(big) / 2
    with path.open("rb") as stream:
        import_archive(store, stream)
    assert found(store) == [image("localhost/a:1", big)]


def test_holes_are_not_filled_without_end(store, tmp_path):
    (tmp_path / "blobs" / "sha256").mkdir(parents=True)
    with (tmp_path / "blobs" / "sha256" / ("0" * 64)).open("wb") as blob:
        blob.truncate(2 << 30)
    subprocess.run(["tar", "-C", tmp_path, "-S", "-cf", tmp_path / "a.tar", "blobs"], check=True)
    with (
        (tmp_path / "a.tar").open("rb") as stream,
        pytest.raises(ArchiveError, match="bytes of holes, more than 1073741824"),
    ):
        import_archive(store, stream)
    assert list(store.blobs) == []


# -- labels


@pytest.mark.parametrize(
    ("compress", "media_type"),
    [(bytes, DOCKER_LAYER), (gzip_data, f"{DOCKER_LAYER}.gzip"), (zstd_data, f"{DOCKER_LAYER}.zstd")],
)
def test_layers_of_docker_archives_are_labelled_by_what_they_are(imagefs, compress, media_type):
    """crane writes gzip layers, buildkit what it is told to; both call them what they like."""
    members = docker(["layer.tar"], [compress(LOW)], ["a:1"])
    imagefs("import", "-", stdin=layer(*members))
    (manifest,) = json.loads(imagefs("inspect", "--json", "a:1").out)["manifests"]
    assert manifest["mediaType"] == DOCKER_MANIFEST
    (described,) = manifest["layers"]
    assert (described["mediaType"], described["digest"]) == (media_type, digest_of(compress(LOW)))
    assert described["diffID"] == digest_of(LOW)


def test_docker_media_types_are_kept(imagefs, tmp_path):
    """ctr images export of what came from a registry with docker's schema 2."""
    archive = OciArchive()
    manifests = []
    for blob, architecture in ((gzip_data(LOW), "amd64"), (gzip_data(HIGH), "arm64")):
        platform = {"os": "linux", "architecture": architecture}
        document = json.loads(archive.blobs.pop(archive.add_manifest([blob], platform)["digest"]))
        document["mediaType"] = DOCKER_MANIFEST
        document["config"]["mediaType"] = DOCKER_CONFIG
        document["layers"][0]["mediaType"] = f"{DOCKER_LAYER}.gzip"
        manifests.append(archive.add_document(document, DOCKER_MANIFEST, platform=platform))
    listed = archive.add_document({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": manifests}, DOCKER_LIST)
    archive.name(listed, name="docker.io/library/a:1")
    imagefs("import", archive.write(tmp_path / "a.tar"))
    before = imagefs.files()
    imagefs("export", "-o", tmp_path / "b.tar", "a:1")
    with tarfile.open(tmp_path / "b.tar") as exported:
        (entry,) = json.load(exported.extractfile("index.json"))["manifests"]
    assert (entry["mediaType"], entry["digest"]) == (DOCKER_LIST, listed["digest"])
    other = InsideImagefs(tmp_path / "other")
    other("import", tmp_path / "b.tar")
    assert other.files() == before
    assert json.loads(other("images", "--json").out)[0]["platforms"] == ["linux/amd64", "linux/arm64/v8"]
    description = json.loads(other("inspect", "--json", "a:1").out)
    assert description["mediaType"] == DOCKER_LIST
    assert [each["mediaType"] for each in description["manifests"]] == [DOCKER_MANIFEST] * 2
