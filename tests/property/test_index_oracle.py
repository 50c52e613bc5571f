"""A layer's index equals `tarfile`'s list of its members: random layers in which no path comes twice."""

import io
import os
import stat
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from support.archives import (
    TarEntry,
    block_device,
    character_device,
    directory,
    fifo,
    file,
    hardlink,
    layer,
)
from support.layers import entry_at, make_index, walk_layer

from imagefs.layers.entry import IMPLIED, Entry
from imagefs.layers.index import LayerIndex

FORMATS = [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
KINDS = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.FIFOTYPE: stat.S_IFIFO,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
}

names = st.sampled_from(["a", "b", ".c", "é", "\udcff", "n" * 120])


@st.composite
def layers(draw: st.DrawFn) -> list[TarEntry]:
    """Entries below directories only; hard links lead to earlier members or to nothing in the layer."""
    folders, entries, taken = [""], [], set()
    linkable = ["only/below"]
    for _ in range(draw(st.integers(0, 12))):
        path = f"{draw(st.sampled_from(folders))}/{draw(names)}".lstrip("/")
        if path in taken:
            continue
        taken.add(path)
        attributes = {
            "mode": draw(st.integers(0, 0o7777)),
            "uid": draw(st.sampled_from([0, 1000, 0o7777777, 1 << 31])),
            "gid": draw(st.sampled_from([0, 5, (1 << 32) - 2])),
            "mtime": draw(st.integers(-(1 << 33), 1 << 33)),
        }
        kind = draw(st.sampled_from(["file", "file", "directory", "directory", "symlink", "link", "device", "fifo"]))
        if kind == "directory":
            folders.append(path)
            # Some directories get no entry: what is in them implies them.
            if draw(st.booleans()):
                entries.append(directory(path, **attributes))
            continue
        if kind == "file":
            entries.append(file(path, draw(st.binary(max_size=1100)), **attributes))
        elif kind == "symlink":
            entries.append(TarEntry(path, tarfile.SYMTYPE, link=draw(names), **attributes))
        elif kind == "link":
            entries.append(hardlink(path, draw(st.sampled_from(linkable)), **attributes))
        elif kind == "fifo":
            entries.append(fifo(path, **attributes))
        else:
            make = draw(st.sampled_from([character_device, block_device]))
            entries.append(make(path, draw(st.integers(0, 4095)), draw(st.integers(0, (1 << 20) - 1)), **attributes))
        linkable.append(path)
    return entries


def check_member(info: tarfile.TarInfo, entry: Entry, data: bytes) -> None:
    assert entry.mode == KINDS[info.type] | (0o777 if info.issym() else info.mode)
    assert (entry.uid, entry.gid) == (info.uid, info.gid)
    assert (entry.mtime_s, entry.mtime_ns) == (info.mtime, 0)
    assert entry.link_path is None and not entry.flags
    if info.isreg():
        assert (entry.size, entry.offset) == (info.size, info.offset_data)
        assert entry.blocks == (info.size + 511) // 512
        assert len(data[entry.offset : entry.offset + entry.size]) == entry.size
    elif info.issym():
        assert entry.target == info.linkname.encode("utf-8", "surrogateescape")
        assert entry.size == len(entry.target)
    elif info.ischr() or info.isblk():
        assert entry.rdev == os.makedev(info.devmajor, info.devminor)
    else:
        assert (entry.size, entry.rdev, entry.target) == (0, 0, None)


def check_link(info: tarfile.TarInfo, entry: Entry, index: LayerIndex) -> None:
    target = entry_at(index, info.linkname)
    if target is None:
        assert entry.link_path == info.linkname.encode("utf-8", "surrogateescape")
    else:
        assert entry.node == target.node
        assert entry.link_path == target.link_path


@settings(max_examples=200, deadline=None)
@given(entries=layers(), form=st.sampled_from(FORMATS))
def test_the_index_has_what_tarfile_lists(entries, form):
    data = layer(*entries, format=form)
    with tempfile.TemporaryDirectory() as folder, closing(make_index(Path(folder) / "index", data)) as index:
        found = walk_layer(index)
        with tarfile.open(fileobj=io.BytesIO(data), encoding="utf-8", errors="surrogateescape") as oracle:
            members = oracle.getmembers()
        names_of_nodes: dict[int, int] = {}
        for info in members:
            entry = found[info.name]
            if info.islnk():
                check_link(info, entry, index)
            else:
                check_member(info, entry, data)
        for entry in found.values():
            names_of_nodes[entry.node] = names_of_nodes.get(entry.node, 0) + 1
        assert all(entry.nlink == names_of_nodes[entry.node] for entry in found.values())
        implied = {path for path, entry in found.items() if entry.flags & IMPLIED}
        parents = {str(parent) for info in members for parent in Path(info.name).parents} - {"."}
        assert implied == parents - {info.name for info in members}
        assert index.totals.size == len(data)
