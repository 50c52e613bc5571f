"""Many images in one mount: of those that nobody looks into, the layers are closed, and nobody notices."""

import stat

import pytest
from support.archives import OciArchive, file, gzip_layer, hardlink, layer

from imagefs import ImportOptions, Store, import_archive
from imagefs.errors import NoSuchEntry
from imagefs.tree import mounted
from imagefs.tree.mounted import MountedImages
from imagefs.tree.namespace import Namespace
from imagefs.tree.rootfs import RootfsView

LIMIT = 6
SHARED = layer(file("shared", b"shared\n"))


@pytest.fixture(autouse=True)
def few_layers(monkeypatch):
    monkeypatch.setattr(mounted, "_OPEN_LAYERS", LIMIT)


@pytest.fixture
def store(tmp_path):
    archive = OciArchive()
    for number in range(20):
        own = gzip_layer(file(f"own/{number}", b"%d\n" % number), file("one"), hardlink("own/two", "one"))
        archive.add_image([SHARED, own], name=f"app:{number}")
    with Store(tmp_path / "store") as opened:
        import_archive(opened, _stream(tmp_path, archive))
        yield opened


def _stream(folder, archive):
    return archive.write(folder / "archive.tar").open("rb")


@pytest.fixture
def images(store):
    images = MountedImages(store)
    yield images
    images.close()


def walk(files, ino):
    """(path, attributes) of everything below a directory."""
    opened = files.opendir(ino)
    entries = opened.entries
    opened.close()
    for name, attributes in entries:
        yield name, attributes
        if stat.S_ISDIR(attributes.mode):
            yield from ((name + b"/" + below, each) for below, each in walk(files, attributes.ino))


def read(files, ino):
    opened = files.open(ino)
    try:
        return opened.read(0, 100)
    finally:
        opened.close()


def test_all_is_there_and_few_layers_are_open(images):
    files = Namespace(images, show_images=True)
    found = list(walk(files, files.lookup(1, b"images").ino))
    assert sum(name.endswith(b"/shared") for name, _ in found) == 20
    assert len(images.layers) <= LIMIT + 2
    # By number, long after the trees were closed.
    for name, attributes in found:
        if stat.S_ISREG(attributes.mode):
            number = name.rpartition(b"/")[2]
            wanted = b"shared\n" if number == b"shared" else number + b"\n" if number.isdigit() else b""
            assert read(files, attributes.ino) == wanted
            assert files.getattr(attributes.ino).nlink == attributes.nlink
    assert len({attributes.ino for name, attributes in found if name.endswith(b"/shared")}) == 1
    assert len(images.layers) <= LIMIT + 2 + 16


def test_what_is_open_stays_open_when_its_tree_is_closed(images):
    files = Namespace(images, show_images=True)
    top = files.lookup(files.lookup(files.lookup(1, b"images").ino, b"docker.io").ino, b"library").ino
    own = files.lookup(files.lookup(top, b"app:7").ino, b"own").ino
    opened = files.open(files.lookup(own, b"7").ino)
    list(walk(files, top))
    assert opened.read(0, 100) == b"7\n"
    opened.close()


def test_numbers_of_no_layer_are_not_there(store, images):
    files = Namespace(images, show_images=True)
    found = dict(walk(files, files.lookup(1, b"images").ino))
    number = found[b"docker.io/library/app:7/own/7"].ino
    for beyond in (1 << 27, 1 << 40):
        with pytest.raises(NoSuchEntry):
            files.getattr(number + beyond)


def test_a_removed_image_answers_while_it_is_in_use_and_no_longer(store, images):
    files = Namespace(images, show_images=True)
    found = dict(walk(files, files.lookup(1, b"images").ino))
    number = found[b"docker.io/library/app:7/own/7"].ino
    opened = files.open(number)
    store.catalog.unbind("docker.io/library/app:7")
    files.refresh()
    list(walk(files, files.lookup(1, b"images").ino))  # which closes whatever can be
    assert read(files, number) == b"7\n"
    opened.close()
    del opened
    files.outdated()
    images._kept.clear()
    with pytest.raises(NoSuchEntry):
        files.getattr(number)


def test_images_that_were_named_are_opened_ahead(store):
    images = MountedImages(store, ["app:1"])
    files = RootfsView(images)
    assert len(images.layers) == 0
    files.open_ahead()
    assert len(images.layers) == 2
    images.close()


def test_of_many_named_images_as_many_as_stay_open_are_opened_ahead(store):
    images = MountedImages(store, [f"app:{number}" for number in range(20)])
    Namespace(images, show_images=True).open_ahead()
    assert 2 < len(images.layers) <= LIMIT
    images.close()


def test_of_all_images_none_is_opened_ahead(images):
    Namespace(images, show_images=True).open_ahead()
    assert len(images.layers) == 0


def test_what_is_not_unpacked_is_left_to_who_looks_into_it(tmp_path):
    archive = OciArchive()
    archive.add_image([gzip_layer(file("a"))], name="app:1")
    with Store(tmp_path / "store") as store:
        import_archive(store, _stream(tmp_path, archive), ImportOptions(unpacking=False))
        images = MountedImages(store, ["app:1"])
        RootfsView(images).open_ahead()
        assert len(images.layers) == 0
        images.close()
