"""Archives of docker 1.9 and before: the images that come out, and what is refused."""

import io
import json
import tarfile

import pytest
from support.archives import digest_of, docker_archive, file, gzip_data, layer, uncompressed, whiteout, zstd_data
from support.docker_v1 import V1Archive, image_id

from imagefs import ArchiveError, ImportOptions, Store, import_archive
from imagefs.archive import docker_v1

BASE = layer(file("etc/base", b"1"), file("etc/gone", b"2"))
EMPTY = layer()
TOP = layer(whiteout("etc/gone"), file("etc/top", b"3" * 3000))


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store") as opened:
        yield opened


def chain(archive: V1Archive, *layers: bytes, name: str = "image") -> str:
    """Images on each other; the ID of the topmost."""
    parent = None
    for number, blob in enumerate(layers):
        parent = archive.add(f"{name}{number}", blob, parent=parent)
    assert parent is not None
    return parent


def load(store: Store, archive: V1Archive, unpack: bool = True, **options) -> list[tuple[str, dict, dict]]:
    """(name, manifest, configuration) of each image that comes out."""
    data = archive.bytes(**options)
    found = []
    for record in import_archive(store, io.BytesIO(data), ImportOptions(unpacking=unpack)):
        manifest = json.loads(store.blobs.read(record.target.digest))
        found.append((record.name, manifest, json.loads(store.blobs.read(manifest["config"]["digest"]))))
    return found


def refused(store: Store, archive: V1Archive) -> str:
    with pytest.raises(ArchiveError) as caught:
        load(store, archive)
    assert list(store.blobs) == list(store.layers) == store.images() == []
    return str(caught.value)


@pytest.mark.parametrize("unpack", [True, False])
@pytest.mark.parametrize("order", [list, reversed, lambda entries: sorted(entries, key=lambda entry: entry.name[65:])])
def test_a_chain_is_an_image_whatever_the_order_of_members(store, order, unpack):
    archive = V1Archive()
    archive.repositories = {"app": {"1": chain(archive, BASE, EMPTY, TOP)}}
    ((name, manifest, config),) = load(store, archive, order=order, unpack=unpack)
    assert name == "docker.io/library/app:1"
    assert [each["digest"] for each in manifest["layers"]] == [digest_of(BASE), digest_of(EMPTY), digest_of(TOP)]
    assert config["rootfs"]["diff_ids"] == [digest_of(BASE), digest_of(EMPTY), digest_of(TOP)]
    assert [each["created_by"].removeprefix("/bin/sh -c #(nop) ") for each in config["history"]] == [
        f"ADD image{number} in / && true" for number in range(3)
    ]
    assert config["config"] == {"Env": ["PATH=/bin"], "Cmd": ["sh"], "Volumes": None}
    assert not {"id", "parent", "Size"} & config.keys()
    assert bool(list(store.layers)) == unpack


@pytest.mark.parametrize("unpack", [True, False])
@pytest.mark.parametrize(
    ("compress", "media_type"),
    [
        (gzip_data, "application/vnd.docker.image.rootfs.diff.tar.gzip"),
        (zstd_data, "application/vnd.docker.image.rootfs.diff.tar.zstd"),
    ],
)
def test_a_layer_may_be_compressed(store, compress, media_type, unpack):
    archive = V1Archive()
    chain(archive, compress(BASE), TOP)
    ((_, manifest, config),) = load(store, archive, unpack=unpack)
    assert [each["mediaType"] for each in manifest["layers"]] == [
        media_type,
        "application/vnd.docker.image.rootfs.diff.tar",
    ]
    assert manifest["layers"][0]["digest"] == digest_of(compress(BASE))
    assert config["rootfs"]["diff_ids"] == [digest_of(uncompressed(BASE)), digest_of(TOP)]


def test_every_name_and_every_image_that_is_nobodys_parent_comes_in(store):
    archive = V1Archive()
    base = chain(archive, BASE)
    left = archive.add("left", TOP, parent=base)
    archive.add("right", EMPTY, parent=base)
    archive.repositories = {"localhost:5000/a/base": {"1": base, "2": base}, "app": {"latest": left}}
    loaded = load(store, archive)
    names = [name for name, _, _ in loaded]
    assert names[:3] == ["localhost:5000/a/base:1", "localhost:5000/a/base:2", "docker.io/library/app:latest"]
    assert names[3].startswith("sha256:")
    assert [len(manifest["layers"]) for _, manifest, _ in loaded] == [1, 1, 2, 2]


@pytest.mark.parametrize("repositories", [None, {}])
def test_without_repositories_images_have_no_names(store, repositories):
    archive = V1Archive(repositories=repositories)
    chain(archive, BASE, TOP, name="one")
    chain(archive, EMPTY, name="two")
    assert len(load(store, archive)) == 2
    assert all(record.name == record.target.digest for record in store.images())


def test_a_digest_for_a_tag_gives_way_to_the_digest_that_there_is(store):
    archive = V1Archive()
    archive.repositories = {"app": {digest_of(b"of a manifest"): chain(archive, BASE)}}
    load(store, archive)
    (record,) = store.images()
    assert record.name == f"docker.io/library/app@{record.target.digest}"


def test_manifest_json_decides_where_there_is_one(store):
    archive = V1Archive()
    archive.repositories = {"old": {"1": chain(archive, BASE)}}
    with tarfile.open(fileobj=io.BytesIO(docker_archive([([TOP], ["new:1"])]))) as newer:
        archive.extra = [file(each.name, newer.extractfile(each).read()) for each in newer if each.isfile()]
    assert [name for name, _, _ in load(store, archive)] == ["docker.io/library/new:1"]


def test_docker_1_9_names_a_parent_by_digest_too(store):
    archive = V1Archive()
    base = chain(archive, BASE)
    archive.add("top", TOP, parent_id=f"sha256:{base}", layer_id=digest_of(TOP), throwaway=True)
    ((_, manifest, config),) = load(store, archive)
    assert len(manifest["layers"]) == 2
    assert not {"parent_id", "layer_id", "throwaway"} & config.keys()


def test_an_empty_file_is_a_layer_too(store):
    archive = V1Archive()
    chain(archive, BASE, b"")
    ((_, _, config),) = load(store, archive)
    assert config["rootfs"]["diff_ids"] == [digest_of(BASE), digest_of(b"")]


def test_what_a_first_docker_left_out_and_null_are_taken(store):
    archive = V1Archive()
    archive.add("a", BASE, os=..., architecture=..., container_config=None, created=None, config=None, author=None)
    ((_, _, config),) = load(store, archive)
    assert (config["os"], config["architecture"], config["history"]) == ("linux", "amd64", [{}])


@pytest.mark.parametrize("command", ["sh -c x", ["sh", "-c", "x"]])
def test_a_command_is_a_text_or_a_list(store, command):
    archive = V1Archive()
    archive.add("a", BASE, container_config={"Cmd": command})
    ((_, _, config),) = load(store, archive)
    assert config["history"][0]["created_by"] == "sh -c x"


def test_256_images_may_lie_on_each_other(store):
    archive = V1Archive()
    chain(archive, *[EMPTY] * 256)
    ((_, manifest, _),) = load(store, archive, unpack=False)
    assert len(manifest["layers"]) == 256


# -- what is refused


def test_too_many_images_on_each_other(store):
    archive = V1Archive()
    chain(archive, *[EMPTY] * 257)
    assert "257 images on each other, more than 256" in refused(store, archive)


@pytest.mark.parametrize("length", [1, 2, 300])
@pytest.mark.parametrize("leaf", [True, False])
def test_parents_in_a_circle(store, length, leaf):
    archive = V1Archive()
    for number in range(length):
        archive.add(str(number), EMPTY, parent=image_id(str((number + 1) % length)))
    if leaf:
        archive.add("leaf", EMPTY, parent=image_id("0"))
    assert "its parents go in a circle" in refused(store, archive)


@pytest.mark.parametrize("parent", [image_id("elsewhere"), "../../etc", "short", "x" * 5000, "\x1b[2J"])
def test_a_parent_that_is_not_there(store, parent):
    archive = V1Archive()
    image = archive.add("a", BASE, parent=parent)
    said = refused(store, archive)
    assert f"{image}/json: its parent" in said
    assert "\x1b" not in said and len(said) < 300


@pytest.mark.parametrize("target", [image_id("elsewhere"), "nonsense", ""])
def test_a_name_for_what_is_not_there(store, target):
    archive = V1Archive(repositories={"app": {"1": target}})
    chain(archive, BASE)
    assert f"repositories: the image {target} is not in the archive" in refused(store, archive)


@pytest.mark.parametrize("repositories", [{"No Name": {"1": ""}}, {"app": {"no:digest": ""}}, {"app": []}, []])
def test_repositories_that_cannot_be(store, repositories):
    archive = V1Archive(repositories=repositories)
    chain(archive, BASE)
    assert refused(store, archive).startswith("archive: repositories: ")


@pytest.mark.parametrize("gone", ["json", "layer.tar"])
def test_an_archive_that_was_cut_off(store, gone):
    archive = V1Archive()
    chain(archive, BASE)
    image = archive.add("top", TOP)
    archive.folders[image] = [entry for entry in archive.folders[image] if entry.name != f"{image}/{gone}"]
    assert f"{image}/{gone}: the archive does not have it" in refused(store, archive)


@pytest.mark.parametrize("blob", [b"no tar" * 1000, gzip_data(b"no tar" * 1000), gzip_data(BASE)[:-9]])
def test_a_layer_that_is_none(store, blob):
    archive = V1Archive()
    archive.add("a", blob)
    refused(store, archive)


@pytest.mark.parametrize("field", ["parent", "created", "container_config", "architecture"])
def test_a_field_of_another_type(store, field):
    archive = V1Archive()
    archive.add("a", BASE, **({field: 5} if field != "parent" else {}))
    if field == "parent":
        archive.add("b", BASE, parent=5)
    assert "not a valid" in refused(store, archive)


def test_a_history_that_is_too_long(store, monkeypatch):
    monkeypatch.setattr(docker_v1, "MAX_DOCUMENT", 4000)
    archive = V1Archive()
    chain(archive, *[EMPTY] * 40)
    assert "a history of more than 4000 bytes" in refused(store, archive)


# -- the configuration, byte for byte


def test_values_stay_as_they_are_written(tmp_path):
    written = (
        b'{ "os" : "linux",\n "id":"x", "Size": 12, "architecture":"amd64",'
        b' "config": {"b" : 1.50e+3, "a":[ "x  \\" y", "<&>" ],\t"n": null }, "created": "2015" }'
    )
    made = docker_v1.make_config(written, [digest_of(BASE)], [{"created_by": "a && b"}], "json")
    assert made == (
        b'{"architecture":"amd64","config":{"b":1.50e+3,"a":["x  \\" y","\\u003c\\u0026\\u003e"],"n":null},'
        b'"created":"2015","history":[{"created_by":"a \\u0026\\u0026 b"}],"os":"linux",'
        b'"rootfs":{"type":"layers","diff_ids":["' + digest_of(BASE).encode() + b'"]}}'
    )
    assert docker_v1.make_config(written, [digest_of(BASE)], [{"created_by": "a && b"}], "json") == made


def test_a_configuration_is_an_object():
    with pytest.raises(ArchiveError, match=r"^some/json: not a valid"):
        docker_v1.make_config(b"[]", [], [], "some/json")
