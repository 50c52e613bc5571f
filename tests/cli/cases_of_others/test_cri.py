"""The rules of the importer that containerd's CRI plugin had, each as a case, and the test of what came after it.

The importer, `pkg/containerd/importer/importer.go` until containerd/cri moved to containerd's own, had no tests; the
names here are of our giving.
"""

import json

import pytest
from support.archives import AMD64, TarEntry, digest_of, directory, docker_archive, file, layer, symlink
from support.cases import Cases, lines
from support.inside import InsideImagefs
from support.stored import everything

from imagefs import Store
from imagefs.store import contents

IMPORTER = Cases(
    "containerd/cri",
    "pkg/containerd/importer/importer.go",
    lines("""
        manifest.json lists images, its names are normalised
        several names of one image
        several images in one archive
        a layer is a member x/layer.tar
        a layer that is a symbolic link to ../y/layer.tar
        a symbolic link that is not like ../y/layer.tar
        a symbolic link to no layer
        a symbolic link to a symbolic link
        a configuration is a member x.json at the top
        a configuration that is missing
        a configuration that is not JSON
        a layer that is missing
        manifest.json that is not JSON
        manifest.json that is missing
        repositories without manifest.json
        members that are nothing of an image
        Parent is ignored
        a name that is none
        a name by digest
        names that are there already are moved
        an error removes the names that were made
        the manifest is docker's, with the configuration and the layers as they are
        the platform is the configuration's
        layers are unpacked where that is asked for
    """),
)
LOAD = Cases("containerd/cri", "integration/image_load_test.go", ["TestImageLoad"])
LOAD_2 = Cases("containerd", "integration/image_load_test.go", ["TestImageLoad"])

LAYER, OTHER = layer(file("low", b"1")), layer(file("high", b"2"))


def archive(*members: TarEntry, names: list[str] | None = None, config: bytes | None = None, **more: str) -> bytes:
    """An archive whose image has the layer `x/layer.tar`, whatever the members are."""
    if config is None:
        config = json.dumps({**AMD64, "rootfs": {"type": "layers", "diff_ids": [digest_of(LAYER)]}}).encode()
    entry = {"Config": "c.json", "RepoTags": names or ["app:1"], "Layers": ["x/layer.tar"], **more}
    return layer(*members, file("c.json", config), file("manifest.json", json.dumps([entry]).encode()))


AT_X = file("x/layer.tar", LAYER)
AT_Y = file("y/layer.tar", LAYER)


def imported(imagefs: InsideImagefs, data: bytes) -> list[str]:
    """The names; each image in the archive has the one layer."""
    names = imagefs("import", "-q", "-", stdin=data).lines
    for name in names:
        assert imagefs("cat", f"{name}:/low").out == "1"
    return names


def refused(imagefs: InsideImagefs, data: bytes) -> str:
    """What is said; nothing is left."""
    result = imagefs("import", "-q", "-", stdin=data, check=False)
    assert result.status == 1
    assert everything(imagefs) == set()
    return result.err


@IMPORTER.table(
    "the same names",
    ("names", "expected"),
    {
        "manifest.json lists images, its names are normalised": (["app"], ["docker.io/library/app:latest"]),
        "several names of one image": (
            ["app:1", "quay.io/a/b:2", "localhost:5000/c"],
            ["docker.io/library/app:1", "quay.io/a/b:2", "localhost:5000/c:latest"],
        ),
    },
)
def test_names(imagefs, names, expected):
    assert imported(imagefs, archive(AT_X, names=names)) == expected
    with Store(imagefs.store) as store:
        assert len({record.target.digest for record in store.images()}) == 1


@IMPORTER.case("the same, and a layer that they share is kept once", "several images in one archive")
def test_several_images(imagefs):
    data = docker_archive([([LAYER], ["one:1"]), ([LAYER, OTHER], ["two:1"])], repeated="symlink")
    assert imported(imagefs, data) == ["docker.io/library/one:1", "docker.io/library/two:1"]
    with Store(imagefs.store) as store:
        assert len(list(store.layers)) == 2


@IMPORTER.table(
    "the same",
    "members",
    {
        "a layer is a member x/layer.tar": [AT_X],
        "a layer that is a symbolic link to ../y/layer.tar": [AT_Y, symlink("x/layer.tar", "../y/layer.tar")],
    },
)
def test_layers(imagefs, members):
    assert imported(imagefs, archive(*members)) == ["docker.io/library/app:1"]
    assert imported(imagefs, archive(*members[::-1])) == ["docker.io/library/app:1"]


@IMPORTER.case(
    "followed where it stays in the archive, as a tar reader would; else refused",
    "a symbolic link that is not like ../y/layer.tar",
)
@pytest.mark.parametrize(("target", "member"), [("../y/other", "y/other"), ("../layers/y/l.tar", "layers/y/l.tar")])
def test_links_of_another_form(imagefs, other, target, member):
    data = archive(file(member, LAYER), symlink("x/layer.tar", target))
    assert imported(imagefs, data) == ["docker.io/library/app:1"]
    said = refused(other, archive(AT_Y, symlink("x/layer.tar", "y/layer.tar")))
    assert "x/layer.tar: manifest.json lists it, but the archive does not have it" in said


@IMPORTER.case("followed, where it is refused there", "a symbolic link to a symbolic link")
def test_links_to_links(imagefs):
    links = [symlink("z/layer.tar", "../y/layer.tar"), symlink("x/layer.tar", "../z/layer.tar")]
    assert imported(imagefs, archive(AT_Y, *links)) == ["docker.io/library/app:1"]
    assert imported(imagefs, archive(*links[::-1], AT_Y)) == ["docker.io/library/app:1"]


LISTED = "manifest.json lists it, but the archive does not have it"


@IMPORTER.table(
    "refused, as there",
    ("data", "said"),
    {
        "a symbolic link to no layer": (archive(symlink("x/layer.tar", "../y/layer.tar")), f"x/layer.tar: {LISTED}"),
        "a layer that is missing": (archive(AT_Y), f"x/layer.tar: {LISTED}"),
        "a configuration that is missing": (
            layer(AT_X, file("manifest.json", b'[{"Config": "c.json", "Layers": ["x/layer.tar"]}]')),
            f"c.json: {LISTED}",
        ),
        "a configuration that is not JSON": (archive(AT_X, config=b"{no"), "JSON is malformed"),
        "manifest.json that is not JSON": (layer(AT_X, file("manifest.json", b"{no")), "manifest.json: not a valid"),
        "a name that is none": (archive(AT_X, names=["app:1", "NO NAME"]), "'NO NAME' is not an image name"),
    },
)
def test_what_is_refused(imagefs, data, said):
    assert said in refused(imagefs, data)


@IMPORTER.case("refused; there it is an import of no image", "manifest.json that is missing")
def test_no_manifest(imagefs):
    assert "not an image archive of a known format" in refused(imagefs, layer(AT_X, file("c.json", b"{}")))


@IMPORTER.case(
    "taken as docker's images of before 1.10, see test_docker_v1; without those, refused",
    "repositories without manifest.json",
)
def test_repositories_alone(imagefs):
    said = refused(imagefs, layer(AT_X, file("repositories", b'{"app": {"1": "x"}}')))
    assert "a docker archive without manifest.json" in said


@IMPORTER.case("anywhere, and with any name", "a configuration is a member x.json at the top")
def test_a_configuration_somewhere(imagefs):
    config = json.dumps({**AMD64, "rootfs": {"type": "layers", "diff_ids": [digest_of(LAYER)]}}).encode()
    entry = {"Config": "a/b/config", "RepoTags": ["app:1"], "Layers": ["x/layer.tar"]}
    data = layer(AT_X, file("a/b/config", config), file("manifest.json", json.dumps([entry]).encode()))
    assert imported(imagefs, data) == ["docker.io/library/app:1"]


@IMPORTER.case("passed over, and what is no JSON, too, which there is refused", "members that are nothing of an image")
def test_other_members(imagefs):
    others = [
        directory("x"),
        file("x/VERSION", b"1.0"),
        file("other.json", b"{no"),
        file("z/layer.tar", OTHER),
        file("README"),
    ]
    assert imported(imagefs, archive(*others, AT_X)) == ["docker.io/library/app:1"]
    with Store(imagefs.store) as store:
        assert digest_of(OTHER) not in store.blobs
        assert len(list(store.blobs)) == 3


@IMPORTER.case("the same", "Parent is ignored")
def test_a_parent(imagefs):
    assert imported(imagefs, archive(AT_X, Parent=digest_of(b"parent"))) == ["docker.io/library/app:1"]


@IMPORTER.case(
    "gets the digest of the manifest that is made, where there the name tells a digest that is not its own",
    "a name by digest",
)
def test_a_name_by_digest(imagefs):
    (name,) = imagefs("import", "-q", "-", stdin=archive(AT_X, names=[f"app@{digest_of(b'x')}"])).lines
    with Store(imagefs.store) as store:
        assert name == f"docker.io/library/app@{store.find_image(name).target.digest}"


@IMPORTER.case(
    "the same, and the image that lost its name stays under its digest", "names that are there already are moved"
)
def test_a_name_that_moves(imagefs):
    imported(imagefs, archive(AT_X))
    imagefs("import", "-q", "-", stdin=docker_archive([([OTHER], ["app:1"])]))
    assert imagefs("ls", "app:1:/").lines == ["high"]
    with Store(imagefs.store) as store:
        assert sorted(record.dangling for record in store.images()) == [False, True]


@IMPORTER.case(
    "the names are as before the import: none was made, and none was moved", "an error removes the names that were made"
)
def test_an_error_after_the_first_image(imagefs):
    imported(imagefs, archive(AT_X))
    with Store(imagefs.store) as store:
        before = store.images()
    config = json.dumps({**AMD64, "rootfs": {"type": "layers", "diff_ids": [digest_of(OTHER)]}}).encode()
    entries = [
        {"Config": "c.json", "RepoTags": ["app:1", "app:2"], "Layers": ["x/layer.tar"]},
        {"Config": "d.json", "RepoTags": ["app:3"], "Layers": ["x/layer.tar"]},
    ]
    listed = file("manifest.json", json.dumps(entries).encode())
    data = layer(file("x/layer.tar", OTHER), file("c.json", config), listed)
    assert imagefs("import", "-q", "-", stdin=data, check=False).status == 1
    with Store(imagefs.store) as store:
        assert store.images() == before
        assert digest_of(OTHER) not in store.blobs


@IMPORTER.case(
    "the same, byte for byte what containerd's importer makes",
    "the manifest is docker's, with the configuration and the layers as they are",
)
@IMPORTER.case("the same", "the platform is the configuration's")
def test_the_manifest_that_is_made(imagefs):
    imported(imagefs, archive(AT_X))
    with Store(imagefs.store) as store:
        target = store.find_image("app:1").target
        (found,) = contents.manifests(store.blobs, target)
        manifest = json.loads(store.blobs.read(target.digest))
    assert target.media_type == "application/vnd.docker.distribution.manifest.v2+json"
    assert manifest["config"]["mediaType"] == "application/vnd.docker.container.image.v1+json"
    kept = [(each["mediaType"], each["digest"], each["size"]) for each in manifest["layers"]]
    assert kept == [("application/vnd.docker.image.rootfs.diff.tar", digest_of(LAYER), len(LAYER))]
    assert found.platform_text == "linux/amd64"


@IMPORTER.case("unpacked by default; not with --no-unpack", "layers are unpacked where that is asked for")
def test_unpacking(imagefs):
    imagefs("import", "-q", "--no-unpack", "-", stdin=archive(AT_X))
    with Store(imagefs.store) as store:
        assert list(store.layers) == []
    imported(imagefs, archive(AT_X))
    with Store(imagefs.store) as store:
        assert list(store.layers) == [digest_of(LAYER)]


@LOAD.case("the same name; what is looked at in place of a container is its tree", "TestImageLoad")
@LOAD_2.case("the same", "TestImageLoad")
def test_what_docker_saved(imagefs):
    data = docker_archive([([LAYER], ["busybox:latest"])])
    assert imported(imagefs, data) == ["docker.io/library/busybox:latest"]


@pytest.mark.parametrize("cases", [IMPORTER, LOAD, LOAD_2], ids=lambda each: f"{each.project} {each.path}")
def test_every_case_has_one_answer(cases):
    assert cases.unaccounted() == []
