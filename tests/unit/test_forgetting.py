"""Removed trees that the kernel does not forget by itself: it is told of every name in them, again and again."""

import pytest
from support.archives import OciArchive, directory, file, gzip_layer

from imagefs import Store, import_archive
from imagefs.store import removal
from imagefs.tree import forgetting
from imagefs.tree.mounted import MountedImages
from imagefs.tree.namespace import Namespace

FILES = [f"etc/{number:02}" for number in range(30)]


@pytest.fixture
def store(tmp_path):
    archive = OciArchive()
    archive.add_image([gzip_layer(directory("etc"), directory("etc/deep"), *map(file, FILES))], name="app:1")
    with Store(tmp_path / "store") as opened:
        import_archive(opened, archive.write(tmp_path / "archive.tar").open("rb"))
        yield opened


@pytest.fixture
def files(store):
    images = MountedImages(store)
    yield Namespace(images, show_images=True)
    images.close()


def down_to(files, *names):
    ino = 1
    for name in names:
        ino = files.lookup(ino, name).ino
        files.remember(ino)
    return ino


def told(files, looks):
    """The names that are told at each of the next looks."""
    return [[name for _, name in files.outdated()] for _ in range(looks)]


PATH = (b"images", b"docker.io", b"library", b"app:1")


def remove(store, files):
    removal.remove(store, store.images())
    files.refresh()


def test_what_the_kernel_knows_it_is_told_again_ever_more_seldom(store, files):
    root = down_to(files, *PATH)
    etc = down_to(files, *PATH, b"etc")
    files.opendir(etc).close()
    assert told(files, 3) == [[], [], []]
    remove(store, files)
    looks = told(files, 9)
    # With the image its folders are gone.
    assert sorted(looks[0]) == [b"app:1", b"docker.io", b"library"]
    everything = [b"app:1", b"etc", *(name.encode()[4:] for name in FILES), b"deep"]
    assert [number for number, names in enumerate(looks, 1) if names] == [1, 2, 4, 8]
    for number in (2, 4, 8):
        assert sorted(looks[number - 1]) == sorted(everything)
    files.forget(root, 2)
    files.forget(etc, 1)
    assert told(files, 16) == [[]] * 16, "the kernel has forgotten it"


def test_nobody_is_disturbed_who_has_a_file_open(store, files):
    down_to(files, *PATH)
    opened = files.opendir(down_to(files, *PATH, b"etc"))
    remove(store, files)
    assert [bool(names) for names in told(files, 8)] == [True, *[False] * 7]
    opened.close()
    assert b"etc" in told(files, 1)[0]


def test_it_is_told_in_pieces(store, files, monkeypatch):
    monkeypatch.setattr(forgetting, "_AT_ONCE", 10)
    down_to(files, *PATH)
    remove(store, files)
    looks = told(files, 7)
    pieces = [len(names) for names in looks[1:5]]
    assert pieces == [10, 10, 10, 3]
    assert len({name for names in looks[1:5] for name in names}) == 33
