import io
import subprocess
import sys

import pytest
from support.archives import (
    AMD64,
    ARM64,
    OCI_MANIFEST,
    OciArchive,
    digest_of,
    file,
    gzip_layer,
    layer,
    uncompressed,
    zstd_layer,
)

from imagefs import ImportOptions, Store, StoreError, import_archive
from imagefs.store import events
from imagefs.store.blobs import BlobWriter
from imagefs.store.gc import collect, mark

LOW = gzip_layer(file("low", b"1" * 3000))
HIGH = zstd_layer(file("high", b"2"))
OTHER = layer(file("other", b"3"))


# -- marking

GRAPH = {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": [], "x": ["y", "d"], "y": ["x"]}


def marked(*roots: str) -> str:
    found = mark([("blob", root) for root in roots], lambda node: [("blob", child) for child in GRAPH[node[1]]])
    assert {kind for kind, _ in found} <= {"blob"}
    return "".join(sorted(content for _, content in found))


def test_mark_reaches_over_references():
    assert marked("a") == "abcd"
    assert marked("b") == "bd"
    assert marked("d", "b") == "bd"
    assert marked() == ""


def test_mark_ends_in_a_circle():
    assert marked("x") == "dxy"


def test_mark_is_pure_and_asks_once_for_each_node():
    asked = []

    def references(node):
        asked.append(node)
        return [("blob", child) for child in GRAPH[node[1]]]

    roots = [("image", "a"), ("image", "a"), ("blob", "b")]
    before = list(roots)
    assert mark(roots, references) == mark(roots, lambda node: [("blob", child) for child in GRAPH[node[1]]])
    assert roots == before
    assert len(asked) == len(set(asked))


def test_mark_goes_as_deep_as_it_must():
    assert len(mark([("blob", 0)], lambda node: [("blob", node[1] + 1)] if node[1] < 20_000 else [])) == 20_001


# -- collecting


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store") as opened:
        yield opened


def import_image(store: Store, tag: str, *layers: bytes) -> OciArchive:
    archive = OciArchive()
    archive.add_image(layers, tag=tag)
    import_archive(store, io.BytesIO(archive.bytes()), ImportOptions(prefix="localhost/x"))
    return archive


def remove(store: Store, name: str) -> None:
    with store.catalog.transaction():
        store.catalog.unbind(name)


def held(store: Store) -> tuple[set[str], set[str]]:
    return set(store.blobs), set(store.layers)


def diff_ids(*layers: bytes) -> set[str]:
    return {digest_of(uncompressed(each)) for each in layers}


def add_blob(store: Store, data: bytes) -> str:
    writer = BlobWriter(store.temporary_folder / "blob")
    writer.write(data)
    return writer.commit(store.blobs)


def test_a_named_image_is_kept_whole(store):
    archive = import_image(store, "1", LOW, HIGH)
    garbage = collect(store)
    assert (garbage.blobs, garbage.layers, garbage.temporary, garbage.size) == ([], [], [], 0)
    assert held(store) == (set(archive.blobs), diff_ids(LOW, HIGH))


def test_a_removed_image_goes_and_what_others_share_stays(store):
    first = import_image(store, "1", LOW, HIGH)
    second = import_image(store, "2", LOW, OTHER)
    remove(store, "localhost/x:1")
    expected = sum(len(first.blobs[blob]) for blob in set(first.blobs) - set(second.blobs))
    garbage = collect(store)
    assert set(garbage.blobs) == set(first.blobs) - set(second.blobs)
    assert set(garbage.layers) == diff_ids(HIGH)
    assert garbage.size > expected  # the derived files count too
    assert held(store) == (set(second.blobs), diff_ids(LOW, OTHER))
    assert collect(store).size == 0


def test_all_platforms_of_an_index_are_kept(store):
    archive = OciArchive()
    nested = archive.add_nested([archive.add_manifest([LOW], AMD64), archive.add_manifest([HIGH], ARM64)])
    archive.add_index([nested, archive.add_manifest([OTHER], {"os": "linux", "architecture": "riscv64"})], tag="1")
    import_archive(store, io.BytesIO(archive.bytes()), ImportOptions(prefix="localhost/x"))
    assert collect(store).blobs == []
    assert held(store) == (set(archive.blobs), diff_ids(LOW, HIGH, OTHER))


def test_an_empty_store(store):
    assert collect(store).size == 0


def test_a_dry_run_takes_nothing_away(store):
    import_image(store, "1", LOW)
    remove(store, "localhost/x:1")
    (store.temporary_folder / "rubbish.0").write_bytes(b"x")
    before = held(store)
    planned = collect(store, dry_run=True)
    assert planned.blobs and planned.layers and planned.temporary == ["rubbish.0"]
    assert held(store) == before
    assert (store.temporary_folder / "rubbish.0").exists()
    assert collect(store) == planned
    assert held(store) == (set(), set())
    assert list(store.temporary_folder.iterdir()) == []


def test_only_looks_at_nothing_else(store):
    wanted, other = add_blob(store, b"wanted"), add_blob(store, b"other")
    assert collect(store, only={("blob", wanted)}).blobs == [wanted]
    assert set(store.blobs) == {other}


def test_a_document_that_cannot_be_read_stops_the_collection(store):
    archive = import_image(store, "1", LOW)
    remaining = add_blob(store, b"nobody refers to it")
    path = store.blobs.path(archive.manifests[0]["digest"])
    path.chmod(0o600)
    path.write_bytes(b"{broken")
    with pytest.raises(StoreError, match="nothing was collected"):
        collect(store)
    assert remaining in store.blobs


@pytest.mark.parametrize("platforms", [None, ("linux/amd64",)])
def test_an_image_that_calls_a_layer_a_manifest_hinders_no_collection_and_no_import(store, platforms):
    archive = OciArchive()
    manifest = archive.add_manifest([LOW], AMD64)
    absent = {"mediaType": OCI_MANIFEST, "digest": digest_of(HIGH), "size": len(HIGH), "platform": ARM64}
    archive.add_index([manifest, absent], tag="0")
    options = ImportOptions(prefix="localhost/x", platforms=platforms)
    import_archive(store, io.BytesIO(archive.bytes()), options)
    other = OciArchive()
    other.add_image([HIGH], tag="1")
    stray = other.add_blob(b"nobody refers to it")
    import_archive(store, io.BytesIO(other.bytes()), ImportOptions(prefix="localhost/x"))
    assert stray not in store.blobs
    assert collect(store).blobs == []
    assert held(store)[0] == {*archive.blobs, *other.blobs} - {stray}


# -- leases


def test_a_held_lease_keeps_blobs_and_layers_until_it_is_released(store):
    import_image(store, "1", LOW, HIGH)
    remove(store, "localhost/x:1")
    (diff_id,) = diff_ids(HIGH)
    with store.lease("test") as lease:
        lease.protect("blob", digest_of(LOW))
        lease.protect("layer", diff_id)
        collect(store)
        assert held(store) == ({digest_of(LOW)}, {diff_id})
        lease.unprotect("layer", diff_id)
        collect(store)
        assert held(store) == ({digest_of(LOW)}, set())
    collect(store)
    assert held(store) == (set(), set())
    assert store.catalog.leases() == []


def test_a_lease_on_an_image_keeps_all_that_it_refers_to(store):
    archive = import_image(store, "1", LOW, HIGH)
    remove(store, "localhost/x:1")
    with store.lease("test") as lease:
        lease.protect(archive.manifests[0]["mediaType"], archive.manifests[0]["digest"])
        assert collect(store).blobs == []
        assert held(store) == (set(archive.blobs), diff_ids(LOW, HIGH))


def test_a_lease_on_a_blob_does_not_keep_what_it_refers_to(store):
    archive = import_image(store, "1", LOW)
    remove(store, "localhost/x:1")
    with store.lease("test") as lease:
        lease.protect("blob", archive.manifests[0]["digest"])
        collect(store)
        assert held(store) == ({archive.manifests[0]["digest"]}, set())


def test_a_held_lease_keeps_its_temporary_files(store):
    with store.lease("test") as lease:
        (store.temporary_folder / f"{lease.id}.0").write_bytes(b"x")
        (store.temporary_folder / f"{lease.id}.1").mkdir()
        (store.temporary_folder / "0123456789abcdef.0").write_bytes(b"x")
        assert collect(store).temporary == ["0123456789abcdef.0"]
    assert len(collect(store).temporary) == 2


def test_a_timed_lease_outlives_its_process_but_not_its_time(store):
    blob = add_blob(store, b"content")
    lease = store.lease("test", lifetime=3600)
    lease.protect("blob", blob)
    lease.let_go()
    collect(store)
    assert blob in store.blobs
    store.catalog.drop_lease(lease.id)
    expired = store.lease("test", lifetime=-1)
    expired.protect("blob", blob)
    collect(store)
    assert blob in store.blobs  # it is held still
    expired.let_go()
    collect(store)
    assert blob not in store.blobs
    assert store.catalog.leases() == []


def leave_a_lease(store: Store, blob: str, lifetime: str) -> None:
    """A process that takes a lease and dies without a word."""
    program = (
        "import os, sys\n"
        "from imagefs import Store\n"
        "store = Store(sys.argv[1])\n"
        f"lease = store.lease('test', {lifetime})\n"
        "lease.protect('blob', sys.argv[2])\n"
        "open(store.temporary_folder / f'{lease.id}.0', 'w').close()\n"
        "os._exit(9)\n"
    )
    result = subprocess.run([sys.executable, "-c", program, str(store.folder), blob], check=False)
    assert result.returncode == 9


def test_a_dead_lease_protects_nothing(store):
    blob = add_blob(store, b"content")
    leave_a_lease(store, blob, "None")
    assert len(store.catalog.leases()) == 1
    garbage = collect(store)
    assert garbage.blobs == [blob]
    assert len(garbage.temporary) == 1
    assert store.catalog.leases() == []
    assert list(store.lease_folder.iterdir()) == []


def test_a_dead_process_timed_lease_keeps_content_and_not_temporary_files(store):
    blob = add_blob(store, b"content")
    leave_a_lease(store, blob, "3600")
    garbage = collect(store)
    assert garbage.blobs == []
    assert len(garbage.temporary) == 1
    assert blob in store.blobs


# -- figures


def test_temporary_files_and_folders_count(store):
    (store.temporary_folder / "0123456789abcdef.0").write_bytes(b"x" * 1000)
    folder = store.temporary_folder / "0123456789abcdef.1"
    folder.mkdir()
    (folder / "layer.tar").write_bytes(b"x" * 200)
    (folder / "index.sqlite").write_bytes(b"x" * 30)
    planned = collect(store, dry_run=True)
    assert (planned.temporary, planned.size) == (["0123456789abcdef.0", "0123456789abcdef.1"], 1230)
    assert collect(store) == planned
    assert collect(store).size == 0


def test_a_file_with_two_links_counts_once_and_with_its_last_one(store):
    import_image(store, "1", OTHER)
    (diff_id,) = diff_ids(OTHER)
    store.layers.keep_tar(diff_id, store.blobs)
    blob, tar = store.blobs.path(digest_of(OTHER)), store.layers.tar(diff_id)
    assert blob.samefile(tar)
    remove(store, "localhost/x:1")
    derived = (store.layers.path(diff_id) / "index.sqlite").stat().st_size
    documents = sum(store.blobs.size(each) for each in store.blobs if each != digest_of(OTHER))
    assert collect(store, dry_run=True).size == len(OTHER) + derived + documents
    with store.lease("test") as lease:
        lease.protect("layer", diff_id)
        garbage = collect(store)
        assert digest_of(OTHER) in garbage.blobs
        assert garbage.size == documents
    assert collect(store).size == len(OTHER) + derived


def test_names_that_count_as_removed(store):
    archive = import_image(store, "1", LOW)
    import_image(store, "2", LOW, HIGH)
    planned = collect(store, dry_run=True, without={"localhost/x:2"})
    assert set(planned.layers) == diff_ids(HIGH)
    assert digest_of(LOW) not in planned.blobs
    remove(store, "localhost/x:2")
    assert collect(store) == planned
    assert held(store) == (set(archive.blobs), diff_ids(LOW))


# -- mounts that were killed


def unmounts(store: Store) -> list[tuple[str | None, str | None]]:
    """(name, mountpoint) of each unmount on record."""
    return [(event.name, event.mountpoint) for event in events.after(store.catalog, 0) if event.action == "unmount"]


def test_a_killed_mount_is_said_to_have_ended(store):
    archive = import_image(store, "1", LOW)
    with store.catalog.transaction():
        for name in ("localhost/x:1", "localhost/x:2"):
            digest = archive.manifests[0]["digest"]
            events.record(store.catalog, "mount", name=name, digest=digest, mountpoint="/mnt")
    store.lease("mount /mnt").let_go()
    store.lease("mount /all").let_go()
    store.lease("export").let_go()
    with store.lease("mount /other"):
        collect(store, dry_run=True)
        assert unmounts(store) == []
        collect(store)
        assert sorted(unmounts(store), key=str) == [
            ("localhost/x:1", "/mnt"),
            ("localhost/x:2", "/mnt"),
            (None, "/all"),
        ]
        assert [label for _, label, _ in store.catalog.leases()] == ["mount /other"]
    collect(store)
    assert len(unmounts(store)) == 3


def test_a_killed_mount_that_another_one_replaced_is_not_said_to_have_ended(store):
    store.lease("mount /mnt").let_go()
    with store.lease("mount /mnt"):
        collect(store)
        assert len(store.catalog.leases()) == 1
    assert unmounts(store) == []


def test_mounts_that_were_killed_in_one_place_are_said_once_to_have_ended(store):
    for _ in range(2):
        with store.catalog.transaction():
            events.record(store.catalog, "mount", name="localhost/x:1", mountpoint="/mnt")
        store.lease("mount /mnt").let_go()
    collect(store)
    assert unmounts(store) == [("localhost/x:1", "/mnt")]


def test_a_killed_mount_is_said_to_have_ended_no_more_when_another_one_there_ended(store):
    store.lease("mount /mnt").let_go()
    with store.catalog.transaction():
        events.record(store.catalog, "mount", name="localhost/x:1", mountpoint="/mnt")
        events.unmounted(store.catalog, "/mnt")
    collect(store)
    assert unmounts(store) == [("localhost/x:1", "/mnt")]
