"""`imagefs leases`, and what a lease is worth: as long as its process lives, wherever that is."""

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.archives import AMD64, ARM64, OciArchive, digest_of, file, gzip_layer, uncompressed
from support.inside import InsideImagefs
from support.store import bring

from imagefs import Store, StoreError
from imagefs.cli.main import cli
from imagefs.store import leases
from imagefs.store.gc import collect

APP = "docker.io/library/app:1"
LOW, HIGH = gzip_layer(file("low", b"1" * 2000)), gzip_layer(file("high", b"2"))


@pytest.fixture
def app(tmp_path) -> InsideImagefs:
    """A store with an image of two layers."""
    command = InsideImagefs(tmp_path / "store")
    archive = OciArchive()
    archive.add_image([LOW, HIGH], name="app:1")
    bring(command, archive)
    return command


def listed(app: InsideImagefs) -> list[dict]:
    return json.loads(app("leases", "ls", "--json").out)


def usage_error(app: InsideImagefs, *arguments: str) -> str:
    """What is said of wrong usage."""
    outcome = CliRunner().invoke(cli, ["--store", str(app.store), *arguments])
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    return outcome.stderr


def expire(app: InsideImagefs) -> None:
    with Store(app.store) as store:
        store.catalog.connection.execute("UPDATE lease SET expires_at = 1")


# -- create


def test_what_is_created_keeps_an_image_until_it_expires(app):
    before = app.files()
    (lease,) = app("leases", "create", "app:1", "--label", "for tomorrow").lines
    app("rm", "app:1")
    app("gc")
    assert app.files() == before
    ((row),) = listed(app)
    digest = row["protects"][0]["digest"]
    left = datetime.fromisoformat(row.pop("expires")) - datetime.now(UTC)
    assert 23.9 < left.total_seconds() / 3600 <= 24
    assert row == {
        "id": lease, "label": "for tomorrow", "state": "timed", "held": False,
        "protects": [{"kind": "image", "digest": digest, "images": []}],
    }  # fmt: skip
    expire(app)
    assert listed(app)[0]["state"] == "dead"
    assert listed(app)[0]["protects"] == []
    app("gc")
    assert (app.files(), listed(app)) == ([], [])


def test_expires(app):
    app("leases", "create", "app:1", "--expires", "1h30m")
    left = datetime.fromisoformat(listed(app)[0]["expires"]) - datetime.now(UTC)
    assert 5300 < left.total_seconds() <= 5400


@pytest.mark.parametrize("text", ["", "1d", "soon", "-3h", "0s", "9999999999h"])
def test_wrong_durations(app, text):
    assert "is no duration such as 36h" in usage_error(app, "leases", "create", "app:1", "--expires", text)
    assert listed(app) == []


def test_a_label_of_a_mount_is_refused(app):
    assert "the labels of mounts and imports are like that" in usage_error(
        app, "leases", "create", "app:1", "--label", "mount /mnt"
    )


def test_a_blob_alone_by_its_digest(app):
    app("leases", "create", digest_of(LOW))
    app("rm", "app:1")
    app("gc")
    assert app.files() == [f"blobs/{digest_of(LOW).replace(':', '/')}"]


def test_a_manifest_of_an_index_is_kept_with_what_it_needs(tmp_path):
    app = InsideImagefs(tmp_path / "store")
    archive = OciArchive()
    low, high = archive.add_manifest([LOW], AMD64), archive.add_manifest([HIGH], ARM64)
    archive.add_index([low, high], name="both:1")
    bring(app, archive)
    app("leases", "create", high["digest"][:20])
    app("rm", "both:1")
    app("gc")
    assert f"layers/{digest_of(uncompressed(HIGH))}/index.sqlite" in app.files()
    assert f"blobs/{digest_of(HIGH).replace(':', '/')}" in app.files()
    assert not [path for path in app.files() if digest_of(LOW)[7:] in path]


def test_of_an_image_that_is_kept_for_a_platform_only_that_is_kept(tmp_path):
    app = InsideImagefs(tmp_path / "store")
    archive = OciArchive()
    archive.add_index([archive.add_manifest([LOW], AMD64), archive.add_manifest([HIGH], ARM64)], name="both:1")
    bring(app, archive, platforms=("linux/amd64",))
    before = app.files()
    app("leases", "create", "both:1")
    app("rm", "both:1")
    app("gc")
    assert app.files() == before


def test_all_or_nothing(app):
    result = app("leases", "create", "app:1", "nowhere:1", check=False)
    assert (result.status, result.err) == (1, "imagefs: nowhere:1: no such image\n")
    assert "no such image" in app("leases", "create", "sha256:" + "0" * 64, check=False).err
    assert listed(app) == []


# -- ls


def test_the_table(app):
    assert app("leases", "ls").lines == ["ID  LABEL  HELD  EXPIRES  PROTECTS"]
    with Store(app.store) as store:
        store.lease("dead").let_go()
        with store.lease("export \x1b[31m") as export, store.lease("many") as many:
            target = store.find_image("app:1").target
            export.protect(target.media_type, target.digest)
            many.protect_all([("blob", digest_of(bytes([number]))) for number in range(5)])
            rows = {line.split()[1]: line for line in app("leases", "ls").lines[1:]}
    assert rows["export"].split() == [export.id, "export", r"\x1b[31m", "yes", "-", APP]
    assert rows["many"].endswith(" and 2 more")
    assert rows["many"].count("blob sha256:") == 3
    assert rows["dead"].split()[2:] == ["no", "-", "nothing"]


# -- rm


def test_rm(app):
    first, second = (app("leases", "create", "app:1").lines[0] for _ in range(2))
    app("leases", "rm", first)
    assert [row["id"] for row in listed(app)] == [second]
    result = app("leases", "rm", first, second, check=False)
    assert (result.status, result.err) == (1, f"imagefs: {first}: no such lease\n")
    assert listed(app) == []


def test_a_held_one_takes_force(app):
    with Store(app.store) as store, store.lease("import") as lease:
        lease.protect("blob", digest_of(LOW))
        result = app("leases", "rm", lease.id, check=False)
        assert (result.status, "held by a process that lives, import; --force" in result.err) == (1, True)
        app("leases", "rm", "--force", lease.id)
        assert listed(app) == []
        with pytest.raises(StoreError, match=f"its lease {lease.id} was removed"):
            lease.protect("blob", digest_of(HIGH))
    assert list(store.lease_folder.iterdir()) == []


def test_the_end_of_a_dead_mount_is_an_event(app):
    with Store(app.store) as store:
        lease = store.lease("mount /gone")
        lease.let_go()
    app("leases", "rm", lease.id)
    events = [json.loads(line) for line in app("events", "--since", "1h", "--until", "0s").lines]
    assert [(each["action"], each.get("mountpoint")) for each in events][-1] == ("unmount", "/gone")


def test_a_blob_under_a_lease_is_refused_with_its_id(app):
    (lease,) = app("leases", "create", digest_of(LOW)).lines
    app("rm", "app:1")
    assert app("content", "rm", digest_of(LOW), check=False).err.endswith(f"needed by the lease {lease}\n")


# -- processes


HOLD = """
import sys
from imagefs import Store
store = Store(sys.argv[1])
lease = store.lease("test")
lease.protect("blob", sys.argv[2])
(store.temporary_folder / f"{lease.id}.0").touch()
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def holding(store: Path, blob: str, around: Sequence[str] = ()) -> Iterator[subprocess.Popen]:
    """A process that holds a lease, until it is killed."""
    command = [*around, sys.executable, "-c", HOLD, str(store), blob]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def is_there(app: InsideImagefs, blob: str) -> bool:
    return f"blobs/{blob.replace(':', '/')}" in app.files()


UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
BOUND = ["unshare", "--mount", "--kill-child", "sh", "-euc", 'mount --bind "$1" "$2"; shift 2; exec "$@"', "sh"]


def can(*command: str) -> bool:
    return bool(shutil.which(command[0])) and subprocess.run([*command, "true"], capture_output=True).returncode == 0


@pytest.mark.parametrize("where", ["here", "another pid namespace", "another path in a mount namespace"])
def test_a_lease_is_worth_as_much_as_its_process_lives(app, tmp_path, where):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    around: list[str] = []
    if where != "here":
        around = UNSHARE if where == "another pid namespace" else [*BOUND, str(app.store), str(elsewhere)]
        if not can(*around):
            pytest.skip("no namespaces of one's own")
    app("rm", "app:1")
    with holding(elsewhere if where.startswith("another path") else app.store, digest_of(LOW), around) as process:
        for _ in range(2):
            app("gc")
            assert is_there(app, digest_of(LOW))
            assert not is_there(app, digest_of(HIGH))
            assert [row["state"] for row in listed(app)] == ["held"]
        assert [path for path in app.files() if path.startswith("tmp/")]
        process.kill()
        process.wait()
        end = time.monotonic() + 10
        while listed(app)[0]["held"] and time.monotonic() < end:  # what was started in a namespace ends a bit later
            time.sleep(0.02)
        app("gc")
        assert app.files() == []


def test_a_lease_whose_file_was_taken_away_is_not_let_go_in_silence(app, caplog):
    app("rm", "app:1")
    with holding(app.store, digest_of(LOW)):
        (lease,) = (app.store / "leases").iterdir()
        lease.unlink()
        app("gc")
        assert is_there(app, digest_of(LOW))
        assert f"the file of lease {lease.name} (test) is gone" in caplog.text
        assert [(row["state"], row["held"]) for row in listed(app)] == [("lost", True)]
        assert app("leases", "ls").lines[1].split()[2] == "maybe"
        app("leases", "rm", lease.name)
        app("gc")
        assert not is_there(app, digest_of(LOW))


def test_no_lease_without_a_file_outlives_the_boot(app):
    with Store(app.store) as store:
        store.catalog.add_lease("01234567" + "89abcdef", "mount /mnt", None)
        store.catalog.protect("0123456789abcdef", "blob", digest_of(LOW))
    app("rm", "app:1")
    app("gc")
    assert app.files() == []


def test_a_collection_while_a_lease_is_made(app, monkeypatch):
    """The file is there and not locked yet: to a collection it is rubbish."""
    real = leases.fcntl.flock
    collected = []

    def flock(descriptor: int, operation: int) -> None:
        if operation == leases.fcntl.LOCK_EX and not collected:
            collected.append(len(list(store.lease_folder.iterdir())))
            collect(other)
            collected.append(len(list(store.lease_folder.iterdir())))
        real(descriptor, operation)

    with Store(app.store) as store, Store(app.store) as other:
        monkeypatch.setattr(leases.fcntl, "flock", flock)
        with store.lease("test") as lease:
            assert collected == [1, 0]
            assert leases.is_held(store.lease_folder, lease.id)
            assert [each.name for each in store.lease_folder.iterdir()] == [lease.id]


def test_a_lease_that_cannot_be_put_on_record_leaves_nothing(app, monkeypatch):
    def add_lease(*_) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with Store(app.store) as store:
        monkeypatch.setattr(store.catalog, "add_lease", add_lease)
        with pytest.raises(sqlite3.OperationalError):
            store.lease("test")
        assert list(store.lease_folder.iterdir()) == []


def test_files_that_no_lease_has_any_more_go(app):
    (app.store / "leases" / "0123456789abcdef").touch()
    app("gc", "--dry-run")
    assert "leases/0123456789abcdef" in app.files()
    app("gc")
    assert "leases/0123456789abcdef" not in app.files()


@pytest.mark.parametrize("command", [["leases", "ls"], ["gc"]])
def test_each_member_of_the_json_is_named_in_the_help(app, command):
    app("leases", "create", "app:1")
    told = app(*command, "--help").out.replace(",", " ").replace("(", " ").replace(".", " ").split()
    found = json.loads(app(*command, "--json").out)
    members = set(found) if isinstance(found, dict) else set(found[0]) | set(found[0]["protects"][0])
    assert len(members) >= 5
    assert members <= set(told)
