"""Archives that other tools write: imagefs reads each, and shows the files that were put in.

The archives are real; the images in them are small ones of our own, so that what was put in is known and every tool
can have a turn. What comes back is held to the configurations, the layers and the trees.
"""

import json
import shutil
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.archives import (
    ARM64,
    OciArchive,
    character_device,
    directory,
    docker_archive,
    file,
    gzip_data,
    hardlink,
    layer,
    opaque,
    symlink,
    whiteout,
    zstd_data,
    zstd_layer,
)
from support.docker_v1 import V1Archive

from .archives import Content, Image, oci_images
from .conftest import Docker, imagefs, imported_content, imported_images, mounted, run
from .tree import Entry, differences, walk

pytestmark = [pytest.mark.peer, pytest.mark.fuse, pytest.mark.timeout(300)]

BASE = layer(
    directory("bin"),
    file("bin/tool", b"#!" * 5000, mode=0o4755),
    hardlink("bin/other", "bin/tool"),
    symlink("bin/sh", "tool"),
    directory("etc"),
    file("etc/gone", b"1"),
    file("etc/os-release", b"ID=test\n"),
    character_device("null", 1, 3, mode=0o666),
)
MIDDLE = layer(whiteout("etc/gone"), directory("var", mode=0o1777), file("var/old", b"2"))
TOP = layer(directory("var", mode=0o1777), opaque("var"), file("var/new", b"3", uid=1000, gid=1000), file("etc/motd"))
PLATFORM = {"architecture": "amd64", "os": "linux"}
ONE, TWO, BOTH = "docker.io/library/app:1", "localhost:5000/team/app:2", "docker.io/library/both:3"


@dataclass
class Given:
    """What is given to the tools: an archive, and what is in it."""

    archive: Path  # with manifest.json, which docker needs
    images: dict[str, Image]
    trees: dict[str, dict[bytes, Entry]]
    contents: dict[str, Content]


@pytest.fixture(scope="module")
def given(need, tmp_path_factory) -> Iterable[Given]:
    need("root")  # devices and owners
    folder = tmp_path_factory.mktemp("given")
    archive = OciArchive()
    more = {"created": "2024-05-06T07:08:09Z", "config": {"Cmd": ["/bin/sh"]}}
    archive.add_image([gzip_data(BASE), gzip_data(MIDDLE)], tag="1", name=ONE, **more)
    archive.add_image([gzip_data(each) for each in (BASE, MIDDLE, TOP)], tag="2", name=TWO, **more)
    other = archive.add_manifest([zstd_layer(file("arm", b"64"))], ARM64, **more)
    archive.add_index([archive.add_manifest([gzip_data(BASE)], PLATFORM, **more), other], tag="3", name=BOTH)
    images = oci_images(archive.write(folder / "given.tar"))
    imagefs(folder / "store", "import", folder / "given.tar")
    imagefs(folder / "store", "export", "-o", folder / "both.tar", *images)
    trees = {}
    with mounted(folder / "store", folder / "mnt") as mount:
        for name in images:
            trees[name] = walk(mount / "images" / name)
    assert b"etc/gone" not in trees[ONE] and b"var/old" not in trees[TWO] and b"var/new" in trees[TWO]
    yield Given(folder / "both.tar", images, trees, {name: each.contents["amd64"] for name, each in images.items()})
    shutil.rmtree(folder)


def arrives(
    given: Given, scratch: Path, archive: Path, names: Iterable[str], *, form: str = "content"
) -> dict[str, str]:
    """Import an archive: these images and no others are in it, under their names or under none; name and digest.

    `form` says what is the same: the "content", or the "layers" only.
    """
    store = scratch / f"{archive.name}-store"
    imagefs(store, "import", "-q", archive)
    found = imported_images(store)
    wanted = {name: given.contents[name] for name in names}
    put_in = {}
    for name in found:
        content = imported_content(store, name)["amd64"]
        same = [each for each, put in wanted.items() if put.diff_ids == content.diff_ids]
        assert len(same) == 1 and same[0] not in put_in.values()
        assert name in (same[0], found[name])
        assert content == wanted[same[0]] or form == "layers"
        put_in[name] = same[0]
    assert sorted(put_in.values()) == sorted(wanted)
    with mounted(store, scratch / "mnt") as mount:
        for name, put in put_in.items():
            assert differences(given.trees[put], walk(mount / "images" / name)) == []
    return found


# docker


@pytest.fixture
def loaded_dockerd(dockerd, given) -> Docker:
    dockerd("load", "--quiet", "--input", given.archive)
    return dockerd


def test_docker_saves_images_by_name(loaded_dockerd, given, scratch):
    loaded_dockerd("save", "--output", scratch / "saved.tar", *given.images)
    assert arrives(given, scratch, scratch / "saved.tar", given.images).keys() == given.images.keys()


def test_docker_saves_an_image_by_id(loaded_dockerd, given, scratch):
    loaded_dockerd("save", "--output", scratch / "saved.tar", loaded_dockerd.image(ONE)["Id"], TWO)
    found = arrives(given, scratch, scratch / "saved.tar", [ONE, TWO])
    (bare,) = found.keys() - {TWO}
    assert bare == found[bare]


def test_what_docker_saves_is_an_archive_of_its_first_form_too(loaded_dockerd, given, scratch):
    """Up to 24, docker wrote beside manifest.json what docker 1.9 reads: chains that it made up, of the same layers."""
    loaded_dockerd("save", "--output", scratch / "saved.tar", *given.images)
    with tarfile.open(scratch / "saved.tar") as saved, tarfile.open(scratch / "old.tar", "w") as old:
        for member in saved:
            if member.name != "manifest.json":
                old.addfile(member, saved.extractfile(member) if member.isfile() else None)
    found = arrives(given, scratch, scratch / "old.tar", given.images, form="layers")
    assert found.keys() == given.images.keys()


@pytest.mark.parametrize("compress", [bytes, gzip_data])
def test_an_archive_of_docker_1_9_becomes_the_image_that_docker_makes_of_it(dockerd, scratch, compress):
    archive = V1Archive()
    base = archive.add("base", compress(BASE), author="A <a@example.org>")
    middle = archive.add("middle", compress(MIDDLE), parent=base, comment="<&> \u2028", Size=0)
    archive.repositories = {"first": {"1": middle}, "second/a": {"2": archive.add("empty", layer(), parent=middle)}}
    path = scratch / "old.tar"
    path.write_bytes(archive.bytes())
    imagefs(scratch / "store", "import", path)
    names = ["docker.io/library/first:1", "docker.io/second/a:2"]
    assert list(imported_images(scratch / "store")) == names
    dockerd("load", "--quiet", "--input", path)
    try:
        for name in names:
            assert imported_content(scratch / "store", name)["amd64"] == dockerd.content(name)
    finally:
        dockerd("rmi", *reversed(names))  # children first


# podman, skopeo, buildah: one library, three programs


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci-dir"])
@pytest.mark.parametrize("by", ["name", "id"])
def test_podman_saves(podman, given, scratch, form, by):
    podman("load", "--quiet", "--input", given.archive)
    image = TWO if by == "name" else podman.image(TWO)["Id"]
    podman("save", "--quiet", "--format", form, "--output", scratch / "saved", image)
    # A folder has no name for its image; what podman loaded by manifest.json it writes with a configuration of its own.
    (name,) = arrives(given, scratch, scratch / "saved", [TWO], form="content" if form[0] == "d" else "layers")
    assert name == TWO or by == "id" or form == "oci-dir"


def test_podman_saves_several_images(podman, given, scratch):
    podman("load", "--quiet", "--input", given.archive)
    podman("save", "--quiet", "--multi-image-archive", "--output", scratch / "saved.tar", *given.images)
    assert arrives(given, scratch, scratch / "saved.tar", given.images).keys() == given.images.keys()


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci"])
@pytest.mark.parametrize("named", [True, False], ids=["named", "bare"])
def test_skopeo_copies(skopeo, given, scratch, form, named):
    skopeo.copy(f"oci-archive:{given.archive}:2", f"{form}:{scratch}/copy{f':{TWO}' if named else ''}")
    (name,) = arrives(given, scratch, scratch / "copy", [TWO])
    assert (name == TWO) == named


def test_skopeo_compresses_with_zstd(skopeo, given, scratch):
    skopeo.copy(f"oci-archive:{given.archive}:2", f"oci-archive:{scratch}/copy:{TWO}", "--dest-compress-format=zstd")
    arrives(given, scratch, scratch / "copy", [TWO])


def test_skopeo_copies_all_platforms(skopeo, given, scratch):
    skopeo.copy(f"oci-archive:{given.archive}:3", f"oci-archive:{scratch}/copy:{BOTH}", "--all")
    assert arrives(given, scratch, scratch / "copy", [BOTH]) == {BOTH: given.images[BOTH].digest}
    assert imported_content(scratch / "copy-store", BOTH) == given.images[BOTH].contents


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci"])
def test_buildah_pushes(buildah, given, scratch, form):
    buildah("pull", "--quiet", f"oci-archive:{given.archive}:2")
    (image,) = buildah("images", "--quiet").split()
    buildah("push", "--quiet", image, f"{form}:{scratch}/pushed:{TWO}")
    assert arrives(given, scratch, scratch / "pushed", [TWO]).keys() == {TWO}


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_buildah_commits_what_it_built(buildah, scratch, form):
    (scratch / "hello").write_bytes(b"hello")
    container = buildah("from", "scratch").strip()
    buildah("copy", "--quiet", container, scratch / "hello", "/etc/hello")
    buildah("config", "--label", "a=b", container)
    buildah("commit", "--quiet", container, f"{form}:{scratch}/made:localhost/made:1")
    imagefs(scratch / "store", "import", scratch / "made")
    with mounted(scratch / "store", scratch / "mnt", "--view", "rootfs", "made:1") as root:
        assert {path.relative_to(root).as_posix() for path in root.rglob("*")} == {"etc", "etc/hello"}
        assert (root / "etc" / "hello").read_bytes() == b"hello"


# umoci


def test_umoci_repacks(need, scratch):
    umoci = need("umoci")
    layout, bundle = scratch / "layout", scratch / "bundle"
    run(umoci, "init", "--layout", layout)
    run(umoci, "new", "--image", f"{layout}:1")
    run(umoci, "unpack", "--image", f"{layout}:1", bundle)
    (bundle / "rootfs" / "a").mkdir()
    (bundle / "rootfs" / "a" / "kept").write_bytes(b"1")
    (bundle / "rootfs" / "a" / "gone").write_bytes(b"2")
    run(umoci, "repack", "--refresh-bundle", "--image", f"{layout}:2", bundle)
    (bundle / "rootfs" / "a" / "gone").unlink()
    (bundle / "rootfs" / "a" / "link").symlink_to("kept")
    run(umoci, "repack", "--image", f"{layout}:3", bundle)
    run(umoci, "unpack", "--image", f"{layout}:3", scratch / "again")
    run("tar", "-C", layout, "-cf", scratch / "layout.tar", ".")
    imagefs(scratch / "store", "import", scratch / "layout.tar")
    assert imported_images(scratch / "store").keys() == {f"localhost/layout:{tag}" for tag in (1, 2, 3)}
    expected = walk(scratch / "again" / "rootfs")
    assert b"a/link" in expected and b"a/gone" not in expected
    with mounted(scratch / "store", scratch / "mnt", "--view", "rootfs", "layout:3") as root:
        assert differences(expected, walk(root)) == []


# ctr


def test_ctr_exports_all_platforms(containerd, given, scratch):
    containerd("images", "import", "--all-platforms", "--no-unpack", given.archive)
    containerd("images", "export", "--all-platforms", scratch / "exported.tar", *given.images)
    found = arrives(given, scratch, scratch / "exported.tar", given.images)
    assert found == {name: image.digest for name, image in given.images.items()}
    assert imported_content(scratch / "exported.tar-store", BOTH) == given.images[BOTH].contents


def test_ctr_exports_names_of_digests(containerd, given, scratch):
    digest = given.images[ONE].digest
    containerd("images", "import", "--no-unpack", given.archive)
    by_digest, by_id = f"docker.io/library/app@{digest}", given.contents[ONE].config
    for name in (by_digest, by_id):
        containerd("images", "tag", ONE, name)
    containerd("images", "export", scratch / "exported.tar", by_digest, by_id)
    imagefs(scratch / "store", "import", scratch / "exported.tar")
    # A digest alone is no name, and the image has another.
    assert imported_images(scratch / "store") == {by_digest: digest}


# The manifest that docker's archives do not have


def docker_archive_of(writer: str, given: Given, request, path: Path) -> None:
    if writer == "crane":  # as crane writes it, layers as they are in the registry
        images = [([gzip_data(BASE), MIDDLE], [ONE]), ([gzip_data(BASE), gzip_data(TOP)], [TWO])]
        path.write_bytes(docker_archive(images))
    elif writer == "imagefs":
        imagefs(given.archive.parent / "store", "export", "--format", "docker", "-o", path, *given.images)
    elif writer == "skopeo":
        request.getfixturevalue("skopeo").copy(f"oci-archive:{given.archive}:2", f"docker-archive:{path}:{TWO}")
    else:
        tool = request.getfixturevalue("dockerd" if writer == "docker" else "podman")
        tool("load", "--quiet", "--input", given.archive)
        many = ["--multi-image-archive"] if writer == "podman" else []
        tool("save", *many, "--output", path, *given.images)


@pytest.mark.parametrize("writer", ["imagefs", "docker", "skopeo", "podman", "crane"])
def test_docker_archive_gets_the_digest_that_ctr_gives_it(given, request, containerd, scratch, writer):
    archive = scratch / "docker.tar"
    docker_archive_of(writer, given, request, archive)
    imagefs(scratch / "store", "import", archive)
    containerd("images", "import", "--no-unpack", archive)
    assert imported_images(scratch / "store") == containerd.images()
    assert len(containerd.images()) == {"skopeo": 1, "crane": 2}.get(writer, 3)


def test_ctr_calls_a_zstd_layer_gzip(containerd, scratch):
    """Should this fail, the exception in `archive.made` can go."""
    archive = scratch / "docker.tar"
    archive.write_bytes(docker_archive([([zstd_data(BASE)], [ONE])]))
    containerd("images", "import", "--no-unpack", archive)
    imagefs(scratch / "store", "import", archive)
    (theirs,) = json.loads(containerd.blob(containerd.images()[ONE]))["layers"]
    (ours,) = json.loads(imagefs(scratch / "store", "inspect", "--json", ONE))["manifests"][0]["layers"]
    assert theirs["digest"] == ours["digest"]
    assert (theirs["mediaType"], ours["mediaType"]) == tuple(
        f"application/vnd.docker.image.rootfs.diff.tar.{name}" for name in ("gzip", "zstd")
    )


def test_others_load_an_archive_that_has_artifacts_beside_its_images(given, containerd, podman, dockerd, scratch):
    archive = OciArchive()
    archive.add_image([gzip_data(BASE)], tag="1", name=ONE)
    empty = archive.add_document({}, "application/vnd.oci.empty.v1+json")
    chart = archive.add_manifest([])
    document = json.loads(archive.blobs.pop(chart["digest"])) | {"config": empty, "artifactType": "application/x-a"}
    archive.name(archive.add_document(document, document["mediaType"]), tag="2", name="localhost/artifact:2")
    archive.name(archive.add_document({"a": 1}, "application/x-unknown"), tag="3", name="localhost/unknown:3")
    imagefs(scratch / "store", "import", archive.write(scratch / "a.tar"))
    names = imported_images(scratch / "store")
    imagefs(scratch / "store", "export", "-o", scratch / "b.tar", *names)
    containerd("images", "import", "--no-unpack", scratch / "b.tar")
    assert containerd.images() == names
    for tool in (podman, dockerd):
        tool("load", "--quiet", "--input", scratch / "b.tar")
        assert tool.content(ONE) == imported_content(scratch / "store", ONE)["amd64"]
