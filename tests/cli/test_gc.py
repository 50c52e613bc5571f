"""`imagefs gc --unpacked` and `--keep-unpacked`, and collections at the moments that matter to others."""

import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.archives import OciArchive, digest_of, file, gzip_layer, layer, uncompressed
from support.inside import InsideImagefs

from imagefs import Store, export_archive, import_archive
from imagefs.archive import exporting
from imagefs.cli.main import cli
from imagefs.store import gc
from imagefs.store.gc import collect
from imagefs.store.unpacked import UnpackedLayers
from imagefs.tree.mounted import MountedImages

LOW, HIGH = gzip_layer(file("low", b"1" * 40_000)), gzip_layer(file("high", b"2" * 20_000))
PLAIN = layer(file("plain", b"3" * 30_000))
NAME = "docker.io/library/app:1"


def diff_id(blob: bytes) -> str:
    return digest_of(uncompressed(blob))


ALL = {diff_id(LOW), diff_id(HIGH), diff_id(PLAIN)}


@pytest.fixture
def data() -> bytes:
    archive = OciArchive()
    archive.add_image([LOW, HIGH, PLAIN], name="app:1")
    return archive.bytes()


@pytest.fixture
def app(tmp_path, data) -> InsideImagefs:
    command = InsideImagefs(tmp_path / "store")
    command("import", "-q", "-", stdin=data)
    return command


def unpacked(app: InsideImagefs) -> set[str]:
    return {path.name for path in (app.store / "layers").iterdir()}


def size_of(app: InsideImagefs, blob: bytes) -> int:
    return sum(path.stat().st_size for path in (app.store / "layers" / diff_id(blob)).iterdir())


def use(app: InsideImagefs, blob: bytes, ago: float) -> None:
    """Let a layer be used so many seconds ago."""
    moment = time.time() - ago
    os.utime(app.store / "layers" / diff_id(blob), (moment, moment))


def last_use(app: InsideImagefs, blob: bytes) -> float:
    return time.time() - (app.store / "layers" / diff_id(blob)).stat().st_mtime


# -- what goes


def test_unpacked_drops_them_all_and_they_come_back_on_use(app):
    blobs = {path for path in app.files() if path.startswith("blobs/")}
    would = app("gc", "--unpacked", "--dry-run").lines
    assert unpacked(app) == ALL
    lines = app("gc", "--unpacked").lines
    assert lines == [line.replace("would remove", "removed") for line in would]
    assert lines[:-1] == [f"removed unpacked {each}" for each in sorted(ALL)]
    assert set(app.files()) == blobs
    assert app("cat", "app:1:/low", "app:1:/plain").out == "1" * 40_000 + "3" * 30_000
    assert unpacked(app) == ALL
    assert app("check", "-q").lines == [NAME]


def test_json(app):
    sizes = sum(size_of(app, blob) for blob in (LOW, HIGH, PLAIN))
    planned = json.loads(app("gc", "--unpacked", "--dry-run", "--json").out)
    assert planned == {"blobs": [], "layers": [], "temporary": [], "unpacked": sorted(ALL), "size": sizes}
    assert json.loads(app("gc", "--unpacked", "--json").out) == planned
    assert json.loads(app("gc", "--unpacked", "--json").out) == {**planned, "unpacked": [], "size": 0}


def test_without_them_gc_drops_none(app):
    assert app("gc").lines == ["removed 0 bytes"]
    assert unpacked(app) == ALL


def test_what_no_image_needs_is_no_matter_of_room(app):
    app("rm", "app:1")
    garbage = json.loads(app("gc", "--unpacked", "--json").out)
    assert (set(garbage["layers"]), garbage["unpacked"]) == (ALL, [])
    assert app.files() == []


def test_an_uncompressed_blob_has_only_its_index(app):
    assert [path.name for path in (app.store / "layers" / diff_id(PLAIN)).iterdir()] == ["index.sqlite"]
    app("gc", "--unpacked")
    assert (app.store / "blobs" / digest_of(PLAIN).replace(":", "/")).read_bytes() == PLAIN


def test_the_oldest_use_goes_first(app):
    use(app, LOW, 50)
    use(app, PLAIN, 500)
    use(app, HIGH, 5000)
    low, high, plain = (size_of(app, blob) for blob in (LOW, HIGH, PLAIN))
    app("gc", "--keep-unpacked", str(low + high + plain))
    assert unpacked(app) == ALL
    app("gc", "--keep-unpacked", str(low + high + plain - 1))
    assert unpacked(app) == ALL - {diff_id(HIGH)}
    app("gc", "--keep-unpacked", str(low))
    assert unpacked(app) == {diff_id(LOW)}
    app("gc", "--keep-unpacked", str(low - 1))
    assert unpacked(app) == set()


def test_what_could_not_be_made_again_stays(app):
    app("content", "rm", "--force", digest_of(HIGH))
    app("gc", "--unpacked")
    assert unpacked(app) == {diff_id(HIGH)}


def test_a_tar_that_is_a_blob_too_is_no_room(app):
    with Store(app.store) as store:
        store.layers.keep_tar(diff_id(PLAIN), store.blobs)
    index = (app.store / "layers" / diff_id(PLAIN) / "index.sqlite").stat().st_size
    expected = index + size_of(app, LOW) + size_of(app, HIGH)
    assert json.loads(app("gc", "--unpacked", "--json").out)["size"] == expected
    assert app("cat", "app:1:/plain").out == "3" * 30_000


@pytest.mark.parametrize("text", ["", "much", "10X", "10iB", "-1", "1e9", "1.5.5G"])
def test_wrong_sizes(app, text):
    outcome = CliRunner().invoke(cli, ["--store", str(app.store), "gc", "--keep-unpacked", text])
    assert outcome.exit_code == 2
    assert "is no size such as 500M, 10GB or 10GiB" in outcome.stderr
    assert unpacked(app) == ALL


@pytest.mark.parametrize(
    ("text", "kept"), [("0", 0), ("1KiB", 0), ("500M", 3), ("10GB", 3), ("1.5 tib", 3), ("9999k", 3), ("0.0001m", 0)]
)
def test_sizes(app, text, kept):
    app("gc", "--keep-unpacked", text)
    assert len(unpacked(app)) == kept


def test_the_two_exclude_each_other(app):
    outcome = CliRunner().invoke(cli, ["--store", str(app.store), "gc", "--keep-unpacked", "1", "--unpacked"])
    assert outcome.exit_code == 2
    assert "exclude each other" in outcome.stderr


# -- what is in use


def test_what_a_held_lease_reaches_stays_and_what_a_timed_one_does_goes(app):
    app("leases", "create", "app:1")
    with Store(app.store) as store:
        target = store.find_image("app:1").target
        with store.lease("mount /mnt") as lease:
            lease.protect(target.media_type, target.digest)
            app("gc", "--unpacked")
            assert unpacked(app) == ALL
        with store.lease("unpack") as lease:
            lease.protect("layer", diff_id(LOW))
            app("gc", "--unpacked")
            assert unpacked(app) == {diff_id(LOW)}
    app("gc", "--unpacked")
    assert unpacked(app) == set()


def test_use_is_on_record_to_the_hour(app):
    for blob in (LOW, HIGH, PLAIN):
        use(app, blob, 5000)
    use(app, HIGH, 3000)
    app("cat", "app:1:/low")
    assert last_use(app, LOW) < 1000
    assert last_use(app, PLAIN) < 1000
    assert 2900 < last_use(app, HIGH) < 4000


def test_the_end_of_use_is_on_record_too(app):
    with Store(app.store) as store:
        images = MountedImages(store, ["app:1"])
        images.open_ahead()
        use(app, LOW, 5000)
        images.close()
        del images
    assert last_use(app, LOW) < 1000


def test_nothing_is_on_record_of_a_read_only_store(app):
    use(app, LOW, 5000)
    with Store(app.store) as store:
        store.read_only = True
        images = MountedImages(store, ["app:1"])
        images.open_ahead()
        assert len(images.layers) == 3
        del images
    assert last_use(app, LOW) > 4000


# -- a collection at the worst moment


def at_once(app: InsideImagefs) -> Callable[[], None]:
    """What another process may do in between: a collection that drops all that it may."""

    def do() -> None:
        with Store(app.store) as other:
            collect(other, room=0)

    return do


@pytest.fixture
def whenever_somebody_looked(app, monkeypatch) -> list[str]:
    """Collects whenever somebody has seen that a layer can be read; the layers that they saw."""
    real, collect_now = UnpackedLayers.serves, at_once(app)
    seen = []

    def serves(self: UnpackedLayers, layer: str, blob: str) -> bool:
        answer = real(self, layer, blob)
        if answer:
            seen.append(layer)
            collect_now()
        return answer

    monkeypatch.setattr(UnpackedLayers, "serves", serves)
    return seen


def test_an_import_that_saw_a_layer_finds_it_still(app, data, whenever_somebody_looked):
    with Store(app.store) as store:
        import_archive(store, io.BytesIO(data))
    assert {diff_id(LOW), diff_id(HIGH)} <= set(whenever_somebody_looked)
    assert unpacked(app) == ALL


def test_who_looks_into_an_image_finds_its_layers_still(app, whenever_somebody_looked):
    assert app("cat", "app:1:/low").out == "1" * 40_000
    assert set(whenever_somebody_looked) == ALL


def test_a_mount_finds_its_layers_still(app, whenever_somebody_looked):
    with Store(app.store) as store:
        images = MountedImages(store, ["app:1"])
        (image,) = images.current.images
        images.tree(image.trees[0].slot).open_layers()
        assert len(images.layers) == 3
        images.close()
    assert set(whenever_somebody_looked) == ALL


@pytest.mark.parametrize("kind", ["oci", "docker"])
def test_an_export_that_found_an_image_finds_its_content_still(app, tmp_path, monkeypatch, kind):
    real = exporting.choose

    def choose(*arguments):
        app("rm", "--force", "app:1")
        app("gc", "--unpacked")
        return real(*arguments)

    monkeypatch.setattr(exporting, "choose", choose)
    target = tmp_path / "out.tar"
    with Store(app.store) as store, target.open("wb") as stream:
        export_archive(store, ["app:1"], stream, exporter=kind)
    monkeypatch.undo()
    app("gc")
    assert app.files() == []
    app("import", "-q", target)
    assert app("cat", "app:1:/high").out == "2" * 20_000


def test_two_collections_at_once(app, monkeypatch):
    """One that takes its time to remove what it took out, while another one finds that in `tmp/`."""
    real = gc._remove
    others = []

    def remove(path: Path) -> None:
        if not others:
            others.append(None)
            with Store(app.store) as other:
                others.append(collect(other, room=0))
        real(path)

    monkeypatch.setattr(gc, "_remove", remove)
    with Store(app.store) as store:
        garbage = collect(store, room=0)
    assert set(garbage.unpacked) == ALL
    assert (others[1].unpacked, len(others[1].temporary)) == ([], 3)
    assert list((app.store / "tmp").iterdir()) == []
    assert app("cat", "app:1:/high").out == "2" * 20_000
