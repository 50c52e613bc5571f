"""The catalogue of a store that cannot be written to, and catalogues of other versions."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagefs import Store, StoreError
from imagefs.digest import Digest
from imagefs.oci.model import Descriptor
from imagefs.store import reading
from imagefs.store.catalog import Catalog, ImageRecord
from imagefs.store.database import FORMAT

TARGET = Descriptor("application/vnd.oci.image.manifest.v1+json", Digest("sha256:" + "1" * 64), 3)


@pytest.fixture
def path(tmp_path) -> Path:
    Store(tmp_path / "store").close()
    return tmp_path / "store/catalog.sqlite"


@pytest.fixture
def reader(path) -> Iterator[Catalog]:
    catalog = Catalog(path, read_only=True)
    yield catalog
    catalog.close()


def name(catalog: Catalog, *names: str) -> None:
    with catalog.transaction():
        for each in names:
            catalog.bind(ImageRecord(each, TARGET), [])


def names(catalog: Catalog) -> list[str]:
    return [record.name for record in catalog.images()]


def test_a_copy_is_renewed_when_the_file_is_another_one(path, reader):
    version = reader.version()
    assert reader.version() == version
    writer = Catalog(path, read_only=False)
    name(writer, "a")
    writer.close()
    assert names(reader) == []
    assert reader.version() != version
    assert names(reader) == ["a"]


def test_beside_a_writer_changes_show_as_they_happen(path):
    writer = Catalog(path, read_only=False)
    name(writer, "a")
    reader = Catalog(path, read_only=True)
    assert names(reader) == ["a"]
    version = reader.version()
    name(writer, "b")
    assert names(reader) == ["a", "b"]
    assert reader.version() != version
    with writer.transaction():
        writer.unbind("a")
        assert names(reader) == ["a", "b"]
    assert names(reader) == ["b"]
    writer.close()
    reader.close()


def test_a_writer_that_begins_and_ends_meanwhile_takes_nothing_from_a_reader(path, reader):
    for number in range(20):
        writer = Catalog(path, read_only=False)
        name(writer, *(f"{number}.{each}" for each in range(50)))
        assert names(reader) == [] or number
        writer.close()
        assert reader.version()
        assert len(names(reader)) == 50 * (number + 1)
    assert reader.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_catalogue_that_changes_while_it_is_copied_is_copied_again(path, monkeypatch):
    real = reading.Reader._copy
    changes = iter("abc")

    def copy(self: reading.Reader, **options: bool) -> sqlite3.Connection:
        made = real(self, **options)
        if change := next(changes, None):
            writer = Catalog(path, read_only=False)
            name(writer, change)
            writer.close()
        return made

    monkeypatch.setattr(reading.Reader, "_copy", copy)
    reader = Catalog(path, read_only=True)
    assert names(reader) == ["a", "b", "c"]
    reader.close()


def test_a_broken_catalogue_is_told(path):
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 8000)
    with pytest.raises(StoreError, match=f"{path}: "):
        Catalog(path, read_only=True)
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="file is not a database"):
        Catalog(path, read_only=True)


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize(
    ("version", "said"), [(FORMAT + 1, "a newer imagefs.*: use that one"), (1, "an older imagefs.*: export its images")]
)
def test_stores_of_other_versions_are_refused_and_left_alone(path, version, said, read_only):
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {version}")
        database.execute("PRAGMA journal_mode = DELETE")
    database.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=f"a store of format {version}, made by {said}"):
        Catalog(path, read_only=read_only)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir() if each.name.startswith("catalog")] == ["catalog.sqlite"]


def test_a_store_without_a_catalogue_cannot_be_read(path):
    path.write_bytes(b"")
    with pytest.raises(StoreError, match="a store of format 0"):
        Catalog(path, read_only=True)
