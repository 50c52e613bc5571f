"""What the faults found once, each on its own."""

import errno
import os
import sqlite3
import stat
from pathlib import Path

import pytest
from support.archives import OciArchive, docker_archive, file, gzip_layer, layer
from support.inside import InsideImagefs

from imagefs.errors import StoreBusy, StoreError
from imagefs.store.leases import sweep
from imagefs.store.store import Store


@pytest.fixture
def inside(tmp_path: Path) -> InsideImagefs:
    return InsideImagefs(tmp_path / "store")


def test_a_layer_that_was_unpacked_and_not_recorded_is_recorded_by_the_next_import(inside):
    data = docker_archive([([layer(file("f", b"content"))], ["app:1"])])
    inside("import", "-q", "-", stdin=data)
    with sqlite3.connect(inside.store / "catalog.sqlite") as catalog:
        for table in ("image", "layer", "layer_blob"):
            catalog.execute(f"DELETE FROM {table}")
    catalog.close()
    inside("import", "-q", "-", stdin=data)
    assert inside("cat", "app:1:/f").out == "content"


def test_the_file_of_a_lease_that_is_on_no_record_goes_unless_it_is_held(inside):
    inside("images")
    orphan = inside.store / "leases" / "0123456789abcdef"
    orphan.touch()
    with Store(inside.store) as store, store.lease("test") as lease:
        inside("gc")
        assert inside.files() == [f"leases/{lease.id}"]
        sweep(store.lease_folder)
        assert inside.files() == [f"leases/{lease.id}"]


def test_a_full_disk_is_told_of_with_the_file_that_it_is_full_for(inside, monkeypatch):
    archive = OciArchive()
    archive.add_image([gzip_layer(file("f"))], tag="1")
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space left on device") as caught:
        inside("import", "-q", "-", stdin=archive.bytes())
    assert str(caught.value.filename).startswith(str(inside.store / "tmp"))
    monkeypatch.undo()
    assert inside.files() == []


def test_a_catalogue_that_cannot_be_written_is_not_told_of_as_one_in_use(inside):
    inside("images")
    with Store(inside.store) as store:
        catalog = store.catalog
        catalog.connection.execute("PRAGMA max_page_count = 1")
        full = pytest.raises(StoreError, match=rf"{inside.store}/catalog.sqlite: database or disk is full")
        with full as caught, catalog.transaction():
            catalog.connection.execute("INSERT INTO lease (id, label) VALUES ('x', ?)", ("x" * 100_000,))
        assert not isinstance(caught.value, StoreBusy)


def test_one_that_is_in_use_is(inside):
    with Store(inside.store) as store, Store(inside.store) as other:
        busy = pytest.raises(StoreBusy, match="in use")
        with other.catalog.transaction(), busy, store.catalog.transaction(wait=0.01):
            pass
