"""Docker archives by what is particular about them: each function is a case, and says who writes such a thing."""

import json
import random
import tarfile

import zstandard

from support.archives import (
    digest_of,
    directory,
    docker_archive,
    file,
    gzip_data,
    gzip_layer,
    hardlink,
    layer,
    symlink,
)
from support.docker_v1 import V1Archive
from support.foreign import (
    EMPTY,
    HIGH,
    LOW,
    Case,
    config,
    docker,
    hexadecimal,
    image,
)


def podman_writes_layers_then_configuration_then_manifest() -> Case:
    return layer(*docker([f"{hexadecimal(LOW)}.tar"], [LOW], ["a:1"])), [image("docker.io/library/a:1", LOW)]


def docker_20_writes_the_configuration_before_the_layers() -> Case:
    return docker_archive([([LOW, HIGH], ["a:1"])]), [image("docker.io/library/a:1", LOW, HIGH)]


def rules_oci_writes_manifest_json_first_and_blobs_with_an_ending() -> Case:
    """bazel's oci_tarball: a layout's folder without a layout, layers in it that are named .tar.gz."""
    low = gzip_data(LOW)
    members = docker(
        [f"blobs/sha256/{hexadecimal(low)}.tar.gz"],
        [low],
        ["a:1"],
        config_name=f"blobs/sha256/{hexadecimal(config(low))}",
    )
    return layer(*reversed(members)), [image("docker.io/library/a:1", LOW)]


def crane_names_configurations_with_an_algorithm_and_layers_tar_gz() -> Case:
    """crane pull, ko, kaniko and apko: all by the same library; big layers hide the manifest from a first look."""
    low = gzip_layer(file("big", random.Random(1).randbytes(2 << 20)))
    members = docker([f"{hexadecimal(low)}.tar.gz"], [low], ["a:1"], config_name=digest_of(config(low)))
    return layer(members[1], members[0], members[2]), [image("docker.io/library/a:1", low)]


def jib_writes_config_json() -> Case:
    members = docker([f"{hexadecimal(LOW)}.tar.gz"], [gzip_data(LOW)], ["a:1"], config_name="config.json")
    return layer(*members), [image("docker.io/library/a:1", LOW)]


def docker_10_to_24_link_a_repeated_layer() -> Case:
    images = [([LOW, HIGH], ["a:1"]), ([LOW, EMPTY], ["b:1"])]
    expected = [image("docker.io/library/a:1", LOW, HIGH), image("docker.io/library/b:1", LOW, EMPTY)]
    return docker_archive(images, repeated="symlink"), expected


def skopeo_links_legacy_folders_to_its_layers() -> Case:
    """skopeo and podman: `<id>/layer.tar` is a link to `<diff id>.tar`, with `VERSION`, `json` and `repositories`."""
    old = V1Archive(repositories={"docker.io/library/a": {"1": hexadecimal(b"id")}})
    legacy = [
        file(f"{hexadecimal(b'id')}/VERSION", b"1.0"),
        symlink(f"{hexadecimal(b'id')}/layer.tar", f"../{hexadecimal(LOW)}.tar"),
        file(f"{hexadecimal(b'id')}/json", b"{}"),
        file("repositories", json.dumps(old.repositories).encode()),
    ]
    members = docker([f"{hexadecimal(LOW)}.tar"], [LOW], ["a:1"])
    return layer(members[0], *legacy, *members[1:]), [image("docker.io/library/a:1", LOW)]


def links_before_what_they_lead_to() -> Case:
    """GNU tar --sort=name of an archive that docker wrote and somebody unpacked."""
    members = [symlink("0/layer.tar", "../1/layer.tar"), directory("1"), file("1/layer.tar", LOW)]
    rest = docker(["0/layer.tar"], [LOW], ["a:1"])[1:]
    return layer(*members, *rest), [image("docker.io/library/a:1", LOW)]


def links_to_folders() -> Case:
    """GNU tar of an unpacked archive in which somebody linked a whole folder to save room; docker load follows."""
    low, other = "1" * 64, "2" * 64
    rest = docker([f"{other}/layer.tar"], [LOW], ["a:1"])[1:]
    return layer(file(f"{low}/layer.tar", LOW), symlink(other, low), *rest), [image("docker.io/library/a:1", LOW)]


def absolute_links_begin_at_the_archive() -> Case:
    """docker load reads links inside the archive, as in a root file system: tar of a folder that was unpacked at /."""
    low = "1" * 64
    rest = docker(["0" * 64 + "/layer.tar"], [LOW], ["a:1"])[1:]
    linked = [file(f"{low}/layer.tar", LOW), symlink("0" * 64 + "/layer.tar", f"/{low}/layer.tar")]
    return layer(*linked, *rest), [image("docker.io/library/a:1", LOW)]


def hard_links_for_repeated_layers() -> Case:
    """GNU tar of an unpacked docker archive in which hardlink(1) has found the equal files."""
    rest = docker(["a/layer.tar", "b/layer.tar", "a/layer.tar"], [LOW, LOW, LOW], ["a:1"])[2:]
    linked = [file("./a/layer.tar", LOW), hardlink("./b/layer.tar", "./a/layer.tar")]
    return layer(*linked, *rest), [image("docker.io/library/a:1", LOW, LOW, LOW)]


def bazel_has_dot_slash_and_links_before_every_name() -> Case:
    """bazel's first docker rules: `./<id>/layer.tar`, no folders, `repositories` last."""
    archive = V1Archive()
    archive.repositories = {"bazel/a": {"a": archive.add("a", LOW, parent=archive.add("b", HIGH))}}
    data = archive.bytes(lambda members: [each for each in members if each.type != tarfile.DIRTYPE], prefix="./")
    return data, [image("docker.io/bazel/a:a", HIGH, LOW)]


def docker_9_saves_a_chain() -> Case:
    archive = V1Archive()
    base = archive.add("base", LOW)
    archive.repositories = {"a": {"1": archive.add("top", EMPTY, parent=base)}, "b": {"latest": base}}
    return archive.bytes(), [image("docker.io/library/a:1", LOW, EMPTY), image("docker.io/library/b:latest", LOW)]


def docker_9_saves_by_id() -> Case:
    archive = V1Archive()
    archive.add("top", HIGH, parent=archive.add("base", LOW))
    return archive.bytes(), [image("sha256:", LOW, HIGH)]


def tar_r_appends_a_layer_in_a_links_place() -> Case:
    members = docker(["a/layer.tar"], [HIGH], ["a:1"])
    return layer(file("b/layer.tar", LOW), symlink("a/layer.tar", "../b/layer.tar"), *members), [
        image("docker.io/library/a:1", HIGH)
    ]


def tar_r_appends_a_layer_behind_a_hard_link_to_the_old_one() -> Case:
    """The link is to what was there when it was made."""
    rest = docker(["b/layer.tar", "a/layer.tar"], [LOW, HIGH], ["a:1"])[1:]
    return layer(file("a/layer.tar", LOW), hardlink("b/layer.tar", "a/layer.tar"), *rest), [
        image("docker.io/library/a:1", LOW, HIGH)
    ]


def tar_r_appends_a_link_in_a_layers_place() -> Case:
    members = docker(["a/layer.tar"], [HIGH], ["a:1"])[1:]
    linked = [file("a/layer.tar", LOW), file("b/layer.tar", HIGH), symlink("a/layer.tar", "../b/layer.tar")]
    return layer(*linked, *members), [image("docker.io/library/a:1", HIGH)]


def docker_saves_by_id() -> Case:
    """docker save ID: RepoTags is null."""
    return docker_archive([([LOW], None)]), [image("sha256:", LOW)]


def podman_saves_by_id() -> Case:
    """podman save ID, buildah push and skopeo copy to a path alone: RepoTags is empty."""
    return docker_archive([([LOW], [])]), [image("sha256:", LOW)]


def skopeo_names_a_registry_with_a_port() -> Case:
    return docker_archive([([LOW], ["localhost:5000/team/a:1"])]), [image("localhost:5000/team/a:1", LOW)]


def ctr_names_images_by_digest_in_manifest_json() -> Case:
    """The digests of a manifest that is not made here, and of a configuration, which kubernetes goes by."""
    data = docker_archive([([LOW], [f"quay.io/a/b@{digest_of(b'elsewhere')}", digest_of(config(LOW))])])
    return data, [image("quay.io/a/b@sha256:", LOW)]


def zstd_around_everything() -> Case:
    """podman save | zstd."""
    return zstandard.ZstdCompressor().compress(docker_archive([([LOW], ["a:1"])])), [
        image("docker.io/library/a:1", LOW)
    ]


def gnu_tar_writes_its_own_format() -> Case:
    """GNU tar's default, long names in members of their own."""
    long = "x" * 150
    members = docker([f"{long}/layer.tar", f"{long}/link.tar"], [LOW, LOW], ["a:1"])
    members[1] = symlink(f"{long}/link.tar", f"../{long}/layer.tar")
    return layer(*members, format=tarfile.GNU_FORMAT), [image("docker.io/library/a:1", LOW, LOW)]


def a_scratch_image_has_null_for_layers() -> Case:
    """FROM scratch and labels alone; null is how Go programs write a list that they never began."""
    members = docker([], [], ["a:1"], Layers=None)
    return layer(*members), [image("docker.io/library/a:1")]


def docker_saves_several_images_that_share_layers() -> Case:
    images = [([LOW], ["a:1"]), ([LOW, HIGH], ["a:2", "b:1"]), ([HIGH, LOW], ["a:3"])]
    return docker_archive(images), [
        image("docker.io/library/a:1", LOW),
        image("docker.io/library/a:2", LOW, HIGH),
        image("docker.io/library/a:3", HIGH, LOW),
        image("docker.io/library/b:1", LOW, HIGH),
    ]


def docker_on_windows_wrote_backslashes() -> Case:
    members = docker(["a/layer.tar"], [LOW], ["a:1"], Layers=["a\\layer.tar"])
    return layer(*members), [image("docker.io/library/a:1", LOW)]
