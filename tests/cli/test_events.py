"""`events`: what happened, and what happens while it is watched, from any process."""

import json
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime

import pytest
from support.archives import OciArchive, file, gzip_layer
from support.inside import InsideImagefs

from imagefs import Store, StoreError
from imagefs.store import events
from imagefs.store.watching import watch

APP, OTHER = "docker.io/library/app:1", "quay.io/x/other:1"
PATIENCE = 20.0  # seconds after which something never comes


@pytest.fixture
def app(tmp_path):
    return InsideImagefs(tmp_path / "store")


@pytest.fixture
def data():
    archive = OciArchive()
    archive.add_image([gzip_layer(file("a"))], name="app:1")
    return archive.bytes()


class Watcher:
    """`imagefs events` in a process of its own."""

    def __init__(self, app, *arguments: str) -> None:
        command = [sys.executable, "-m", "imagefs", "--store", str(app.store), "events", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self._lines.put(line)

    def next(self) -> tuple[str, str | None]:
        """(action, name) of the next event."""
        event = json.loads(self._lines.get(timeout=PATIENCE))
        return event["action"], event.get("name")

    def end(self, how: signal.Signals) -> tuple[int, str]:
        """Status and what was said on stderr."""
        self.process.send_signal(how)
        status = self.process.wait(PATIENCE)
        self._reader.join()
        assert self._lines.empty()
        return status, self.process.stderr.read().strip()


@pytest.fixture
def watching(app):
    started = []

    def start(*arguments: str) -> Watcher:
        started.append(Watcher(app, *arguments))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


def on_record(app, *arguments: str) -> list[tuple[str, str | None]]:
    """(action, name) of what is on record, in a watch that ends at once."""
    found = [json.loads(line) for line in app("events", "--until", "0s", *arguments).lines]
    return [(event["action"], event.get("name")) for event in found]


@pytest.mark.parametrize(("how", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_events_come_while_they_happen(app, watching, data, how, status):
    watcher = watching("--since", "1h")  # so nothing is missed, however late it is
    app("import", "-", stdin=data)
    assert watcher.next() == ("load", APP)
    app("tag", "app:1", OTHER)
    assert watcher.next() == ("tag", OTHER)
    app("rm", "app:1", OTHER)
    assert [watcher.next() for _ in range(3)] == [("untag", APP), ("untag", OTHER), ("delete", None)]
    assert watcher.end(how) == (status, "")


def test_without_since_only_what_happens_from_now_on(app, watching, data):
    app("import", "-", stdin=data)
    watcher = watching()
    deadline = time.monotonic() + PATIENCE
    seen = None
    while seen is None and time.monotonic() < deadline:  # until it is watching
        app("tag", "app:1", OTHER)
        try:
            seen = watcher._lines.get(timeout=0.2)
        except queue.Empty:
            continue
    assert json.loads(seen)["action"] == "tag"


def test_all_watchers_see_all(app, watching, data):
    watchers = [watching("--since", "1h") for _ in range(3)]
    app("import", "-", stdin=data)
    assert [watcher.next() for watcher in watchers] == [("load", APP)] * 3


def test_an_event_is_one_line_of_json(app, data):
    app("import", "-", stdin=data)
    (line,) = app("events", "--since", "1h", "--until", "0s").lines
    event = json.loads(line)
    moment = datetime.fromisoformat(event.pop("time"))
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 600
    with Store(app.store) as store:
        assert event == {"action": "load", "name": APP, "digest": store.find_image(APP).target.digest}


def test_since_and_until(app, data):
    app("import", "-", stdin=data)
    app("tag", "app:1", OTHER)
    with Store(app.store) as store, store.catalog.transaction():
        store.catalog.connection.execute("UPDATE event SET time = 1000 WHERE action = 'load'")
    assert on_record(app, "--since", "0") == [("load", APP), ("tag", OTHER)]
    assert on_record(app, "--since", "1000.5") == [("tag", OTHER)]
    assert on_record(app) == []
    assert json.loads(app("events", "--since", "1970-01-01T00:16:40Z", "--until", "1001").out)["name"] == APP
    assert app("events", "--since", "1970-01-01T00:16:41Z", "--until", "1001").lines == []


def test_until_a_moment_to_come(app, data):
    app("import", "-", stdin=data)
    assert len(app("events", "--since", "1h", "--until", "-0.3s").lines) == 1


def test_filters(app, data):
    app("import", "-", stdin=data)
    app("tag", "app:1", OTHER, "app:2")
    app("rm", OTHER)
    since = ("--since", "0")
    assert on_record(app, *since, "--filter", "action=load") == [("load", APP)]
    either = ("--filter", "action=load", "--filter", "action=untag")
    assert on_record(app, *since, *either) == [("load", APP), ("untag", OTHER)]
    assert on_record(app, *since, *either, "--filter", "name=other:1") == [("untag", OTHER)]
    assert on_record(app, *since, "--filter", "name=app") == [("load", APP), ("tag", "docker.io/library/app:2")]
    for name in ("app:1", APP, "library/app:1"):
        assert on_record(app, *since, "--filter", f"name={name}") == [("load", APP)]
    assert on_record(app, *since, "--filter", "name=pp:1") == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--filter", "action"),
        ("--filter", "action=eat"),
        ("--filter", "name="),
        ("--filter", "colour=red"),
        ("--since", "yesterday"),
        ("--until", "2026-13-01"),
        ("--since", ""),
    ],
)
def test_wrong_usage(app, arguments):
    command = [sys.executable, "-m", "imagefs", "--store", str(app.store), "events", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: Invalid value" in done.stderr
    assert not app.store.exists()


def test_a_reader_that_goes_ends_it_before_there_is_anything_to_write(app):
    command = [sys.executable, "-m", "imagefs", "--store", str(app.store), "events"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.wait(PATIENCE) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_store_that_goes_is_said(app, watching):
    watcher = watching("--since", "1h")
    with Store(app.store) as store, store.catalog.transaction():
        events.record(store.catalog, "mount", mountpoint="/mnt")
    assert watcher.next() == ("mount", None)
    shutil.rmtree(app.store)
    assert watcher.process.wait(PATIENCE) == 1
    assert watcher.process.stderr.read() == f"imagefs: {app.store}: the store is gone\n"


def test_a_read_only_store_is_refused(tmp_path):
    with Store(tmp_path / "store") as store:
        store.read_only = True
        with pytest.raises(StoreError, match="read-only"):
            next(watch(store, since=0))


def test_a_watcher_that_is_slow_holds_nobody_and_misses_nothing(tmp_path):
    def record(mountpoint: str) -> None:
        with Store(tmp_path / "store") as other:
            with other.catalog.transaction(wait=0):
                events.record(other.catalog, "mount", mountpoint=mountpoint)
            (busy, _, _) = other.catalog.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert busy == 0, "nobody reads in a transaction"

    def wait(seconds: float) -> None:
        assert 0 < seconds <= 0.1
        record("in a pause")
        record("in a pause")

    with Store(tmp_path / "store") as store:
        record("before")
        seen = []
        for event in watch(store, since=0, wait=wait):
            seen.append(event)
            if len(seen) == 20:
                break
            if len(seen) % 3 == 0:
                record("while one is taken")
        assert seen == events.after(store.catalog, 0)[:20]
