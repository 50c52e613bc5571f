"""Whole archives, broken inside: documents, names, layers and links, with the digests put right afterwards.

Most of what comes of it looks like an image to the very end, so that all of an import is run through.
"""

import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import cache
from pathlib import Path

from support.archives import (
    AMD64,
    ARM64,
    OciArchive,
    TarEntry,
    digest_of,
    directory,
    docker_archive,
    file,
    gzip_data,
    hardlink,
    layer,
    opaque,
    symlink,
    uncompressed,
    whiteout,
    zstd_data,
)
from support.docker_v1 import V1Archive

from fuzz.choices import Choices
from fuzz.mutation import as_json, change_bytes, change_json, fix_checksums
from imagefs import Store, export_archive, import_archive
from imagefs.archive.importer import ImportOptions
from imagefs.browse.address import Address
from imagefs.browse.nodes import walk
from imagefs.browse.opened import opened
from imagefs.browse.paths import find
from imagefs.errors import ImagefsError
from imagefs.limits import Limits
from imagefs.store.status import statuses
from imagefs.store.structure import structure

LIMITS = Limits(layer_size=4 << 20, total_size=8 << 20, holes_size=1 << 20, entries=1000, ratio_from=1 << 20)
"""What an input may take."""

_WALKED = 300

BASE = layer(
    directory("etc"), file("etc/passwd", b"root", xattrs={"user.x": b"1"}), symlink("lib", "usr/lib"),
    file("usr/lib/a", b"1" * 700), hardlink("usr/lib/b", "usr/lib/a"), directory("d"), file("d/x"),
)  # fmt: skip
TOP = layer(whiteout("etc/passwd"), opaque("d"), file("lib/c", b"2"), hardlink("e", "etc/passwd"), file("d/y"))

Members = list[tuple[str, bytes, TarEntry | None]]
"""Names, contents, and for what is no regular file what it is."""


@cache
def archives() -> list[Members]:
    """Well-formed archives of every form."""
    single, many = OciArchive(), OciArchive()
    single.add_image([gzip_data(BASE), zstd_data(TOP)], name="docker.io/library/app:1")
    many.add_index(
        [many.add_manifest([gzip_data(BASE)], AMD64), many.add_manifest([BASE, TOP], ARM64)], tag="2", name=None
    )
    both = OciArchive()
    image = both.add_image([gzip_data(BASE)], tag="3")
    manifest = json.loads(both.blobs[image["digest"]])
    both.extra["manifest.json"] = as_json(
        [
            {
                "Config": f"blobs/{manifest['config']['digest'].replace(':', '/')}",
                "RepoTags": ["app:3"],
                "Layers": [f"blobs/{each['digest'].replace(':', '/')}" for each in manifest["layers"]],
            }
        ]
    )
    first = V1Archive()
    base = first.add("base", BASE)
    first.repositories = {"app": {"1": first.add("top", TOP, parent=base)}}
    made = [single.bytes(), many.bytes(), both.bytes(), first.bytes()]
    made += [docker_archive([([BASE, TOP], ["app:1"]), ([BASE], None)], repeated=how) for how in ("once", "symlink")]
    return [list(_members(each)) for each in made]


def _members(archive: bytes) -> Iterator[tuple[str, bytes, TarEntry | None]]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened_archive:
        for info in opened_archive:
            held = opened_archive.extractfile(info)
            kind = None if held is not None and info.isreg() else TarEntry(info.name, info.type, link=info.linkname)
            yield info.name, b"" if kind is not None or held is None else held.read(), kind


def broken(choices: Choices) -> bytes:
    """One of the archives with some changes."""
    members = list(choices.one_of(archives()))
    for _ in range(1 + choices.below(4)):
        at = choices.below(len(members))
        name, data, kind = members[at]
        what = choices.below(8)
        if what == 0:
            name = change_bytes(name.encode(), choices).decode("utf-8", "surrogateescape").replace("\0", "")
            members[at] = name, data, kind
        elif what == 1:
            del members[at]
            if not members:
                return b""
        elif what == 2:
            members.insert(choices.below(len(members)), members[at])
        elif what == 3:
            kind = TarEntry(name, choices.one_of([b"1", b"2", b"5", b"3"]), link=choices.one_of(members)[0])
            members[at] = name, data, kind
        elif kind is None:
            members = _with(members, data, _changed(data, choices))
    entries = [
        file(name, data) if kind is None else TarEntry(name, kind.type, link=kind.link) for name, data, kind in members
    ]
    archive = layer(*entries)
    if choices.below(8) == 7:
        archive = fix_checksums(change_bytes(archive, choices))
    compress = choices.one_of([None, None, gzip_data, zstd_data])
    return archive if compress is None else compress(archive)


def _changed(data: bytes, choices: Choices) -> bytes:
    try:
        return as_json(change_json(json.loads(data), choices))
    except (ValueError, RecursionError):
        pass
    try:
        plain = uncompressed(data)
    except Exception:  # what another change broke
        return change_bytes(data, choices)
    if plain is data:
        return fix_checksums(change_bytes(data, choices))
    changed = fix_checksums(change_bytes(plain, choices))
    return choices.one_of([gzip_data, zstd_data])(changed) if choices.below(6) else change_bytes(data, choices)


def _with(members: Members, before: bytes, after: bytes) -> Members:
    """The members where a blob is another one now: all that refers to it does so by its new digest, and so on."""
    if not before or before == after:
        return members
    pending = [(before, after)]
    with suppress(Exception):  # what is broken has no diff ID
        pending.append((uncompressed(before), uncompressed(after)))
    done = 0
    while done < len(pending) and done < 20:
        old, new = pending[done]
        done += 1
        names = digest_of(old)[7:], digest_of(new)[7:]
        sizes = b'"size": %d' % len(old), b'"size": %d' % len(new)
        result: Members = []
        for name, data, kind in members:
            if data != old and names[0].encode() in data:
                changed = data.replace(names[0].encode(), names[1].encode())
                changed = changed.replace(sizes[0], sizes[1]).replace(sizes[0].replace(b" ", b""), sizes[1])
                pending.append((data, changed))
                data = changed
            if data == old:
                data = new
            result.append((name.replace(names[0], names[1]), data, kind))
        members = result
    return members


class Importing:
    """A store that broken archives are brought to: what is refused leaves nothing, what is taken can be looked at."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="imagefs-fuzz-", dir=in_memory()))

    def __call__(self, data: bytes) -> None:
        """Import what an input makes of an archive."""
        choices = Choices(data)
        options = ImportOptions(
            unpacking=choices.below(4) > 0,
            skip_missing=choices.below(4) == 3,
            digests=choices.below(4) == 3,
            compress=choices.below(8) == 7,
            platforms=("linux/amd64",) if choices.below(4) == 3 else None,
            index_name="whole" if choices.below(8) == 7 else None,
            limits=LIMITS,
        )
        archive = broken(choices)
        store_folder = self._folder / "store"
        try:
            with Store(store_folder) as store:
                try:
                    import_archive(store, io.BytesIO(archive), options)
                except ImagefsError:
                    assert not store.images(), "a name in spite of an error"
                    assert not list(store.blobs), "a blob in spite of an error"
                    assert not list(store.layers), "a layer in spite of an error"
                    assert not list(store.temporary_folder.iterdir()), "rubbish in spite of an error"
                    return
                _look(store)
        except BaseException:
            shutil.rmtree(store_folder, ignore_errors=True)
            raise
        shutil.rmtree(store_folder)


def _look(store: Store) -> None:
    """Do with all images what commands do."""
    for status in statuses(store, store.images()):
        record = status.record
        structure(store, record)
        try:
            with closing(_Sink()) as sink:
                export_archive(store, [record.name], sink)
        except ImagefsError:
            pass
        try:
            with opened(store, Address(record.name, None, None)) as image:
                for number, node in enumerate(walk(image.chain, find(image.chain, b"/").merged)):
                    node.xattrs(image.chain)
                    if number > _WALKED:
                        break
        except ImagefsError:
            pass


class _Sink(io.RawIOBase):
    def write(self, data: object, /) -> int:
        return len(data)  # type: ignore[arg-type]  # bytes


def in_memory() -> str | None:
    """A folder that no disk is behind, if there is one: each input makes a store."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
