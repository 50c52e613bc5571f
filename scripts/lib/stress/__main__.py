"""Processes that import overlapping archives, while mounts are read, garbage is collected, and names come and go."""

import argparse
import hashlib
import multiprocessing
import queue
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from imagefs import Store, import_archive
from imagefs.store import gc, naming
from imagefs.store.leases import standings
from imagefs.store.status import statuses
from stress import roles
from stress.images import make_archives

_PATIENCE = 120.0  # seconds for what is running to come to an end

_Role = tuple[str, Callable[..., None], tuple[object, ...]]


def main() -> int:
    """Run it; answers 1 where anything went wrong."""
    parser = argparse.ArgumentParser(prog="scripts/stress", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (10)")
    parser.add_argument("--processes", type=int, default=8, help="how many of them import (8)")
    parser.add_argument("--seed", type=int, default=0, help="of what the archives are made of (0)")
    parser.add_argument("--keep", action="store_true", help="leave the store where it is")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="imagefs-stress-"))
    try:
        problems = _stress(folder, options.minutes * 60, options.processes, random.Random(options.seed))
    finally:
        if not options.keep:
            shutil.rmtree(folder)
    for problem in problems:
        print(f"WRONG: {problem}", flush=True)
    print("something went wrong" if problems else "nothing went wrong")
    return bool(problems)


def _stress(folder: Path, seconds: float, processes: int, chance: random.Random) -> list[str]:
    archives = make_archives(_made(folder / "archives"), 12, chance)
    store = folder / "store"
    kept = _keep_some(store, archives[:3])
    with roles.mounted(store, folder / "some", *kept[:2]) as some:
        played: list[_Role] = [
            *((f"import {number}", roles.import_some, (store, archives)) for number in range(processes)),
            ("read some images", roles.read_tree, (some / "images", False)),
            ("read all images", roles.read_everything, (store, folder / "all")),
            ("collect garbage", roles.collect, (store,)),
            ("tag and remove", roles.rename, (store,)),
            ("export", roles.export_one, (store, folder / "exported.tar")),
        ]
        problems = _play(played, seconds)
    return problems + _examine(store, kept)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _keep_some(folder: Path, archives: Sequence[Path]) -> list[str]:
    """Names that stay, of images whose other names come and go."""
    kept: list[str] = []
    with Store(folder) as store:
        for archive in archives:
            with archive.open("rb") as stream:
                for record in import_archive(store, stream):
                    name = f"{roles.KEPT}{len(kept)}:1"
                    with store.catalog.transaction():
                        naming.tag(store.catalog, store.blobs, record, [name])
                    kept.append(name)
    return kept


def _play(played: Sequence[_Role], seconds: float) -> list[str]:
    """Let everybody play their roles for so long; answers what went wrong."""
    context = multiprocessing.get_context("spawn")  # nobody inherits a lock
    stop, reports = context.Event(), context.Queue()
    players = [
        context.Process(target=roles.repeat, args=(role, name, arguments, stop, reports), name=name)
        for name, role, arguments in played
    ]
    for player in players:
        player.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end and all(player.is_alive() for player in players):
        stop.wait(1)
    stop.set()
    problems = []
    for _ in players:
        try:
            name, rounds, problem = reports.get(timeout=_PATIENCE)
        except queue.Empty:
            problems.append("one did not come to an end, or died")
            break
        print(f"{name}: {rounds} times", flush=True)
        if problem:
            problems.append(f"{name}: {problem}")
    for player in players:
        player.join(_PATIENCE)
        if player.exitcode:
            problems.append(f"{player.name} ended with {player.exitcode}")
        if player.is_alive():
            player.kill()
    return problems


def _examine(folder: Path, kept: Sequence[str]) -> list[str]:
    """What is wrong with a store at which nobody is any more."""
    problems = []
    with Store(folder) as store:
        end = time.monotonic() + _PATIENCE
        while any(lease.held for lease in standings(store.catalog, store.lease_folder)) and time.monotonic() < end:
            time.sleep(0.1)  # a mount's process ends a bit later than the mount
        for turn in ("before", "after"):
            for blob in store.blobs:
                if f"sha256:{hashlib.sha256(store.blobs.path(blob).read_bytes()).hexdigest()}" != blob:
                    problems.append(f"{blob} has other content")
            found = statuses(store, store.images())
            problems += [f"{each.record.name}: {each.tally} {each.damage or ''}" for each in found if not each.complete]
            there = {each.record.name for each in found}
            problems += [f"{name} is lost" for name in kept if name not in there]
            try:
                roles.imagefs(folder, "check")
            except AssertionError as error:
                problems.append(str(error))
            if turn == "before":
                gc.collect(store)
        left = [path.name for path in (*store.temporary_folder.iterdir(), *store.lease_folder.iterdir())]
        problems += [f"{name} is left behind" for name in left]
        problems += [f"the lease {lease} is left behind" for lease, _, _ in store.catalog.leases()]
    return problems


if __name__ == "__main__":
    sys.exit(main())
