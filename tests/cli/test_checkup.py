"""`imagefs check`, `--full` and `--repair`: what a disk does to a store is found, and mended as far as it can be."""

import json
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from support.archives import OciArchive, digest_of, directory, file, gzip_data, layer, symlink
from support.inside import InsideImagefs
from support.store import bring

from imagefs import Store
from imagefs.layers.index import TABLES
from imagefs.store import rowsums
from imagefs.store import store as store_module
from imagefs.store.rowsums import COLUMNS

PACKED = layer(directory("etc"), file("etc/hello", b"hello\n" * 50_000), symlink("link", "etc/hello"))
PLAIN = layer(file("plain", os.urandom(200_000)), file("attributes", xattrs={"user.a": b"1"}))
OTHER = gzip_data(layer(file("other", b"other")))
NAME, OTHER_NAME = "docker.io/library/app:1", "docker.io/library/other:1"


@pytest.fixture
def archive() -> OciArchive:
    archive = OciArchive()
    archive.add_image([gzip_data(PACKED), PLAIN], name="app:1")
    return archive


@pytest.fixture
def imagefs(tmp_path, archive) -> InsideImagefs:
    """A store with two images, which share nothing."""
    imagefs = InsideImagefs(tmp_path / "store")
    bring(imagefs, archive)
    other = OciArchive()
    other.add_image([OTHER], name="other:1")
    bring(imagefs, other, labels={"who": "me"})
    return imagefs


def found(imagefs: InsideImagefs, *arguments: str) -> dict[str, Any]:
    """What a check says as JSON, whatever its status."""
    return json.loads(imagefs("check", "--json", *arguments, check=False).out)


def problems(imagefs: InsideImagefs, *arguments: str) -> list[tuple[str, str, bool]]:
    return [(each["subject"], each["text"], each["costs"]) for each in found(imagefs, *arguments)["problems"]]


def blob(imagefs: InsideImagefs, content: str) -> Path:
    return imagefs.store / "blobs" / content.replace(":", "/")


def layer_file(imagefs: InsideImagefs, tar: bytes, name: str) -> Path:
    return imagefs.store / "layers" / digest_of(tar) / name


def flip(path: Path, position: int, bit: int = 0) -> None:
    path.chmod(0o644)
    with path.open("r+b") as out:
        out.seek(position)
        (byte,) = out.read(1)
        out.seek(position)
        out.write(bytes([byte ^ 1 << bit]))


def assert_whole(imagefs: InsideImagefs) -> None:
    result = imagefs("check", "--full")
    assert result.err == ""
    assert imagefs("cat", "app:1:/etc/hello").out == "hello\n" * 50_000
    assert imagefs("ls", "other:1:/").lines == ["other"]


# -- what is whole


@pytest.mark.parametrize("arguments", [[], ["--full"], ["--repair"], ["--full", "--repair"], ["app:1", "--full"]])
def test_a_whole_store_has_no_problems(imagefs, arguments):
    before = imagefs.files()
    result = imagefs("check", *arguments)
    assert result.err == ""
    assert imagefs.files() == before
    assert found(imagefs, *arguments) | {"images": []} == {"images": [], "problems": [], "repaired": [], "lost": []}


def test_what_is_incomplete_on_record_is_no_problem(imagefs):
    archive = OciArchive()
    archive.add_image([gzip_data(layer(file("absent")))], name="lacks:1")
    archive.blobs = {key: value for key, value in archive.blobs.items() if not value.startswith(b"\x1f\x8b")}
    bring(imagefs, archive, skip_missing=True)
    assert imagefs("check", "--full").err == ""


def test_layers_that_are_not_unpacked_are_no_problem(imagefs):
    shutil.rmtree(imagefs.store / "layers" / digest_of(PACKED))
    assert imagefs("check", "--full").err == ""


def test_a_full_check_in_a_store_that_cannot_be_written_to(imagefs, monkeypatch):
    flip(blob(imagefs, digest_of(PLAIN)), 1000)
    before = (imagefs.store / "catalog.sqlite").read_bytes()
    monkeypatch.setattr(store_module, "obstacle", lambda *parts: "the store is read-only")
    assert [subject for subject, _, _ in problems(imagefs, "--full")] == [digest_of(PLAIN)]
    result = imagefs("check", "--repair", check=False)
    assert (result.status, "read-only" in result.err) == (1, True)
    assert (imagefs.store / "catalog.sqlite").read_bytes() == before


# -- the cheap check


def test_a_blob_that_is_gone(imagefs, archive):
    blob(imagefs, digest_of(PLAIN)).unlink()
    result = imagefs("check", check=False)
    assert result.status == 1
    assert f"imagefs: {NAME}: should be complete, but lacks {digest_of(PLAIN)}\n" in result.err
    assert imagefs("check", "other:1").err == ""
    repaired = imagefs("check", "--repair", check=False)
    assert repaired.status == 1
    assert f"imagefs: {NAME}: incomplete now, until what it lacks is imported again\n" in repaired.err
    assert imagefs("check").err == "", "it is on record as incomplete"
    bring(imagefs, archive)
    assert_whole(imagefs)


@pytest.mark.parametrize("instead", ["shorter", "longer", "a directory", "empty"])
def test_a_blob_of_another_size(imagefs, archive, instead):
    path = blob(imagefs, digest_of(PLAIN))
    path.chmod(0o644)
    if instead == "a directory":
        path.unlink()
        path.mkdir()
    else:
        os.truncate(path, {"shorter": 1000, "longer": len(PLAIN) + 1, "empty": 0}[instead])
    ((text, costs),) = [each[1:] for each in problems(imagefs) if each[0] == digest_of(PLAIN)]
    assert costs
    assert text in (f"is {path.stat().st_size} bytes, not {len(PLAIN)}", "is no file")
    bring(imagefs, archive)
    assert_whole(imagefs)
    assert [each.name for each in (imagefs.store / "quarantine").iterdir()] == [digest_of(PLAIN)]


def test_slots_and_standing_that_are_wrong(imagefs):
    with Store(imagefs.store) as store:
        store.catalog.connection.execute("UPDATE image SET complete = 0")
        store.catalog.connection.execute("DELETE FROM slot")
        store.catalog.connection.execute("DELETE FROM layer WHERE diff_id = ?", (digest_of(PACKED),))
    result = imagefs("check")
    assert f"imagefs: {NAME}: is complete, but not on record as that\n" in result.err
    assert f"imagefs: {NAME}: its platforms on record are not those that are complete\n" in result.err
    assert f"imagefs: {NAME}: has layers that are not on record\n" in result.err
    assert f"imagefs: layer {digest_of(PACKED)}: is not on record as it is\n" in result.err
    assert imagefs("check", "--repair").status == 0
    assert_whole(imagefs)


def test_derived_files_that_are_broken(imagefs):
    layer_file(imagefs, PACKED, "layer.tar").chmod(0o644)
    os.truncate(layer_file(imagefs, PACKED, "layer.tar"), 10)
    layer_file(imagefs, PLAIN, "index.sqlite").chmod(0o644)
    layer_file(imagefs, PLAIN, "index.sqlite").write_bytes(b"no database")
    assert {(subject, costs) for subject, _, costs in problems(imagefs)} == {
        (f"layer {digest_of(PACKED)}", True),
        (f"layer {digest_of(PLAIN)}", True),
    }
    result = imagefs("check", "--repair")
    assert f"imagefs: repaired: layer {digest_of(PACKED)}: made again from {digest_of(gzip_data(PACKED))}" in result.err
    assert_whole(imagefs)


def test_an_index_of_an_older_format(imagefs):
    path = layer_file(imagefs, PACKED, "index.sqlite")
    path.chmod(0o644)
    with path.open("r+b") as out:
        out.seek(60)
        out.write((1).to_bytes(4, "big"))
    text = "its index is of an older format; it is made again on use"
    assert problems(imagefs) == [(f"layer {digest_of(PACKED)}", text, False)]
    assert not found(imagefs)["images"][0]["unpacked"]
    imagefs("check", "--repair")
    assert_whole(imagefs)


def test_what_lies_about(imagefs):
    (imagefs.store / "tmp" / "0123.0").write_bytes(b"")
    (imagefs.store / "leases" / "0123").write_bytes(b"")
    (imagefs.store / "blobs" / "sha256" / "x\x1b[31m").write_bytes(b"")
    (imagefs.store / "layers" / "y").mkdir()
    with Store(imagefs.store) as store:
        lease = store.lease("mount /gone")
        lease.let_go()
    assert {subject for subject, _, costs in problems(imagefs) if not costs} == {
        "tmp/0123.0", "leases/0123", "blobs/sha256/x\x1b[31m", "layers/y", f"lease {lease.id}",
    }  # fmt: skip
    result = imagefs("check")
    assert "\x1b" not in result.err
    assert "x\\x1b[31m" in result.err
    assert imagefs("check", "app:1").err == ""


# -- the full one


@pytest.mark.parametrize("content", [PLAIN, gzip_data(PACKED)])
def test_a_flipped_bit_in_a_blob_costs_its_image(imagefs, archive, content):
    path = blob(imagefs, digest_of(content))
    flip(path, len(content) // 2, 3)
    damaged = path.read_bytes()
    assert imagefs("check").err == "", "of its size it is"
    result = imagefs("check", "--full", check=False)
    assert result.status == 1
    assert f"{digest_of(content)}: its content has the digest {digest_of(damaged)} (needed by {NAME})" in result.err
    assert imagefs("check", "--full", "other:1").err == ""
    repaired = found(imagefs, "--full", "--repair")
    assert repaired["lost"] == [NAME]
    assert repaired["repaired"][0] == f"{digest_of(content)}: moved to quarantine/{digest_of(content)}"
    assert (imagefs.store / "quarantine" / digest_of(content)).read_bytes() == damaged
    assert not path.exists()
    assert imagefs("images").out.count("incomplete") == 1
    imagefs("gc")
    assert (imagefs.store / "quarantine" / digest_of(content)).exists()
    bring(imagefs, archive)
    assert_whole(imagefs)


def test_a_flipped_bit_in_a_manifest(imagefs, archive):
    with Store(imagefs.store) as store:
        content = store.find_image("app:1").target.digest
    flip(blob(imagefs, content), 20)
    subjects = [subject for subject, _, costs in problems(imagefs, "--full") if costs]
    assert content in subjects
    assert found(imagefs, "--full", "--repair")["lost"] == [NAME]
    bring(imagefs, archive)
    assert_whole(imagefs)


def test_a_damaged_document_is_replaced_by_an_import_alone(imagefs, archive):
    with Store(imagefs.store) as store:
        content = store.find_image("app:1").target.digest
    flip(blob(imagefs, content), 20)
    bring(imagefs, archive)
    assert_whole(imagefs)


@pytest.mark.parametrize("tar", [PACKED, PLAIN])
def test_a_flipped_bit_anywhere_in_an_index(imagefs, tar):
    path = layer_file(imagefs, tar, "index.sqlite")
    whole = path.read_bytes()
    for position in [*range(30, len(whole), 1999), len(whole) - 1]:
        flip(path, position, position % 8)
        assert any(subject == f"layer {digest_of(tar)}" for subject, _, _ in problems(imagefs, "--full", "app:1"))
        path.write_bytes(whole)
    flip(path, len(whole) - 20)
    assert imagefs("check", "--full", "--repair").status == 0
    assert_whole(imagefs)


def test_a_flipped_bit_in_an_uncompressed_layer(imagefs):
    flip(layer_file(imagefs, PACKED, "layer.tar"), 100_000)
    ((subject, text, costs),) = problems(imagefs, "--full")
    assert (subject, costs) == (f"layer {digest_of(PACKED)}", True)
    assert text.startswith("its tar has the digest sha256:")
    imagefs("check", "--full", "--repair")
    assert_whole(imagefs)


def test_an_index_that_says_something_else(imagefs):
    path = layer_file(imagefs, PACKED, "index.sqlite")
    path.chmod(0o644)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE node SET uid = 7 WHERE id = 2")
    database.close()
    assert [text for _, text, _ in problems(imagefs, "--full")] == ["its index is not that of its tar"]


def test_a_layer_whose_blob_is_lost_keeps_its_tar(imagefs):
    blob(imagefs, digest_of(gzip_data(PACKED))).unlink()
    flip(layer_file(imagefs, PACKED, "index.sqlite"), 5000)
    repaired = found(imagefs, "--full", "--repair")
    assert f"layer {digest_of(PACKED)}: its index was made again from its tar" in repaired["repaired"]
    assert repaired["lost"] == [NAME]


def test_a_layer_that_nothing_is_left_of_goes_into_the_quarantine(imagefs):
    blob(imagefs, digest_of(gzip_data(PACKED))).unlink()
    flip(layer_file(imagefs, PACKED, "layer.tar"), 5000)
    repaired = found(imagefs, "--full", "--repair")
    assert any(each.endswith(f"moved to quarantine/layer-{digest_of(PACKED)}") for each in repaired["repaired"])
    assert (imagefs.store / "quarantine" / f"layer-{digest_of(PACKED)}" / "layer.tar").exists()


def test_the_index_has_no_other_tables_than_are_compared(imagefs):
    with sqlite3.connect(layer_file(imagefs, PACKED, "index.sqlite")) as database:
        names = {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    database.close()
    assert names == set(TABLES)


# -- the catalogue


def unsealed(imagefs: InsideImagefs, statement: str, *values: Any) -> None:
    """Change the catalogue as a disk would: its checksums are left as they are."""
    with sqlite3.connect(imagefs.store / "catalog.sqlite", isolation_level=None) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute(statement, values)
    database.close()


def rows_of(imagefs: InsideImagefs, *tables: str) -> list[Any]:
    with Store(imagefs.store) as store:
        return [sorted(rowsums.rows(store.catalog.connection, table), key=repr) for table in tables or COLUMNS]


def test_every_table_has_checksums(imagefs):
    with Store(imagefs.store) as store:
        connection = store.catalog.connection
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        assert tables - {"sqlite_sequence"} == set(COLUMNS)
        for table, columns in COLUMNS.items():
            found = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            assert found == [*columns, "checksum"]
        with store.lease("one", 100.0) as lease:
            lease.protect("blob", digest_of(PLAIN))
            assert rowsums.damaged(connection) == []
            assert all(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in COLUMNS)


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        ("UPDATE image SET digest = replace(digest, 'a', 'c') WHERE name LIKE '%app:1'", ()),
        ("UPDATE image SET complete = 0 WHERE name LIKE '%app:1'", ()),
        ("UPDATE image SET checksum = checksum + 1", ()),
        ("UPDATE label SET value = 'mu'", ()),
        ("UPDATE slot SET platform = 'linux/amd65'", ()),
        ("UPDATE slot SET id = id + 8", ()),
        ("UPDATE layer SET size = size + 1", ()),
        ("UPDATE layer_blob SET blob = 'x' || substr(blob, 2)", ()),
        ("UPDATE event SET action = 'lo`d'", ()),
    ],
)
def test_a_damaged_row_is_found(imagefs, statement, values):
    unsealed(imagefs, statement, *values)
    result = imagefs("check", check=False)
    assert result.status == 1
    assert "imagefs: catalog.sqlite: a damaged row: " in result.err


def test_one_flipped_bit_anywhere_in_a_row_is_flipped_back(imagefs):
    before = rows_of(imagefs)
    name = NAME.replace("app", "apq")
    with sqlite3.connect(imagefs.store / "catalog.sqlite") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    path = imagefs.store / "catalog.sqlite"
    data = path.read_bytes()
    position = data.index(NAME.encode() + b"sha256:") + NAME.index("app") + 2
    flip(path, position, 0)
    assert path.read_bytes()[position - 2 : position + 1] == b"apq"
    assert imagefs("check", check=False).status == 1
    result = imagefs("check", "--repair")
    assert f'repaired: catalog.sqlite: a row is as it was: image ["{NAME}"' in result.err
    assert name not in imagefs("images").out
    assert rows_of(imagefs) == before
    assert_whole(imagefs)


def test_derived_rows_that_are_lost_are_made_again(imagefs):
    before = rows_of(imagefs, "image", "label")
    unsealed(imagefs, "UPDATE slot SET platform = 'elsewhere'")
    unsealed(imagefs, "UPDATE layer SET size = 77777, nodes = 88888")
    result = imagefs("check", "--repair")
    assert "repaired: catalog.sqlite: a damaged row was dropped: slot" in result.err
    assert rows_of(imagefs, "image", "label") == before
    assert_whole(imagefs)


def test_numbers_are_never_given_again(imagefs):
    with Store(imagefs.store) as store:
        (number,) = store.catalog.connection.execute("SELECT max(id) FROM slot").fetchone()
    unsealed(imagefs, "UPDATE slot SET platform = 'elsewhere'")
    imagefs("check", "--repair")
    with Store(imagefs.store) as store:
        assert min(slot.id for slots in store.catalog.all_slots().values() for slot in slots) > number


def test_an_image_whose_name_is_not_certain_stays_without_one(imagefs):
    with Store(imagefs.store) as store:
        content = store.find_image("app:1").target.digest
    unsealed(imagefs, "UPDATE image SET name = 'docker.io/library/bqq:1' WHERE name = ?", NAME)
    result = imagefs("check", "--repair")
    assert f"repaired: {content}: kept, but whether its name was 'docker.io/library/bqq:1' is not certain" in result.err
    assert content[7:19] in imagefs("images").out
    assert "bqq" in (imagefs.store / "quarantine" / "rows.jsonl").read_text()
    imagefs("gc")
    imagefs("tag", content, "app:1")
    assert_whole(imagefs)


def test_an_image_row_that_leads_nowhere_goes_into_the_quarantine(imagefs):
    unsealed(imagefs, "UPDATE image SET digest = 'nonsense' WHERE name = ?", NAME)
    result = imagefs("check", "--repair")
    assert "repaired: catalog.sqlite: a damaged row was moved to quarantine/rows.jsonl: image" in result.err
    assert "nonsense" in (imagefs.store / "quarantine" / "rows.jsonl").read_text()
    assert OTHER_NAME in imagefs("check").out


def test_text_that_is_none(imagefs):
    unsealed(imagefs, "UPDATE label SET value = CAST(x'ff65' AS TEXT)")
    assert any("damaged row: label" in text for _, text, _ in problems(imagefs))
    imagefs("check", "--repair")
    assert imagefs("check").err == ""


def test_a_broken_schema_is_an_error_in_one_line(imagefs):
    with sqlite3.connect(imagefs.store / "catalog.sqlite") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    path = imagefs.store / "catalog.sqlite"
    flip(path, path.read_bytes().index(b"REFERENCES") + 2, 7)
    result = imagefs("check", check=False)
    assert result.status == 1
    assert "malformed database schema" in result.err or "can't decode" in result.err
    assert len(result.err.splitlines()) == 1
