"""An image with something of everything that a tree can hold, and what there is to see of a tree."""

import hashlib
import io
import os
import stat
import tarfile
from collections import defaultdict
from pathlib import Path

from support.archives import (
    OciArchive,
    block_device,
    character_device,
    directory,
    fifo,
    file,
    gzip_data,
    hardlink,
    layer,
    opaque,
    symlink,
    uncompressed,
    whiteout,
    zstd_layer,
)

CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
SPARSE_SIZE = 3_000_000
LONG = "long-" + "n" * 200
LATIN = os.fsdecode(b"caf\xe9")

LOWER = layer(
    directory("./", mode=0o755, mtime=1_500_000_000),
    directory("d", mode=0o1777, uid=7, gid=8, mtime=1_600_000_000.123456789),
    file("d/old", b"old", mtime=-86_400.5),
    file("gone", b"gone"),
    directory("opaque", mtime=1_000_000_000),
    file("opaque/below"),
    directory("becomes-file"),
    file("becomes-file/x"),
    file("one", b"linked"),
    hardlink("two", "one"),
    hardlink("three", "one"),
    file("setuid", b"#!", mode=0o4755, uid=1000, gid=1000),
    file("secret", b"secret", mode=0, uid=3_000_000_000, gid=4_000_000),
    directory("unwritable", mode=0o555, mtime=900_000_000),
    file("unwritable/file", b"in it", mode=0o400),
    directory("unwritable/below", mode=0o500),
    file("unwritable/below/file", b"deeper"),
    file("big", bytes(range(256)) * 12_000),
)
UPPER = layer(
    whiteout("gone"),
    opaque("opaque"),
    file("opaque/above"),
    file("becomes-file", b"now a file"),
    whiteout("three"),
    symlink("link", "d/old", mtime=1_234_567_890),
    symlink("to-folder", "d"),
    symlink("absolute", "/d/old"),
    symlink("dangling", "../nowhere"),
    symlink("long-target", "t/" * 150),
    character_device("null", 1, 3, mode=0o666),
    block_device("disk", 259, 70_000, mode=0o660, gid=6),
    fifo("pipe", mode=0o622),
    file("implied/parents/here"),
    file("noted", b"", xattrs={"user.note": b"a\x00b", "user.empty": b"", "security.capability": CAPABILITY}),
    directory("noted-folder", xattrs={"user.note": b"on a folder", "trusted.x": b"\xff"}),
    hardlink("across", "setuid"),
    hardlink("d/across-again", "setuid"),
    file(LATIN, b"latin-1"),
    symlink("to-latin", LATIN),
    file("café", b"utf-8"),
    file(f"{LATIN}-{LONG}", b"long and latin-1"),
    file(f"{LONG}/{LONG}/{LONG}", b"long"),
    hardlink("to-long", f"{LONG}/{LONG}/{LONG}"),
    file("new\nline \x1b[31m"),
    file(".hidden"),
)


def _sparse_layer() -> bytes:
    """Two sparse files, in the format that GNU tar calls PAX 1.0."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, pieces in {"sparse": [(4096, b"data" * 1024), (SPARSE_SIZE - 512, b"e" * 512)], "hole": []}.items():
            numbers = [len(pieces) + 1]
            for offset, data in pieces:
                numbers += [offset, len(data)]
            numbers += [SPARSE_SIZE, 0]
            listed = "".join(f"{number}\n" for number in numbers).encode()
            content = listed + bytes(-len(listed) % 512) + b"".join(data for _, data in pieces)
            info = file(f"GNUSparseFile.0/{name}", content).info()
            info.pax_headers = {
                "GNU.sparse.major": "1",
                "GNU.sparse.minor": "0",
                "GNU.sparse.name": name,
                "GNU.sparse.realsize": str(SPARSE_SIZE),
            }
            archive.addfile(info, io.BytesIO(content))
    return output.getvalue()


def odd_archive() -> bytes:
    """The image, as `odd:1`."""
    archive = OciArchive()
    archive.add_image([gzip_data(LOWER), zstd_layer(), UPPER, gzip_data(uncompressed(_sparse_layer()))], name="odd:1")
    return archive.bytes()


def seen(root: str | Path, *, owners: bool = True) -> dict[bytes, dict]:
    """All below a folder and the folder itself, by path, with everything that system calls tell."""
    top = os.fsencode(root)
    found: dict[bytes, dict] = {}
    groups: dict[tuple[int, int], list[bytes]] = defaultdict(list)
    pending = [top]
    while pending:
        path = pending.pop()
        name = os.path.relpath(path, top)
        status = os.lstat(path)
        found[name] = _told(path, status)
        if owners:
            found[name] |= {"uid": status.st_uid, "gid": status.st_gid}
        if stat.S_ISDIR(status.st_mode):
            pending += [os.path.join(path, each) for each in os.listdir(path)]
        else:
            groups[status.st_dev, status.st_ino].append(name)
    for names in groups.values():
        for name in names:
            found[name]["names"] = sorted(names)
    return found


def _told(path: bytes, status: os.stat_result) -> dict:
    told = {"mode": stat.filemode(status.st_mode), "mtime": status.st_mtime_ns}
    names = os.listxattr(path, follow_symlinks=False)
    told["xattrs"] = {name: os.getxattr(path, name, follow_symlinks=False) for name in sorted(names)}
    if stat.S_ISREG(status.st_mode):
        told["size"] = status.st_size
        told["holes"] = status.st_blocks * 512 < status.st_size - 65_536
        told["nlink"] = status.st_nlink
        with open(path, "rb") as reader:
            told["content"] = hashlib.file_digest(reader, "sha256").hexdigest()
    elif stat.S_ISLNK(status.st_mode):
        told["target"] = os.readlink(path)
    elif not stat.S_ISDIR(status.st_mode):
        told["rdev"] = status.st_rdev
    return told
