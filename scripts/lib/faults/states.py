"""What state a store is in, as a digest: two states that differ in random names and in times only are the same one."""

import hashlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

_RANDOM = re.compile(r"\b[0-9a-f]{16}\b")

_QUERIES = (
    "SELECT name, digest, media_type, size, complete, platforms FROM image ORDER BY name",
    "SELECT name, key, value FROM label ORDER BY name, key",
    "SELECT name, platform, manifest FROM slot ORDER BY name, platform, manifest",
    "SELECT diff_id, size, nodes, blocks, xattrs FROM layer ORDER BY diff_id",
    "SELECT blob, diff_id FROM layer_blob ORDER BY blob",
    "SELECT label, expires_at IS NULL, kind, key FROM lease LEFT JOIN lease_resource ON id = lease"
    " ORDER BY label, kind, key",
    "SELECT action, name, digest, mountpoint FROM event ORDER BY id",
)


def files(store: Path) -> list[str]:
    """All that is in a store but its catalogue and the folders that every store has."""
    found = (path.relative_to(store) for path in store.rglob("*"))
    return sorted(
        str(path)
        for path in found
        if not path.name.startswith("catalog.sqlite") and str(path) not in ("blobs", "layers", "leases", "tmp")
        if not (path.parts[0] == "blobs" and len(path.parts) == 2)
    )


def digest_of(file: Path) -> str:
    """The digest of a file's content, "" where there is none."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""


def state_of(store: Path, output: Path) -> str:
    """The state of a store that was opened since it was left, and of the file beside it."""
    state = "\n".join([*_lines_of_files(store), *_lines_of_catalog(store / "catalog.sqlite"), digest_of(output)])
    return hashlib.sha256(state.encode()).hexdigest()


def _lines_of_files(store: Path) -> list[str]:
    lines = []
    for name in files(store):
        path = store / name
        lines.append(f"{_RANDOM.sub('*', name)} {digest_of(path) if path.is_file() else 'folder'}")
    return sorted(lines)


def _lines_of_catalog(path: Path) -> Iterator[str]:
    catalog = sqlite3.connect(path)
    for query in _QUERIES:
        yield from (repr(row) for row in catalog.execute(query))
    catalog.close()
