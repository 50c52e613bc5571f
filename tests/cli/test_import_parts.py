"""Images of which only parts are here, or are to be kept: what other imports and names do to them."""

import io
import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from support.archives import (
    AMD64,
    ARM64,
    OCI_MANIFEST,
    OciArchive,
    digest_of,
    file,
    gzip_layer,
)
from support.inside import InsideImagefs

from imagefs import ArchiveError, ImportOptions, Store, import_archive
from imagefs.store.ingest import Ingest

LOW, HIGH = gzip_layer(file("low", b"1" * 3000)), gzip_layer(file("high", b"2" * 3000))
BOTH = ["linux/amd64", "linux/arm64/v8"]


@pytest.fixture
def imagefs(tmp_path) -> InsideImagefs:
    return InsideImagefs(tmp_path / "store")


def path_of(blob: bytes) -> str:
    return f"blobs/{digest_of(blob).replace(':', '/')}"


def two_platforms(tag: str | None) -> OciArchive:
    archive = OciArchive()
    archive.add_index([archive.add_manifest([LOW], AMD64), archive.add_manifest([HIGH], ARM64)], tag=tag)
    return archive


def plain(layer: bytes, tag: str) -> OciArchive:
    archive = OciArchive()
    archive.add_image([layer], tag=tag)
    return archive


def listed(imagefs: InsideImagefs) -> dict[str, dict]:
    return {each["name"]: each for each in json.loads(imagefs("images", "--json").out)}


def shown(imagefs: InsideImagefs) -> dict[str, list[str]]:
    return {name: each["platforms"] for name, each in listed(imagefs).items()}


def test_a_name_for_fewer_platforms_takes_none_from_an_image_that_had_no_name(imagefs, tmp_path):
    imagefs("import", two_platforms(None).write(tmp_path / "x.tar"))
    imagefs("import", "--platform", "amd64", two_platforms("1").write(tmp_path / "x.tar"))
    imagefs("gc")
    assert shown(imagefs) == {"localhost/x:1": BOTH}


def test_an_image_dangles_whose_other_names_keep_fewer_platforms(imagefs, tmp_path):
    archive = two_platforms("1").write(tmp_path / "x.tar")
    imagefs("import", archive)
    imagefs("import", "--platform", "amd64", "-n", "localhost/y", archive)
    content = listed(imagefs)["localhost/x:1"]["digest"]
    imagefs("import", plain(LOW, "1").write(tmp_path / "x.tar"))
    imagefs("gc")
    assert shown(imagefs) == {"localhost/x:1": ["linux/amd64"], "localhost/y:1": ["linux/amd64"], content: BOTH}


def test_images_that_lose_their_names_one_by_one_dangle_with_all_their_platforms(imagefs, tmp_path):
    archive = two_platforms("1").write(tmp_path / "z.tar")
    imagefs("import", "--platform", "amd64", "-n", "localhost/x", archive)
    imagefs("import", "--platform", "arm64", "-n", "localhost/y", archive)
    content = listed(imagefs)["localhost/x:1"]["digest"]
    imagefs("import", plain(LOW, "1").write(tmp_path / "x.tar"))
    imagefs("tag", "--force", "localhost/x:1", "localhost/y:1")
    imagefs("gc")
    assert shown(imagefs)[content] == BOTH
    assert listed(imagefs)[content]["complete"]


def changed(archive: OciArchive, **layer) -> OciArchive:
    """An image that describes its one layer otherwise than it is."""
    manifest = json.loads(archive.blobs.pop(archive.manifests.pop()["digest"]))
    manifest["layers"][0].update(layer)
    archive.name(archive.add_document(manifest, OCI_MANIFEST, platform=AMD64), tag="1")
    return archive


@pytest.fixture
def misled(imagefs, tmp_path) -> InsideImagefs:
    """A store with an image whose layer came later, and is another than its diff ID says."""
    wrong = changed(plain(LOW, "1"), digest=digest_of(HIGH), size=len(HIGH))
    imagefs("import", "--skip-missing", wrong.write(tmp_path / "x.tar", leave_out=[path_of(LOW)]))
    imagefs("import", plain(HIGH, "1").write(tmp_path / "y.tar"))
    return imagefs


def test_content_of_another_size_is_not_what_an_image_lacks(imagefs, tmp_path):
    wrong = changed(plain(LOW, "1"), size=7)
    imagefs("import", "--skip-missing", wrong.write(tmp_path / "x.tar", leave_out=[path_of(LOW)]))
    imagefs("import", plain(LOW, "1").write(tmp_path / "y.tar"))
    images = listed(imagefs)
    assert (images["localhost/x:1"]["present"], images["localhost/x:1"]["needed"]) == (2, 3)
    assert images["localhost/y:1"]["complete"]


def test_a_further_name_completes_no_image(misled):
    misled("tag", "localhost/x:1", "localhost/z:1", "localhost/z:2")
    for name in ("localhost/x:1", "localhost/z:1", "localhost/z:2"):
        assert "nothing of it is a complete file system" in misled("ls", f"{name}:/", check=False).err


def test_content_that_goes_completes_no_image(imagefs, tmp_path):
    archive = changed(plain(LOW, "1"), digest=digest_of(HIGH), size=len(HIGH))
    other = archive.add_manifest([LOW], ARM64)
    wrong = {key: value for key, value in archive.manifests.pop().items() if key != "annotations"}
    archive.add_index([wrong, other], tag="1")
    imagefs("import", "--skip-missing", archive.write(tmp_path / "x.tar"))
    imagefs("import", plain(HIGH, "1").write(tmp_path / "y.tar"))
    imagefs("content", "rm", "--force", other["digest"])
    assert "nothing of it is a complete file system" in imagefs("ls", "localhost/x:1:/", check=False).err


def test_what_comes_later_can_complete_one_platform(imagefs, tmp_path):
    lacking = two_platforms("1").write(tmp_path / "x.tar", leave_out=[path_of(LOW), path_of(HIGH)])
    imagefs("import", "--skip-missing", lacking)
    imagefs("import", plain(LOW, "1").write(tmp_path / "y.tar"))
    assert imagefs("ls", "localhost/x:1:/").lines == ["low"]
    assert not listed(imagefs)["localhost/x:1"]["complete"]


def test_an_import_for_one_platform_unpacks_no_other_one_that_is_there(imagefs, tmp_path):
    archive = two_platforms("1").write(tmp_path / "x.tar")
    imagefs("import", "--no-unpack", archive)
    imagefs("import", "--platform", "amd64", "-n", "localhost/y", archive)
    with Store(imagefs.store) as store:
        assert len(list(store.layers)) == 1


def test_several_names_of_an_image_without_one_show_it(imagefs, tmp_path):
    imagefs("import", two_platforms(None).write(tmp_path / "x.tar"))
    (content,) = listed(imagefs)
    imagefs("tag", content, "localhost/x:1", "localhost/x:2")
    for name in ("localhost/x:1", "localhost/x:2"):
        assert imagefs("ls", f"{name}:/").lines == ["low"]


def test_a_broken_import_completes_no_image_that_lacked_what_it_brought(imagefs, tmp_path):
    imagefs("import", "--skip-missing", plain(LOW, "1").write(tmp_path / "x.tar", leave_out=[path_of(LOW)]))
    before = imagefs.files()
    broken = plain(LOW, "2")
    broken.add_image([HIGH], tag="3")
    assert imagefs("import", broken.write(tmp_path / "y.tar", leave_out=[path_of(HIGH)]), check=False).status == 1
    assert imagefs.files() == before
    assert not listed(imagefs)["localhost/x:1"]["complete"]


def test_a_broken_import_leaves_what_another_one_relies_on_that_gives_an_image_again(tmp_path):
    """The image lacks another layer still; the layer that the broken import brought is its own since it came again."""
    lacking, broken = OciArchive(), plain(LOW, "2")
    lacking.add_image([LOW, HIGH], name="x:1")
    broken.add_image([LOW], name="y:1", rootfs={"type": "layers", "diff_ids": [digest_of(b"")]})
    options = ImportOptions(skip_missing=True)
    with Store(tmp_path / "store") as store, Store(tmp_path / "store") as second:
        import_archive(store, io.BytesIO(lacking.bytes(leave_out=[path_of(LOW), path_of(HIGH)])), options)
        again = lacking.bytes(leave_out=[path_of(HIGH)])
        stream = Meanwhile(broken.bytes(), lambda: import_archive(second, io.BytesIO(again), options))
        with pytest.raises(ArchiveError):
            import_archive(store, stream)
        assert digest_of(LOW) in store.blobs


@pytest.mark.parametrize("good", [False, True])
def test_what_a_broken_import_brought_goes_with_the_last_that_relied_on_it(tmp_path, good):
    """The second finds a layer that the first brings, which cannot take it away while the second relies on it."""
    with Store(tmp_path / "store") as store, Store(tmp_path / "store") as other:
        with suppress(Broken), Ingest(other) as second:
            with suppress(Broken), Ingest(store) as first:
                for ingest in (first, second):
                    ingest.add_blob(iter([LOW]), len(LOW), label="layer")
                    ingest.settle()
                raise Broken
            assert (list(store.blobs), len(list(store.layers))) == ([digest_of(LOW)], 1)
            if not good:
                raise Broken
        assert (list(store.blobs), list(store.layers), store.catalog.leases()) == ([], [], [])


class Broken(Exception):
    """What goes wrong with an import."""


class Meanwhile(io.BytesIO):
    """An archive at whose end something else happens, once."""

    def __init__(self, data: bytes, happens: Callable[[], object]) -> None:
        super().__init__(data)
        self._happens: Callable[[], object] | None = happens

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data and self._happens is not None:
            happens, self._happens = self._happens, None
            happens()
        return data
