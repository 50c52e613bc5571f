"""Which derived layers are dropped for room, though their images stay: those that were not used for the longest.

What is dropped is made again from its blob when somebody looks into it.
"""

import stat
from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from imagefs.digest import Digest
from imagefs.store.store import Store


def choose(store: Store, kept: Iterable[Digest], used: Collection[Digest], room: int) -> list[Digest]:
    """Of the derived layers that are kept otherwise, those to be dropped so that the rest takes `room` bytes at most.

    What is `used` stays, and what could not be made again, even where that is more. The oldest use goes first.
    """
    sizes = {layer: freed([store.layers.path(layer)]) for layer in kept}
    total = sum(sizes.values())
    chosen = []
    for layer in sorted(sizes, key=lambda layer: (store.layers.last_used(layer), layer)):
        if total <= room:
            break
        if layer not in used and _can_be_made(store, layer):
            chosen.append(layer)
            total -= sizes[layer]
    return sorted(chosen)


def _can_be_made(store: Store, layer: Digest) -> bool:
    return any(blob in store.blobs for blob in (layer, *store.catalog.blobs_of(layer)))


def freed(paths: Iterable[Path]) -> int:
    """The bytes of files, and of all in folders, that nothing has when all of these are gone."""
    links: Counter[tuple[int, int]] = Counter()
    size = 0
    for path in paths:
        for file in path.rglob("*") if path.is_dir() else [path]:
            with suppress(FileNotFoundError):
                status = file.lstat()
                number = (status.st_dev, status.st_ino)
                links[number] += 1
                if stat.S_ISREG(status.st_mode) and links[number] == status.st_nlink:
                    size += status.st_size
    return size
