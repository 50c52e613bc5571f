"""What `imagefs events` says of mounts: that they are ready, and that they ended, whichever way."""

import os
import signal
import subprocess
import time

import pytest
from support.archives import OciArchive, file, gzip_layer

from imagefs import Store
from imagefs.fuse.record import MountRecord
from imagefs.store import events
from imagefs.tree.mounted import MountedImages

APP, OTHER = "docker.io/library/app:1", "docker.io/library/other:1"
PATIENCE = 20.0  # seconds after which something never comes


@pytest.fixture
def app(imagefs):
    archive = OciArchive()
    archive.add_image([gzip_layer(file("a", b"a"))], name="app:1")
    archive.add_image([gzip_layer(file("b", b"b"))], name="other:1")
    imagefs("import", "-q", "-", stdin=archive.bytes())
    return imagefs


def said(app) -> list[tuple[str, str | None, str | None]]:
    """(action, name, mountpoint) of each event of a mount."""
    with Store(app.store) as store:
        found = events.after(store.catalog, 0)
        digests = {record.name: record.target.digest for record in store.images()}
    assert all(event.digest == (digests[event.name] if event.name else None) for event in found)
    return [(each.action, each.name, each.mountpoint) for each in found if each.mountpoint is not None]


def until_there_are(app, number: int) -> list[tuple[str, str | None, str | None]]:
    """The same, when there are this many: a mount's process ends after the mount."""
    deadline = time.monotonic() + PATIENCE
    while len(said(app)) < number and time.monotonic() < deadline:
        time.sleep(0.05)
    return said(app)


def process_of(app, folder) -> int:
    """The process that serves a mount."""
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/cmdline", "rb") as file:
                command = file.read()
        except OSError:
            continue
        if b"imagefs.fuse" in command and os.fsencode(f'"{folder}"') in command:
            return int(process)
    raise AssertionError("no process serves it")


@pytest.mark.parametrize("how", ["imagefs umount", "umount", "fusermount3 -u", "SIGTERM", "SIGINT"])
def test_a_mount_of_all_images(app, mount, how):
    folder = mount()
    assert said(app) == [("mount", None, str(folder))]
    if how.startswith("SIG"):
        os.kill(process_of(app, folder), getattr(signal, how))
    elif how == "imagefs umount":
        app("umount", folder)
    else:
        subprocess.run([*how.split(), folder], check=True)
    assert until_there_are(app, 2) == [("mount", None, str(folder)), ("unmount", None, str(folder))]


def test_a_mount_of_named_images(app, mount):
    folder = mount("app:1", "other:1")
    began = [("mount", APP, str(folder)), ("mount", OTHER, str(folder))]
    assert said(app) == began
    app("umount", folder)
    assert until_there_are(app, 4) == [*began, ("unmount", APP, str(folder)), ("unmount", OTHER, str(folder))]


def test_one_folder_twice(app, mount):
    folder = mount("app:1")
    app("umount", folder)
    until_there_are(app, 2)
    app("mount", "--view", "rootfs", "other:1", folder)
    app("umount", folder)
    assert [each[:2] for each in until_there_are(app, 4)] == [
        ("mount", APP),
        ("unmount", APP),
        ("mount", OTHER),
        ("unmount", OTHER),
    ]


def test_a_mount_that_was_killed_ends_with_the_next_collection(app, mount):
    folder = mount("app:1")
    os.kill(process_of(app, folder), signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while len(said(app)) == 1 and time.monotonic() < deadline:
        app("gc")
    assert said(app) == [("mount", APP, str(folder)), ("unmount", APP, str(folder))]


def test_a_mount_that_fails_is_no_event(app, tmp_path):
    (tmp_path / "mnt").mkdir()
    assert app("mount", "nowhere:1", tmp_path / "mnt", check=False).status == 1
    assert said(app) == []


# -- without a mount


@pytest.fixture
def images(app):
    with Store(app.store) as store:
        shown = MountedImages(store, ["app:1"])
        yield shown
        shown.close()


def test_a_store_that_is_in_use_is_asked_again_later(app, images):
    record = MountRecord(images, "/mnt")
    with Store(app.store) as other, other.catalog.transaction():
        assert not record.begin()
    assert said(app) == []
    assert record.begin()
    assert said(app) == [("mount", APP, "/mnt")]
    record.end()
    assert said(app) == [("mount", APP, "/mnt"), ("unmount", APP, "/mnt")]


def test_the_record_is_no_reason_to_look_at_all_images_again(app):
    with Store(app.store) as store:
        shown = MountedImages(store)
        before = shown.current
        assert MountRecord(shown, "/mnt").begin()
        assert not shown.refresh() and shown.current is before
        # What happened before it is still seen after it.
        app("tag", "app:1", "app:2")
        assert MountRecord(shown, "/mnt").begin()
        assert shown.refresh() and len(shown.current.images) == len(before.images) + 1
        shown.close()


def test_the_end_of_a_mount_that_never_was_is_no_event(app, images):
    MountRecord(images, "/mnt").end()
    assert said(app) == []


def test_nothing_is_written_to_a_read_only_store(app, images):
    images.store.read_only = True
    record = MountRecord(images, "/mnt")
    assert record.begin()
    record.end()
    images.store.read_only = False
    assert said(app) == []


@pytest.mark.parametrize("when", ["begin", "end"])
def test_a_catalogue_that_fails_is_logged_and_passed_over(app, images, caplog, when):
    record = MountRecord(images, "/mnt")
    if when == "end":
        record.begin()
    images.store.catalog.connection.execute("ALTER TABLE event RENAME TO elsewhere")
    assert record.begin() if when == "begin" else record.end() is None
    assert "/mnt: " in caplog.text and "on record: " in caplog.text and "no such table: event" in caplog.text
    images.store.catalog.connection.execute("ALTER TABLE elsewhere RENAME TO event")
    assert len(said(app)) == (when == "end")
