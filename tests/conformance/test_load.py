"""Other tools load the archives that imagefs gives, and so does imagefs; `test_writers` has the other direction."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .archives import Content, Image, member, oci_images, sha256
from .conftest import imagefs, imported_content, imported_images, mounted, run

# ctr alone can take minutes over an archive with whole trees in it, for it keeps each file as a blob.
pytestmark = [pytest.mark.peer, pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(900)]

LAYOUTS = ["tar-without-images", "tar-of-layout-view", "tar-of-everything", "export", "export-oci"]
DOCKERS = ["export-docker"]
SETS = ["many", "one"]


@dataclass
class Stock:
    """A store with real images in it, and what was in the archives that it was filled from."""

    folder: Path
    images: dict[str, Image]
    archives: dict[str, Path] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def within(self, form: str) -> dict[str, Image]:
        """The images that are in the archive of one form."""
        if form != "tar-of-everything":
            return self.images
        # Other tools take minutes over trees; the first image for one platform and all others will do.
        single = [name for name, image in self.images.items() if len(image.manifests) == 1]
        return {name: image for name, image in self.images.items() if name not in single[1:]}

    def contents(self, form: str = "export") -> dict[str, Content]:
        """What tools for one platform see of each image in the archive of one form."""
        return {name: image.contents["amd64"] for name, image in self.within(form).items()}

    def archive(self, form: str) -> Path:
        """The archive of all images in one form, made once."""
        if form not in self.archives:
            self.archives[form] = self.write(form, self.folder / f"{form}.tar")
        return self.archives[form]

    def write(self, form: str, path: Path) -> Path:
        """Make an archive of all images."""
        if form.startswith("export"):
            _, _, name = form.partition("-")
            chosen = ["--format", name] if name else []
            imagefs(self.store, "export", *chosen, "-o", path, *self.within(form))
            return path
        view = ["--view", "layout"] if form == "tar-of-layout-view" else []
        without = ["--exclude=./images"] if form == "tar-without-images" else []
        with mounted(self.store, self.folder / "mnt", *view, *self.within(form)) as mount:
            run("tar", "-C", mount, *without, "-cf", path, ".")
        return path


@pytest.fixture(scope="module")
def stocks(samples, tmp_path_factory) -> Callable[[str], Stock]:
    """`many`: several images, one of them multi-platform; `one`: one image for one platform."""
    made: dict[str, Stock] = {}

    def stock(name: str) -> Stock:
        if name not in made:
            archives = [samples.debian, samples.busybox_multi] if name == "many" else [samples.busybox]
            images = {each: image for archive in archives for each, image in oci_images(archive).items()}
            made[name] = Stock(tmp_path_factory.mktemp(name), images)
            for archive in archives:
                imagefs(made[name].store, "import", archive)
            digests = {each: image.digest for each, image in images.items()}
            assert imported_images(made[name].store) == digests
            assert len(digests) == (4 if name == "many" else 1)
        return made[name]

    yield stock
    for each in made.values():
        run("rm", "-rf", each.folder)


@pytest.fixture(params=SETS)
def stock(request, stocks) -> Stock:
    return stocks(request.param)


# Out of imagefs, into the others


@pytest.mark.parametrize("form", LAYOUTS)
def test_imagefs_imports_its_layouts_with_equal_digests(stock, scratch, form):
    imagefs(scratch / "store", "import", stock.archive(form))
    digests = {name: image.digest for name, image in stock.within(form).items()}
    assert imported_images(scratch / "store") == digests
    for name, image in stock.within(form).items():
        assert imported_content(scratch / "store", name) == image.contents


def _in_store(store: Path) -> dict[str, Content]:
    """The content of each image, where all are for one platform."""
    contents = {}
    for name in imported_images(store):
        ((_, contents[name]),) = imported_content(store, name).items()
    return contents


@pytest.mark.parametrize("form", DOCKERS)
def test_imagefs_imports_its_docker_archives_with_equal_content(stock, scratch, form):
    imagefs(scratch / "store", "import", stock.archive(form))
    assert _in_store(scratch / "store") == stock.contents(form)


@pytest.mark.parametrize("form", LAYOUTS)
def test_skopeo_copies_from_layouts_with_equal_digests(stock, skopeo, form):
    for image in stock.within(form).values():
        source = f"oci-archive:{stock.archive(form)}:{image.tag}"
        digest, _ = skopeo.fetch(source, "--all")
        assert digest == image.digest


@pytest.mark.parametrize("form", ["tar-without-images", "tar-of-layout-view", "export", "export-docker"])
def test_skopeo_copies_from_docker_archives_with_equal_content(stock, skopeo, form):
    for name, content in stock.contents(form).items():
        assert skopeo.content(f"docker-archive:{stock.archive(form)}:{name}") == content


@pytest.mark.parametrize("form", LAYOUTS + DOCKERS)
def test_ctr_imports_with_equal_digests(stock, containerd, form):
    containerd("images", "import", "--all-platforms", "--no-unpack", stock.archive(form))
    if form in DOCKERS:
        assert containerd.images().keys() == stock.within(form).keys()
    else:
        assert containerd.images() == {name: image.digest for name, image in stock.within(form).items()}
    for name, digest in containerd.images().items():
        image = stock.images[name]
        manifests = [digest] if form in DOCKERS else image.manifests.values()
        contents = [image.contents["amd64"]] if form in DOCKERS else image.contents.values()
        assert [containerd.content(manifest) for manifest in manifests] == list(contents)


@pytest.mark.parametrize("form", ["tar-of-layout-view", "export", "export-docker"])
def test_ctr_unpacks_what_it_imports(stock, containerd, form):
    # It unpacks for the host's platform and holds each layer to its diff ID.
    said = containerd("images", "import", stock.archive(form))
    assert said.count("unpacking ") == said.count("done") == len(stock.images)


# Of an OCI archive without manifest.json podman takes one image only, which the next test has.
@pytest.mark.parametrize("form", [form for form in LAYOUTS if form != "export-oci"] + DOCKERS)
def test_podman_loads_with_equal_content(stock, podman, form):
    podman("load", "--quiet", "--input", stock.archive(form))
    assert {name: podman.content(name) for name in stock.within(form)} == stock.contents(form)


@pytest.mark.parametrize("form", LAYOUTS)
def test_podman_keeps_the_digest_of_one_image_for_one_platform(stocks, podman, form):
    stock = stocks("one")
    ((name, image),) = stock.images.items()
    podman("load", "--quiet", "--input", stock.archive(form))
    assert podman.image(name)["Digest"] == image.digest


@pytest.mark.parametrize("form", [form for form in LAYOUTS if form != "export-oci"] + DOCKERS)
def test_docker_loads_with_equal_content(stock, dockerd, form):
    dockerd("load", "--quiet", "--input", stock.archive(form))
    assert {name: dockerd.content(name) for name in stock.within(form)} == stock.contents(form)


@pytest.mark.parametrize("form", LAYOUTS)
def test_two_archives_of_one_store_are_equal(stock, scratch, form):
    again = stock.write(form, scratch / "again.tar")
    run("cmp", stock.archive(form), again)


def test_two_tars_of_one_mount_are_equal(stock, scratch):
    with mounted(stock.store, scratch / "mnt", *stock.within("tar-of-everything")) as mount:
        for name in ("first.tar", "second.tar"):
            run("tar", "-C", mount, "-cf", scratch / name, ".")
    run("cmp", scratch / "first.tar", scratch / "second.tar")


def test_manifest_json_describes_what_index_json_does(stock):
    archive = stock.archive("export")
    entries = json.loads(member(archive, "manifest.json"))
    configs = {tag: sha256(member(archive, entry["Config"])) for entry in entries for tag in entry["RepoTags"]}
    assert configs == {name: content.config for name, content in stock.contents().items()}
