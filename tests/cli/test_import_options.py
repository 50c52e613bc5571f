"""What `imagefs import` and `imagefs load` can be asked for."""

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from support.archives import (
    AMD64,
    ARM64,
    OCI_INDEX,
    OCI_MANIFEST,
    OciArchive,
    digest_of,
    directory,
    docker_archive,
    file,
    gzip_data,
    gzip_layer,
    layer,
    zstd_layer,
)
from support.command import Imagefs
from support.inside import InsideImagefs

from imagefs import ImportOptions, Store, import_archive
from imagefs.store import contents, gc
from imagefs.store.standing import tally

LOW, HIGH = gzip_layer(file("low", b"1" * 3000)), gzip_layer(file("high", b"2" * 3000))
PLAIN = layer(file("plain", b"3" * 3000))
ARMV7, ARMV6 = ({"os": "linux", "architecture": "arm", "variant": each} for each in ("v7", "v6"))
RISCV = {"os": "linux", "architecture": "riscv64"}


@pytest.fixture
def imagefs(tmp_path) -> InsideImagefs:
    return InsideImagefs(tmp_path / "store")


def blobs(imagefs: Imagefs) -> set[str]:
    with Store(imagefs.store) as store:
        return set(store.blobs)


def layers(imagefs: Imagefs) -> set[str]:
    with Store(imagefs.store) as store:
        return set(store.layers)


def records(imagefs: Imagefs) -> dict:
    with Store(imagefs.store) as store:
        return {record.name: record for record in store.images()}


def platforms(imagefs: Imagefs, name: str) -> list[str]:
    """The platforms that a name is bound to, which are those that a mount shows."""
    with Store(imagefs.store) as store:
        return [slot.platform for slot in store.catalog.slots(name)]


def several() -> OciArchive:
    """One name for three platforms that share a layer, with an attestation about each of the first two."""
    archive = OciArchive()
    manifests = []
    for platform, data in ((AMD64, b"amd"), (ARM64, b"arm"), (RISCV, b"riscv")):
        manifests.append(archive.add_manifest([LOW, zstd_layer(file("own", data * 1000))], platform))
    for about in manifests[:2]:
        attestation = archive.add_document(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": archive.add_document({"about": about["digest"]}, "application/vnd.oci.image.config.v1+json"),
                "layers": [archive.add_document({"_type": about["digest"]}, "application/vnd.in-toto+json")],
            },
            OCI_MANIFEST,
            platform={"os": "unknown", "architecture": "unknown"},
            annotations={
                "vnd.docker.reference.type": "attestation-manifest",
                "vnd.docker.reference.digest": about["digest"],
            },
        )
        manifests.append(attestation)
    archive.add_index(manifests, name="docker.io/library/app:1")
    return archive


def of_one(archive: OciArchive, *positions: int) -> set[str]:
    """The blobs of the index and of its manifests at these positions."""
    index = archive.manifests[0]
    found = {index["digest"]}
    entries = json.loads(archive.blobs[index["digest"]])["manifests"]
    for position in positions:
        manifest = json.loads(archive.blobs[entries[position]["digest"]])
        found |= {entries[position]["digest"], manifest["config"]["digest"]}
        found |= {each["digest"] for each in manifest["layers"]}
    return found


# -- platforms


@pytest.fixture(params=["file", "pipe", "folder", "blobs last", "gzip"])
def give(request, imagefs, tmp_path):
    """Imports an archive in different ways."""

    def run(archive: OciArchive, *options: str, check: bool = True):
        if request.param == "folder":
            return imagefs("import", "-q", archive.write_folder(tmp_path / "layout"), *options, check=check)
        data = archive.bytes(order=reversed if request.param == "blobs last" else None)
        if request.param == "pipe":
            return imagefs("import", "-q", "-", *options, stdin=data, check=check)
        path = tmp_path / "app.tar"
        path.write_bytes(gzip_data(data) if request.param == "gzip" else data)
        return imagefs("import", "-q", path, *options, check=check)

    return run


@pytest.mark.parametrize(
    ("options", "kept", "shown"),
    [
        (["--platform", "linux/arm64"], [1, 4], ["linux/arm64/v8"]),
        (["--platform", "amd64", "--platform", "linux/riscv64"], [0, 2, 3], ["linux/amd64", "linux/riscv64"]),
        (["--platform", "linux/riscv64,linux/arm64/v8"], [1, 2, 4], ["linux/arm64/v8", "linux/riscv64"]),
        (["--all-platforms"], [0, 1, 2, 3, 4], ["linux/amd64", "linux/arm64/v8", "linux/riscv64"]),
        ([], [0, 1, 2, 3, 4], ["linux/amd64", "linux/arm64/v8", "linux/riscv64"]),
    ],
)
def test_only_the_platforms_that_are_asked_for_are_kept(imagefs, give, options, kept, shown):
    archive = several()
    assert give(archive, *options).lines == ["docker.io/library/app:1"]
    assert blobs(imagefs) == of_one(archive, *kept)
    assert platforms(imagefs, "docker.io/library/app:1") == shown
    assert records(imagefs)["docker.io/library/app:1"].complete
    assert records(imagefs)["docker.io/library/app:1"].target.digest == archive.manifests[0]["digest"]
    assert imagefs("gc").lines[-1].endswith("0 bytes")
    assert len(layers(imagefs)) == len(shown) + 1


def test_platforms_add_up_and_all_of_them_win(imagefs, give):
    archive = several()
    give(archive, "--platform", "linux/amd64")
    give(archive, "--platform", "linux/amd64")  # what the others have comes again, and goes again
    assert blobs(imagefs) == of_one(archive, 0, 3)
    give(archive, "--platform", "linux/arm64")
    assert blobs(imagefs) == of_one(archive, 0, 1, 3, 4)
    assert records(imagefs)["docker.io/library/app:1"].platforms == ("linux/amd64", "linux/arm64/v8")
    give(archive)
    assert blobs(imagefs) == set(archive.blobs)
    give(archive, "--platform", "linux/amd64")
    assert blobs(imagefs) == set(archive.blobs)
    assert records(imagefs)["docker.io/library/app:1"].platforms is None


@pytest.mark.parametrize(
    ("wanted", "offered", "taken"),
    [
        ("linux/arm/v7", [ARMV6, ARMV7], [1]),
        ("linux/arm/v7", [ARMV6], [0]),
        ("linux/arm", [ARMV6, ARMV7], [1]),
        ("linux/arm/v8", [ARMV6, ARMV7], [1]),
        ("linux/arm64/v9", [ARM64], [0]),
        ("linux/amd64/v3", [AMD64, {**AMD64, "variant": "v2"}, {**AMD64, "variant": "v4"}], [1]),
        ("linux/aarch64", [AMD64, ARM64], [1]),
    ],
)
def test_variants_are_taken_in_their_order(imagefs, give, wanted, offered, taken):
    archive = OciArchive()
    archive.add_index(
        [archive.add_manifest([layer(file("x", json.dumps(each).encode()))], each) for each in offered], name="app:1"
    )
    give(archive, "--platform", wanted)
    assert blobs(imagefs) == of_one(archive, *taken)


@pytest.mark.parametrize("wanted", ["linux/arm/v6", "windows/amd64", "linux/s390x"])
def test_a_platform_that_it_does_not_have_is_an_error_and_leaves_nothing(imagefs, give, wanted):
    archive = OciArchive()
    archive.add_index([archive.add_manifest([LOW], ARMV7), archive.add_manifest([HIGH], ARM64)], name="app:1")
    result = give(archive, "--platform", wanted, check=False)
    assert result.status == 1
    asked = f"docker.io/library/app:1: it is not for {wanted}, only for linux/arm/v7, linux/arm64/v8"
    assert result.err.strip().endswith(asked)
    assert records(imagefs) == {}
    assert blobs(imagefs) == layers(imagefs) == set()


def test_a_platform_whose_manifest_the_archive_lacks_is_an_error(imagefs, tmp_path):
    archive = several()
    entries = json.loads(archive.blobs[archive.manifests[0]["digest"]])["manifests"]
    absent = "blobs/" + entries[1]["digest"].replace(":", "/")
    path = archive.write(tmp_path / "app.tar", leave_out=[absent])
    result = imagefs("import", "-q", path, "--platform", "linux/arm64", check=False)
    assert result.status == 1
    assert "docker.io/library/app:1: what it lists for linux/arm64/v8 is not in the archive" in result.err
    imagefs("import", "-q", path, "--platform", "linux/arm64", "--platform", "linux/amd64")
    assert blobs(imagefs) == of_one(archive, 0, 3)


def test_an_image_for_one_platform_has_it_or_is_refused(imagefs, tmp_path):
    path = tmp_path / "saved.tar"
    path.write_bytes(docker_archive([([PLAIN], ["app:1"])]))
    assert imagefs("import", "-q", path, "--platform", "linux/arm64", check=False).status == 1
    assert blobs(imagefs) == set()
    assert imagefs("import", "-q", path, "--platform", "linux/amd64").lines == ["docker.io/library/app:1"]


def test_layers_of_other_platforms_are_not_even_read_from_a_file(imagefs, tmp_path):
    """They are damaged, and nobody minds."""
    archive = several()
    riscv = json.loads(archive.blobs[archive.manifests[0]["digest"]])["manifests"][2]
    layer_digest = json.loads(archive.blobs[riscv["digest"]])["layers"][1]["digest"]
    whole = archive.blobs[layer_digest]
    data = archive.bytes().replace(whole, whole[:-1] + bytes([whole[-1] ^ 1]))
    path = tmp_path / "app.tar"
    path.write_bytes(data)
    assert imagefs("import", "-q", path, check=False).status == 1
    imagefs("import", "-q", path, "--platform", "linux/amd64")
    assert blobs(imagefs) == of_one(archive, 0, 3)
    assert imagefs("import", "-q", path, "--platform", "linux/riscv64", check=False).status == 1


@pytest.mark.parametrize("text", ["", "linux/", "a/b/c/d", "linux/amd64/", "nonsense", "linux amd64", "/"])
def test_what_is_no_platform_is_wrong_usage(tmp_path, text):
    result = Imagefs(tmp_path / "store")("import", "x.tar", "--platform", text, check=False)
    assert result.status == 2
    assert not (tmp_path / "store").exists()


# -- names


def plain(tag: str | None = None, name: str | None = None) -> OciArchive:
    archive = OciArchive()
    archive.add_image([LOW], tag, name)
    return archive


@pytest.mark.parametrize(
    ("entry", "options", "expected"),
    [
        ({"tag": "1"}, [], ["localhost/app:1"]),
        ({"tag": "1"}, ["-n", "reg.test/base"], ["reg.test/base:1"]),
        ({"tag": "1"}, ["-n", "reg.test/base", "--digests"], ["reg.test/base:1", "reg.test/base@{digest}"]),
        ({"tag": "1"}, ["-n", "reg.test/base", "--digests", "--skip-digest-for-named"], ["reg.test/base:1"]),
        ({"tag": "1"}, ["--digests"], ["localhost/app:1", "localhost/app@{digest}"]),
        ({"name": "quay.io/a/b:2"}, ["--digests"], ["quay.io/a/b:2", "quay.io/a/b@{digest}"]),
        ({"name": "quay.io/a/b:2"}, ["--digests", "--skip-digest-for-named"], ["quay.io/a/b:2"]),
        ({"name": "quay.io/a/b:2"}, ["-n", "quay.io/a/b"], ["quay.io/a/b:2"]),
        ({"name": "quay.io/a/b:2"}, ["-n", "quay.io/a"], ["quay.io/a/b:2"]),
        ({}, [], ["{digest}"]),
        ({}, ["--digests"], ["localhost/app@{digest}"]),
        ({}, ["--digests", "--skip-digest-for-named"], ["localhost/app@{digest}"]),
        ({}, ["-n", "reg.test/base"], ["reg.test/base@{digest}"]),
    ],
)
def test_names(imagefs, tmp_path, entry, options, expected):
    archive = plain(**entry)
    path = archive.write(tmp_path / "app.oci.tar")
    names = [name.format(digest=archive.manifests[0]["digest"]) for name in expected]
    assert imagefs("import", "-q", path, *options).lines == names
    assert sorted(records(imagefs)) == sorted(names)


def test_names_that_do_not_begin_with_the_base_name_are_left_out(imagefs, tmp_path):
    archive = OciArchive()
    archive.add_image([LOW], name="quay.io/a/b:1")
    archive.add_image([HIGH], name="quay.io/a/bc:1")
    path = archive.write(tmp_path / "app.tar")
    assert imagefs("import", "-q", path, "-n", "quay.io/a/b").lines == ["quay.io/a/b:1"]
    assert digest_of(HIGH) not in blobs(imagefs)
    result = imagefs("import", "-q", path, "-n", "quay.io/z", check=False)
    assert result.status == 1
    expected = "no image in it has a name that begins with quay.io/z, only quay.io/a/b:1, quay.io/a/bc:1"
    assert expected in result.err


@pytest.mark.parametrize(
    ("base", "refused"), [("UPPER", "is not an image name"), ("a:1", "is not a name without tag or digest")]
)
def test_a_base_name_that_cannot_be_one(imagefs, tmp_path, base, refused):
    result = imagefs("import", "-q", plain("1").write(tmp_path / "a.tar"), "-n", base, check=False)
    assert result.status == 1
    assert refused in result.err


def test_skip_digest_for_named_means_nothing_alone(tmp_path):
    result = Imagefs(tmp_path / "store")("import", "x.tar", "--skip-digest-for-named", check=False)
    assert result.status == 2
    assert "--digests" in result.err


def test_the_whole_index_gets_a_name(imagefs, tmp_path):
    archive = OciArchive()
    archive.add_image([LOW], tag="1")
    archive.add_image([HIGH])
    path = archive.write(tmp_path / "app.tar")
    assert imagefs("import", "-q", path, "--index-name", "all").lines == [
        "localhost/app:1",
        "docker.io/library/all:latest",
    ]
    record = records(imagefs)["docker.io/library/all:latest"]
    index = archive.members()["index.json"]
    assert (record.target.digest, record.target.media_type) == (digest_of(index), OCI_INDEX)
    assert blobs(imagefs) == {*archive.blobs, digest_of(index)}
    imagefs("rm", "localhost/app:1")
    assert imagefs("gc").lines[-1].endswith("0 bytes")


def test_the_index_of_a_docker_archive_is_made(imagefs, tmp_path):
    path = tmp_path / "saved.tar"
    path.write_bytes(docker_archive([([PLAIN], ["app:1", "quay.io/a/b:2"]), ([PLAIN, LOW], None)]))
    imagefs("import", "-q", path, "--index-name", "reg.test/all:1")
    with Store(imagefs.store) as store:
        record = store.find_image("reg.test/all:1")
        index = json.loads(store.blobs.read(record.target.digest))
    assert [(each.get("annotations", {}), each["platform"]) for each in index["manifests"]] == [
        (
            {
                "io.containerd.image.name": "docker.io/library/app:1",
                "org.opencontainers.image.ref.name": "1",
            },
            AMD64,
        ),
        ({"io.containerd.image.name": "quay.io/a/b:2", "org.opencontainers.image.ref.name": "2"}, AMD64),
        ({}, AMD64),
    ]
    assert len(records(imagefs)) == 3  # the image without a name is a part of the index


@pytest.mark.parametrize("name", ["UPPER", f"a@sha256:{'0' * 64}"])
def test_an_index_name_that_cannot_be_one(imagefs, tmp_path, name):
    path = plain("1").write(tmp_path / "a.tar")
    assert imagefs("import", "-q", path, "--index-name", name, check=False).status == 1
    assert records(imagefs) == {}


# -- images without names


def test_an_image_that_loses_its_last_name_dangles_until_it_has_one_again(imagefs, tmp_path):
    first, second = OciArchive(), OciArchive()
    first.add_image([LOW], name="app:1")
    second.add_image([HIGH], name="app:1")
    old, new = (each.manifests[0]["digest"] for each in (first, second))
    imagefs("import", "-q", first.write(tmp_path / "1.tar"))
    result = imagefs("import", second.write(tmp_path / "2.tar"))
    assert f"docker.io/library/app:1: moved here from {old}" in result.err
    assert {name: record.target.digest for name, record in records(imagefs).items()} == {
        "docker.io/library/app:1": new,
        old: old,
    }
    assert imagefs("gc").lines[-1].endswith("0 bytes")
    assert imagefs("cat", f"{old[7:19]}:/low").out == "1" * 3000
    imagefs("tag", old[7:19], "app:old")
    assert sorted(records(imagefs)) == ["docker.io/library/app:1", "docker.io/library/app:old"]


def test_an_image_that_has_another_name_does_not_dangle(imagefs, tmp_path):
    first, second = OciArchive(), OciArchive()
    for name in ("app:1", "app:one"):
        first.name(first.add_manifest([LOW]), name=name)
    second.add_image([HIGH], name="app:1")
    imagefs("import", "-q", first.write(tmp_path / "1.tar"))
    imagefs("import", "-q", second.write(tmp_path / "2.tar"))
    assert sorted(records(imagefs)) == ["docker.io/library/app:1", "docker.io/library/app:one"]


def test_an_image_without_a_name_that_has_one_in_the_store_does_not_dangle(imagefs, tmp_path):
    archive = plain(name="app:1")
    imagefs("import", "-q", archive.write(tmp_path / "1.tar"))
    assert imagefs("import", "-q", plain().write(tmp_path / "2.tar")).lines == [archive.manifests[0]["digest"]]
    assert list(records(imagefs)) == ["docker.io/library/app:1"]


# -- content that is missing


def without(archive: OciArchive, *contents: str) -> bytes:
    return archive.bytes(leave_out=[f"blobs/{content.replace(':', '/')}" for content in contents])


def test_an_image_that_lacks_a_layer_is_kept_where_that_is_asked_for(imagefs, tmp_path):
    archive = OciArchive()
    archive.add_image([LOW, HIGH], name="app:1")
    path = tmp_path / "app.tar"
    path.write_bytes(without(archive, digest_of(HIGH)))
    assert imagefs("import", "-q", path, check=False).status == 1
    assert blobs(imagefs) == set()
    imagefs("import", "-q", path, "--skip-missing")
    record = records(imagefs)["docker.io/library/app:1"]
    assert not record.complete
    with Store(imagefs.store) as store:
        assert str(tally(store.blobs, record.target)) == "incomplete, 3 of 4"
    assert platforms(imagefs, "docker.io/library/app:1") == []
    assert imagefs("gc").lines[-1].endswith("0 bytes")


@pytest.mark.parametrize("skipping", [True, False])
def test_what_is_missing_may_come_later_with_another_image(imagefs, tmp_path, skipping):
    archive, other = OciArchive(), OciArchive()
    archive.add_image([LOW, HIGH], name="app:1")
    other.add_image([HIGH], name="other:1")
    (tmp_path / "app.tar").write_bytes(without(archive, digest_of(HIGH)))
    imagefs("import", "-q", tmp_path / "app.tar", "--skip-missing")
    imagefs("import", "-q", other.write(tmp_path / "other.tar"), *["--skip-missing"] * skipping)
    assert records(imagefs)["docker.io/library/app:1"].complete
    assert platforms(imagefs, "docker.io/library/app:1") == ["linux/amd64"]
    assert imagefs("ls", "app:1:/").lines == ["high", "low"]


def test_a_layer_that_is_none_of_it_does_not_complete_an_image(imagefs, tmp_path):
    """The blob that was missing is there, but its diff ID is another: the image stays as it was, the new one comes."""
    archive, other = OciArchive(), OciArchive()
    archive.add_image([LOW, HIGH], name="app:1", rootfs={"type": "layers", "diff_ids": [digest_of(b"")] * 2})
    other.add_image([HIGH], name="other:1")
    (tmp_path / "app.tar").write_bytes(without(archive, digest_of(HIGH), digest_of(LOW)))
    imagefs("import", "-q", tmp_path / "app.tar", "--skip-missing")
    last = OciArchive()
    last.add_image([LOW], name="last:1")
    for each in (other, last):
        assert imagefs("import", "-q", each.write(tmp_path / "each.tar")).status == 0
    assert not records(imagefs)["docker.io/library/app:1"].complete
    assert platforms(imagefs, "docker.io/library/app:1") == []


def test_an_index_without_any_manifest(imagefs, tmp_path):
    archive = several()
    path = tmp_path / "app.tar"
    path.write_bytes(without(archive, *(set(archive.blobs) - {archive.manifests[0]["digest"]})))
    assert imagefs("import", "-q", path, check=False).status == 1
    imagefs("import", "-q", path, "--skip-missing")
    with Store(imagefs.store) as store:
        (record,) = store.images()
        assert str(tally(store.blobs, record.target)) == "incomplete, 1 of 6"


def test_only_the_name_of_an_image(imagefs, tmp_path):
    """As in a delta whose base has all of it: its manifest is not even there."""
    archive = plain(name="app:1")
    path = tmp_path / "app.tar"
    path.write_bytes(without(archive, *archive.blobs))
    assert imagefs("import", "-q", path, check=False).status == 1
    imagefs("import", "-q", path, "--skip-missing")
    assert not records(imagefs)["docker.io/library/app:1"].complete
    imagefs("import", "-q", plain(name="other:1").write(tmp_path / "other.tar"))
    assert records(imagefs)["docker.io/library/app:1"].complete
    assert imagefs("ls", "app:1:/").lines == ["low"]


def test_skipping_what_is_missing_forgives_nothing_else(imagefs, tmp_path):
    archive = OciArchive()
    archive.add_image([LOW, HIGH], name="app:1", rootfs={"type": "layers", "diff_ids": [digest_of(b"x")] * 2})
    result = imagefs("import", "-q", archive.write(tmp_path / "a.tar"), "--skip-missing", check=False)
    assert result.status == 1
    assert "diff ID" in result.err
    assert blobs(imagefs) == set()


# -- labels


def test_labels(imagefs, tmp_path):
    path = plain(name="app:1").write(tmp_path / "a.tar")
    imagefs("import", "-q", path, "--label", "a=1", "--label", "b=x=y")
    with Store(imagefs.store) as store:
        assert store.catalog.labels("docker.io/library/app:1") == {"a": "1", "b": "x=y"}
    imagefs("import", "-q", path)
    with Store(imagefs.store) as store:
        assert store.catalog.labels("docker.io/library/app:1") == {"a": "1", "b": "x=y"}
    imagefs("import", "-q", path, "--label", "c=")
    with Store(imagefs.store) as store:
        assert store.catalog.labels("docker.io/library/app:1") == {"c": ""}


@pytest.mark.parametrize("text", ["a", "=1", ""])
def test_what_is_no_label_is_wrong_usage(tmp_path, text):
    assert Imagefs(tmp_path / "store")("import", "x.tar", "--label", text, check=False).status == 2


def test_a_label_that_is_too_long(imagefs, tmp_path):
    result = imagefs("import", "-q", plain("1").write(tmp_path / "a.tar"), "--label", f"a={'b' * 4096}", check=False)
    assert result.status == 1
    assert "4097 bytes with its value, more than 4096" in result.err
    assert blobs(imagefs) == set()


# -- compression


@pytest.mark.parametrize("unpacking", [[], ["--no-unpack"]])
def test_plain_layers_of_docker_archives_are_compressed(imagefs, tmp_path, unpacking):
    path = tmp_path / "saved.tar"
    large = layer(file("large", os.urandom(3 << 20) + bytes(3 << 20)))
    path.write_bytes(docker_archive([([PLAIN, LOW, large], ["app:1"])]))
    imagefs("import", "-q", path, "--compress-blobs", *unpacking)
    with Store(imagefs.store) as store:
        (manifest,) = contents.manifests(store.blobs, store.find_image("app:1").target)
        kinds = [each.media_type.rpartition(".")[2] for each in manifest.manifest.layers]
        assert kinds == ["gzip"] * 3
        assert manifest.manifest.layers[1].digest == digest_of(LOW)
        assert digest_of(PLAIN) not in store.blobs
        assert digest_of(large) not in store.blobs
        for plain_layer, found in ((PLAIN, manifest.manifest.layers[0]), (large, manifest.manifest.layers[2])):
            data = b"".join(store.blobs.chunks(found.digest))
            assert subprocess.run(["gzip", "-dc"], input=data, capture_output=True, check=True).stdout == plain_layer
        assert gc.collect(store, dry_run=True).size == 0
    assert imagefs("cat", "app:1:/plain").out == "3" * 3000
    # The same again gives the same, and takes what is there.
    before = blobs(imagefs)
    imagefs("import", "-q", path, "--compress-blobs")
    assert blobs(imagefs) == before


def test_a_layer_that_the_store_has_compressed_is_taken_as_it_is(imagefs, tmp_path):
    packed = zstd_layer(file("plain", b"3" * 3000))
    assert packed != PLAIN
    archive = OciArchive()
    archive.add_image([packed], name="packed:1")
    imagefs("import", "-q", archive.write(tmp_path / "a.tar"))
    (tmp_path / "saved.tar").write_bytes(docker_archive([([PLAIN], ["app:1"])]))
    imagefs("import", "-q", tmp_path / "saved.tar", "--compress-blobs")
    with Store(imagefs.store) as store:
        (manifest,) = contents.manifests(store.blobs, store.find_image("app:1").target)
        assert [(each.digest, each.media_type) for each in manifest.manifest.layers] == [
            (digest_of(packed), "application/vnd.docker.image.rootfs.diff.tar.zstd")
        ]


def test_layouts_are_not_compressed_as_their_manifests_name_blobs(imagefs, tmp_path):
    archive = OciArchive()
    archive.add_image([PLAIN], name="app:1")
    imagefs("import", "-q", archive.write(tmp_path / "a.tar"), "--compress-blobs")
    assert blobs(imagefs) == set(archive.blobs)


# -- what other tools leave


@pytest.mark.parametrize("kind", ["xz", "bzip2"])
def test_archives_that_docker_load_uncompresses(imagefs, tmp_path, kind):
    archive = plain(name="app:1")
    path = tmp_path / "app.tar"
    path.write_bytes(archive.bytes())
    packed = subprocess.run([kind, "-c", path], capture_output=True, check=True).stdout
    assert imagefs("load", "-q", stdin=packed).lines == ["Loaded image: app:1"]
    assert blobs(imagefs) == set(archive.blobs)


def test_what_umoci_derives_keeps_the_name_that_it_has(imagefs, tmp_path):
    """It gives the new image a new tag, and leaves containerd's name as it was on the old one."""
    archive = OciArchive()
    archive.add_image([LOW], tag="1", name="quay.io/a/b:1")
    archive.add_image([LOW, HIGH], tag="new", name="quay.io/a/b:1")
    assert imagefs("import", "-q", archive.write(tmp_path / "a.tar")).lines == ["quay.io/a/b:1", "quay.io/a/b:new"]
    found = {name: record.target.digest for name, record in records(imagefs).items()}
    assert list(found.values()) == [entry["digest"] for entry in archive.manifests]


def test_a_docker_archive_with_an_empty_folder_for_blobs(imagefs, tmp_path):
    path = tmp_path / "saved.tar"
    path.write_bytes(
        layer(directory("blobs"), directory("blobs/sha256"))[:1024] + docker_archive([([PLAIN], ["app:1"])])
    )
    assert imagefs("import", "-q", path).lines == ["docker.io/library/app:1"]


def test_an_index_that_lists_nothing(imagefs, tmp_path):
    archive = OciArchive()
    archive.add_index([], name="empty:1")
    imagefs("import", "-q", archive.write(tmp_path / "a.tar"))
    assert records(imagefs)["docker.io/library/empty:1"].complete


# -- load


def test_load_says_what_docker_load_says(imagefs, tmp_path):
    archive = OciArchive()
    archive.add_image([LOW], name="docker.io/library/app:1")
    archive.add_image([LOW, HIGH], name="quay.io/a/b:2")
    unnamed = archive.add_image([HIGH])
    expected = ["Loaded image: app:1", "Loaded image: quay.io/a/b:2", f"Loaded image ID: {unnamed['digest']}"]
    assert imagefs("load", "-q", "-i", archive.write(tmp_path / "a.tar")).lines == expected
    result = imagefs("load", "-q", stdin=archive.bytes())
    assert (result.lines, result.err) == (expected, "")
    assert len(imagefs("load", "--input", tmp_path / "a.tar", "--platform", "linux/amd64").lines) == 3


def test_load_does_not_wait_for_a_terminal(tmp_path):
    ours, terminal = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "imagefs", "--store", str(tmp_path / "store"), "load"],
            stdin=terminal, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(terminal)
    assert done.returncode == 2
    assert "standard input is a terminal; use -i FILE or a pipe" in done.stderr


def test_load_of_a_file_that_is_not_there(tmp_path):
    result = Imagefs(tmp_path / "store")("load", "-i", Path("/no/such/file"), check=False)
    assert (result.status, result.err) == (1, "imagefs: /no/such/file: No such file or directory\n")


# -- in one store at the same time


def test_a_broken_import_leaves_what_another_one_brings_at_the_same_time(tmp_path):
    """Both bring the same layer; the good one relies on the broken one's, which fails afterwards."""
    broken, good = OciArchive(), OciArchive()
    broken.add_image([LOW, HIGH], name="broken:1", rootfs={"type": "layers", "diff_ids": [digest_of(b"")] * 2})
    good.add_image([LOW], name="good:1")
    with Store(tmp_path / "store") as store, Store(tmp_path / "store") as second:

        class Stream(io.BytesIO):
            """When the broken archive is at its end, another process imports the good one."""

            done = False

            def read(self, size: int = -1) -> bytes:
                data = super().read(size)
                if not data and not self.done:
                    self.done = True
                    import_archive(second, io.BytesIO(good.bytes()))
                return data

        with pytest.raises(Exception, match="diff ID"):
            import_archive(store, Stream(broken.bytes()))
        assert [record.name for record in store.images()] == ["docker.io/library/good:1"]
        assert set(store.blobs) == set(good.blobs)
        assert len(list(store.layers)) == 1
        assert store.catalog.leases() == []


def test_options_that_a_program_gives(tmp_path):
    with Store(tmp_path / "store") as store:
        options = ImportOptions(prefix="reg.test/x", platforms=("linux/amd64",), labels={"a": "b"})
        (record,) = import_archive(store, io.BytesIO(plain("1").bytes()), options)
        assert (record.name, record.platforms) == ("reg.test/x:1", ("linux/amd64",))
        assert store.catalog.labels(record.name) == {"a": "b"}
