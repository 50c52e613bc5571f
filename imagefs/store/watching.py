"""Watching what happens in a store, from any process, while it happens."""

import time
from collections.abc import Callable, Iterator

from imagefs.errors import StoreError
from imagefs.store import events
from imagefs.store.events import Event
from imagefs.store.store import Store

INTERVAL = 0.1
"""Seconds between two looks."""


def watch(
    store: Store,
    *,
    since: float | None = None,
    until: float | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[Event]:
    """The events of a store as they happen, without end.

    With `since`, those on record from that moment on come first; with `until`, none later, and then it ends; both
    in seconds since the epoch. Between two looks it calls `wait` with seconds. It holds no transaction, so whoever is
    slow to take an event keeps nobody. Raises `StoreError` where the store is read-only, or goes.
    """
    if store.read_only:
        raise StoreError(f"{store.folder}: the store is read-only here, where nothing is watched")
    catalog = store.catalog
    identity = _identity(store)
    number = events.latest(catalog) if since is None else 0
    version = None
    while True:
        now = time.time()
        # First the version, then the events: what comes between the two shows in the next version.
        current = catalog.version()
        if current != version:
            version = current
            for event in events.after(catalog, number):
                number = event.number
                if (since is None or event.time >= since) and (until is None or event.time <= until):
                    yield event
        if until is not None and now >= until:
            return
        wait(INTERVAL if until is None else min(INTERVAL, max(until - now, 0)))
        if _identity(store) != identity:
            raise StoreError(f"{store.folder}: the store is gone")


def _identity(store: Store) -> tuple[int, int] | None:
    """Which file the catalogue is: SQLite goes on reading one that was removed."""
    try:
        status = (store.folder / "catalog.sqlite").stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
