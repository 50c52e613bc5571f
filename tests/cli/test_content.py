"""`content ls`, `get` and `rm`."""

import json
import subprocess
import sys

import pytest
from support.archives import AMD64, ARM64, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, OciArchive, digest_of, file, gzip_layer
from support.inside import InsideImagefs
from support.terminals import shown_on_terminal

from imagefs import ImportOptions, Store, import_archive
from imagefs.store.ingest import Ingest

SHARED, OWN = gzip_layer(file("a", b"a")), gzip_layer(file("b"))
APP, OTHER = "docker.io/library/app:1", "docker.io/library/other:1"


@pytest.fixture
def archive():
    archive = OciArchive()
    archive.add_image([SHARED], name=APP)
    archive.add_image([SHARED, OWN], name=OTHER)
    return archive


@pytest.fixture
def app(tmp_path, archive):
    imagefs = InsideImagefs(tmp_path / "store")
    imagefs("import", "-", stdin=archive.bytes())
    return imagefs


def on_a_terminal(app, *arguments: str) -> tuple[int, bytes, bytes]:
    """Status, what was shown on the terminal, and what was said on stderr."""
    done, shown = shown_on_terminal(app, "stdout", *arguments)
    return done.returncode, shown, done.stderr


def damage(app, digest: str) -> None:
    path = app.store / "blobs" / digest.replace(":", "/")
    path.chmod(0o600)
    path.write_bytes(b"x" * path.stat().st_size)


# -- ls


def test_ls_says_what_a_blob_is_and_who_needs_it(app, archive):
    listed = {each["digest"]: each for each in json.loads(app("content", "ls", "--json").out)}
    assert {digest: each["size"] for digest, each in listed.items()} == {
        digest: len(data) for digest, data in archive.blobs.items()
    }
    manifest = archive.manifests[0]["digest"]
    config = json.loads(archive.blobs[manifest])["config"]["digest"]
    assert (listed[manifest]["mediaType"], listed[manifest]["images"]) == (OCI_MANIFEST, [APP])
    assert (listed[config]["mediaType"], listed[config]["images"]) == (OCI_CONFIG, [APP])
    layers = [listed[digest_of(SHARED)], listed[digest_of(OWN)]]
    assert [each["mediaType"] for each in layers] == [f"{OCI_LAYER}+gzip"] * 2
    assert [each["images"] for each in layers] == [[APP, OTHER], [OTHER]]


def test_ls_for_people(app, archive):
    header, *rows = app("content", "ls").lines
    assert header.split() == ["DIGEST", "SIZE", "TYPE", "IMAGES"]
    assert sorted(row.split()[0] for row in rows) == sorted(archive.blobs)
    (shared,) = (row for row in rows if row.startswith(digest_of(SHARED)))
    assert shared.split()[1:] == [str(len(SHARED)), "bytes", f"{OCI_LAYER}+gzip", f"{APP},{OTHER}"]
    assert app("content", "ls", "-q").lines == sorted(archive.blobs)


def test_ls_of_what_nobody_needs(app, archive):
    app("rm", "app:1")
    listed = {each["digest"]: each for each in json.loads(app("content", "ls", "--json").out)}
    manifest = listed[archive.manifests[0]["digest"]]
    assert (manifest["mediaType"], manifest["images"]) == (None, [])
    (line,) = (line for line in app("content", "ls").lines if line.startswith(manifest["digest"]))
    assert line.split()[3:] == ["-", "-"]


def test_ls_of_an_empty_store(tmp_path):
    empty = InsideImagefs(tmp_path / "empty")
    assert empty("content", "ls").lines == ["DIGEST  SIZE  TYPE  IMAGES"]
    assert json.loads(empty("content", "ls", "--json").out) == []


def test_ls_with_a_damaged_manifest(app, archive):
    damage(app, archive.manifests[1]["digest"])
    listed = {each["digest"]: each for each in json.loads(app("content", "ls", "--json").out)}
    assert listed[archive.manifests[1]["digest"]]["images"] == [OTHER]
    assert listed[digest_of(OWN)]["images"] == []


def test_what_is_for_a_platform_that_is_not_kept_is_needed_by_nobody(tmp_path):
    archive = OciArchive()
    arm = archive.add_manifest([OWN], ARM64)
    archive.add_index([archive.add_manifest([SHARED], AMD64), arm], name=APP)
    app = InsideImagefs(tmp_path / "store")
    with Store(app.store) as store, open(archive.write(tmp_path / "a.tar"), "rb") as stream:
        import_archive(store, stream, ImportOptions(platforms=("linux/amd64",)))
    alone = OciArchive()
    alone.blobs = archive.blobs
    alone.name(arm, name=OTHER)
    app("import", "-", stdin=alone.bytes())
    app("rm", "other:1")
    listed = {each["digest"]: each["images"] for each in json.loads(app("content", "ls", "--json").out)}
    assert listed[digest_of(SHARED)] == [APP]
    assert listed[digest_of(OWN)] == listed[arm["digest"]] == []
    app("content", "rm", digest_of(OWN))
    with Store(app.store) as store:
        assert store.find_image("app:1").complete


# -- get


@pytest.mark.parametrize("part", [slice(None), slice(0, 19), slice(7, 19)])
def test_get(app, tmp_path, part):
    target = tmp_path / "layer"
    app("content", "get", digest_of(SHARED)[part], "-o", target)
    assert target.read_bytes() == SHARED
    command = [sys.executable, "-m", "imagefs", "--store", str(app.store), "content", "get", digest_of(SHARED)[part]]
    assert subprocess.run(command, capture_output=True, check=True).stdout == SHARED


@pytest.mark.parametrize("digest", ["sha256:" + "0" * 64, "0000", "xyz", "", "sha512:", "sha256:../../catalog.sqlite"])
def test_get_of_what_is_not_there(app, digest):
    result = app("content", "get", digest, check=False)
    assert (result.status, result.out) == (1, "")
    assert result.err == f"imagefs: {digest}: the store does not have it\n"


def test_a_digest_that_several_blobs_begin_with(app, archive):
    with Store(app.store) as store:
        prefix = digest_of(SHARED)[7:11]
        twin = store.blobs.path("sha256:" + prefix + "0" * 60)
        twin.write_bytes(b"")
    result = app("content", "get", prefix, check=False)
    assert (result.status, result.out) == (1, "")
    assert "ambiguous" in result.err


def test_a_damaged_blob_is_told(app, tmp_path):
    damage(app, digest_of(SHARED))
    result = app("content", "get", digest_of(SHARED), "-o", tmp_path / "layer", check=False)
    assert result.status == 1
    assert "damaged" in result.err
    assert not (tmp_path / "layer").exists()
    result = app("content", "get", digest_of(SHARED), check=False)
    assert (result.status, len(result.out)) == (1, len(SHARED))


def test_a_terminal_gets_json_and_nothing_else(app, archive):
    manifest = archive.manifests[0]["digest"]
    assert on_a_terminal(app, "content", "get", manifest) == (0, archive.blobs[manifest], b"")
    status, shown, said = on_a_terminal(app, "content", "get", digest_of(SHARED))
    assert (status, shown) == (2, b"")
    assert b"terminal" in said


def test_json_that_steers_a_terminal_does_not_go_there(tmp_path):
    archive = OciArchive()
    config = archive.add_image([SHARED], name=APP, author="AUTHOR")
    document = json.loads(archive.blobs.pop(config["digest"]))
    odd = archive.blobs.pop(document["config"]["digest"]).replace(b"AUTHOR", "\x9b31m".encode())
    document["config"] |= {"digest": archive.add_blob(odd), "size": len(odd)}
    archive.manifests.clear()
    archive.name(archive.add_document(document, OCI_MANIFEST), name=APP)
    app = InsideImagefs(tmp_path / "store")
    app("import", "-", stdin=archive.bytes())
    assert on_a_terminal(app, "content", "get", digest_of(odd))[:2] == (2, b"")


# -- rm


def test_rm_of_what_nobody_needs(app, archive):
    app("rm", "other:1")
    assert app("content", "rm", digest_of(OWN)).lines == [f"removed blob {digest_of(OWN)}"]
    assert digest_of(OWN) not in app("content", "ls", "-q").lines
    assert len(app("content", "ls", "-q").lines) == len(archive.blobs) - 1


def test_rm_of_what_an_image_needs_is_refused(app, archive):
    result = app("content", "rm", digest_of(SHARED), check=False)
    assert (result.status, result.out) == (1, "")
    assert result.err == f"imagefs: {digest_of(SHARED)}: needed by {APP}, {OTHER}\n"
    assert app("content", "ls", "-q").lines == sorted(archive.blobs)


def test_some_that_are_refused_do_not_keep_the_others(app):
    app("rm", "other:1")
    result = app("content", "rm", "0000", digest_of(SHARED), digest_of(OWN), check=False)
    assert (result.status, result.lines) == (1, [f"removed blob {digest_of(OWN)}"])
    assert f"{digest_of(SHARED)}: needed by {APP}" in result.err
    assert "0000: the store does not have it" in result.err


def test_with_force_the_images_are_incomplete_until_it_comes_again(app, archive):
    result = app("content", "rm", "--force", digest_of(OWN))
    assert result.lines == [f"removed blob {digest_of(OWN)}"]
    assert result.err == f"{OTHER}: incomplete now\n"
    with Store(app.store) as store:
        assert {record.name: record.complete for record in store.images()} == {APP: True, OTHER: False}
        assert store.catalog.slots(OTHER) == []
    assert app("tar", "other:1", check=False).status == 1
    app("import", "-", stdin=archive.bytes())
    assert app("cat", "other:1:/a").out == "a"


def test_a_damaged_manifest_goes_with_force(app, archive):
    manifest = archive.manifests[1]["digest"]
    damage(app, manifest)
    app("rm", "app:1")
    result = app("content", "rm", archive.manifests[0]["digest"], check=False)
    assert result.status == 1
    assert "not known whether an image needs it" in result.err
    app("content", "rm", "-f", manifest)
    app("import", "-", stdin=archive.bytes())
    assert app("cat", "other:1:/a").out == "a"


def test_what_a_mount_needs_is_refused_without_force(app):
    with Store(app.store) as store:
        target = store.find_image("other:1").target
        with store.lease("mount /mnt") as lease:
            lease.protect(target.media_type, target.digest)
            app("rm", "other:1")
            result = app("content", "rm", digest_of(OWN), check=False)
            assert result.err == f"imagefs: {digest_of(OWN)}: needed by the mount on /mnt\n"
            app("content", "rm", "-f", digest_of(OWN))
        assert digest_of(OWN) not in store.blobs


def test_what_a_running_import_needs_stays_whatever_is_asked_for(app):
    data = b"on its way"
    with Store(app.store) as store, Ingest(store) as ingest:
        ingest.add_bytes(data)
        result = app("content", "rm", "--force", digest_of(data), check=False)
        assert result.status == 1
        assert "needed by what is running now: import" in result.err
        assert digest_of(data) in store.blobs


def test_what_an_interrupted_import_left_takes_force_until_its_lease_ends(app):
    data = b"left behind"
    with Store(app.store) as store:
        with pytest.raises(KeyboardInterrupt), Ingest(store) as ingest:
            ingest.add_bytes(data)
            raise KeyboardInterrupt
        result = app("content", "rm", digest_of(data), check=False)
        assert result.err == f"imagefs: {digest_of(data)}: needed by an import that was interrupted\n"
        app("content", "rm", "--force", digest_of(data))
        assert digest_of(data) not in store.blobs


def test_an_image_that_calls_a_layer_a_manifest_does_not_hide_what_is_needed(tmp_path, archive):
    app = InsideImagefs(tmp_path / "store")
    wrong = OciArchive()
    absent = {"mediaType": OCI_MANIFEST, "digest": digest_of(OWN), "size": len(OWN), "platform": ARM64}
    wrong.add_index([wrong.add_manifest([SHARED], AMD64), absent], name="docker.io/library/wrong:1")
    app("import", "-", stdin=wrong.bytes())
    app("import", "-", stdin=archive.bytes())
    app("rm", OTHER)
    assert app("content", "rm", archive.manifests[1]["digest"]).status == 0
    assert "needed by docker.io/library/wrong:1" in app("content", "rm", digest_of(OWN), check=False).err
