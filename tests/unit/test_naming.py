"""Giving and taking names, labels, and removing images, on a catalogue."""

import io
import sqlite3

import pytest
from support.archives import AMD64, ARM64, OciArchive, file, layer

from imagefs import ImportOptions, Store, StoreError, import_archive
from imagefs.errors import InUse, InvalidReference
from imagefs.store import events, naming, removal
from imagefs.store.catalog import Catalog
from imagefs.store.status import mountpoints

FIRST, SECOND = layer(file("first")), layer(file("second"))
ONE, TWO = "localhost/x:1", "localhost/x:2"


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store") as opened:
        archive = OciArchive()
        archive.add_image([FIRST], tag="1")
        archive.add_image([SECOND], tag="2")
        import_archive(opened, io.BytesIO(archive.bytes()), ImportOptions(prefix="localhost/x"))
        yield opened


def tag(store: Store, image: str, *names: str, force: bool = False):
    with store.catalog.transaction():
        return naming.tag(store.catalog, store.blobs, store.find_image(image), names, force=force)


def happened(store: Store, number: int) -> list[tuple[str, str | None, str | None]]:
    """(action, name, digest) of each event after a number."""
    return [(event.action, event.name, event.digest) for event in events.after(store.catalog, number)]


def test_a_tag_is_one_event(store):
    number = events.latest(store.catalog)
    (given,) = tag(store, ONE, "localhost/y:1")
    assert given.complete
    assert happened(store, number) == [("tag", "localhost/y:1", given.target.digest)]
    assert len(store.catalog.slots("localhost/y:1")) == 1


def test_a_name_that_moves_is_untagged_first(store):
    number = events.latest(store.catalog)
    one, two = store.find_image(ONE).target.digest, store.find_image(TWO).target.digest
    (given,) = tag(store, ONE, TWO, force=True)
    assert given.moved_from == two
    assert happened(store, number) == [("untag", TWO, two), ("tag", TWO, one)]
    assert store.find_image(two).dangling


def test_a_tag_that_is_refused_changes_nothing(store):
    number = events.latest(store.catalog)
    with pytest.raises(InUse):
        tag(store, ONE, "localhost/y:1", TWO)
    assert happened(store, number) == []
    assert store.catalog.image("localhost/y:1") is None


def test_a_tag_keeps_the_platforms_that_were_asked_for(tmp_path):
    archive = OciArchive()
    archive.add_index([archive.add_manifest([FIRST], AMD64), archive.add_manifest([SECOND], ARM64)], tag="1")
    with Store(tmp_path / "some") as store:
        options = ImportOptions(prefix="localhost/x", platforms=("linux/amd64",))
        import_archive(store, io.BytesIO(archive.bytes()), options)
        (given,) = tag(store, ONE, "localhost/y:1")
        assert given.platforms == store.find_image(ONE).platforms
        assert [slot.platform for slot in store.catalog.slots("localhost/y:1")] == ["linux/amd64"]


@pytest.mark.parametrize("labels", [{"": "1"}, {"k": "v" * 4096}, {"ü" * 2048: "v"}, {"k": "\udcff"}])
def test_labels_that_containerd_would_not_take(store, labels):
    with pytest.raises(InvalidReference), store.catalog.transaction():
        naming.label(store.catalog, ONE, labels)
    assert store.catalog.labels(ONE) == {}


def test_a_removal_untags_and_deletes(store):
    tag(store, ONE, "localhost/x:3")
    number = events.latest(store.catalog)
    digest = store.find_image(ONE).target.digest
    with store.catalog.transaction():
        records = removal.find(store, digest)
        planned = removal.planned(store, records)
        removed = removal.remove(store, records)
    assert removed == planned == removal.Removed([ONE, "localhost/x:3"], [digest])
    assert happened(store, number) == [
        ("untag", ONE, digest),
        ("untag", "localhost/x:3", digest),
        ("delete", None, digest),
    ]


def test_unused_are_dangling_images_and_with_the_named_ones_those_without_a_mount(store):
    two = store.find_image(TWO).target.digest
    tag(store, ONE, TWO, force=True)
    tag(store, two, "localhost/y:2")
    tag(store, ONE, "localhost/y:2", force=True)  # now TWO's image dangles again

    def names(*, named: bool) -> list[str]:
        return [record.name for record in removal.unused(store, named=named)]

    assert names(named=False) == [two]
    assert set(names(named=True)) == {ONE, TWO, "localhost/y:2", two}
    target = store.find_image(ONE).target
    with store.lease("mount /mnt") as lease:
        lease.protect(target.media_type, target.digest)
        assert mountpoints(store) == {target.digest: ["/mnt"]}
        assert names(named=True) == [two]
    with store.lease("export") as lease:
        lease.protect(target.media_type, target.digest)
        assert len(names(named=True)) == 4


def test_nothing_is_named_in_a_read_only_store(store):
    path = store.folder / "catalog.sqlite"
    store.close()
    catalog = Catalog(path, read_only=True)
    with pytest.raises(StoreError, match="read-only"), catalog.transaction():
        raise AssertionError("it began")
    assert len(catalog.images()) == 2
    catalog.close()


def test_a_transaction_that_cannot_end_leaves_the_catalogue_usable(store):
    connection = store.catalog.connection
    with pytest.raises(sqlite3.IntegrityError), store.catalog.transaction():
        connection.execute("PRAGMA defer_foreign_keys = ON")
        connection.execute(
            "INSERT INTO label (name, key, value) VALUES ('nowhere:1', 'a', '1')"
        )  # refused by the COMMIT
    tag(store, ONE, "localhost/y:1")
    assert store.catalog.labels("nowhere:1") == {}
