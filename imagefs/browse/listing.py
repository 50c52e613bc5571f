"""What a folder of an image holds, and how it is told: in lines as of `ls`, or in full as of `stat`."""

import os
import stat
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from imagefs.browse.nodes import Node, listing
from imagefs.browse.opened import OpenedImage
from imagefs.browse.paths import find
from imagefs.browse.provenance import kind
from imagefs.errors import TreeError
from imagefs.tree.chain import Chain


def folders(
    image: OpenedImage, path: bytes = b"/", *, recursive: bool = False, follow: bool = True
) -> Iterator[tuple[bytes | None, list[Node]]]:
    """(path, what is in it, sorted by name) of a folder and, with `recursive`, of all folders below it, parents first.

    Anything else than a folder is alone in what it answers, under its whole path as its name, and the path beside it
    is None. A link at the end of the path is followed if it leads to a folder, unless `follow` is off; one before a
    slash always is. Raises `TreeError` where the path leads nowhere.
    """
    found = find(image.chain, path)
    if found.merged.entry.is_symlink and follow:
        try:
            target = find(image.chain, path, follow=True)
        except TreeError:
            pass  # it dangles: there is nothing but the link itself
        else:
            found = target if target.merged.entry.is_directory else found
    start = found.merged
    if not start.entry.is_directory:
        yield None, [Node(0, found.path, start.layer, start.entry)]
        return
    pending = [(found.path, start)]
    while pending:
        place, folder = pending.pop()
        held = list(listing(image.chain, folder))
        yield place, [Node(1, name, merged.layer, merged.entry) for name, merged in held]
        if recursive:
            prefix = place.rstrip(b"/") + b"/"
            pending += [(prefix + name, merged) for name, merged in reversed(held) if merged.entry.is_directory]


def long_lines(
    chain: Chain, nodes: Sequence[Node], shown: Callable[[bytes], bytes] = bytes, least: Sequence[int] = (0,) * 5
) -> Iterator[bytes]:
    """A line for each node as `ls -ln` writes it, the columns even.

    Mode, links, uid, gid, size in bytes or a device's numbers, time to the minute, name and a link's target, the last
    two as `shown` makes them. `least` are the least widths of the first five columns.
    """
    rows = [
        (stat.filemode(node.entry.mode), str(node.nlink(chain)), str(node.entry.uid), str(node.entry.gid), _size(node))
        for node in nodes
    ]
    widths = [max(width, *map(len, column)) for width, column in zip(least, zip(*rows, strict=True), strict=False)]
    for node, row in zip(nodes, rows, strict=True):
        columns = " ".join(text.rjust(width) for text, width in zip(row, widths, strict=True))
        target = b" -> " + shown(node.entry.target) if node.entry.target is not None else b""
        yield f"{columns} {_moment(node.entry.mtime_s)} ".encode() + shown(node.name) + target


def describe(chain: Chain, path: bytes, node: Node) -> dict[str, Any]:
    """All that there is to know of a node at a path, for JSON.

    The mode is octal digits, times are whole seconds since the epoch and nanoseconds, sizes bytes, values of extended
    attributes base64, and `layer` is the diff ID of the layer that it comes from. A path or a target that is no UTF-8
    stands beside its exact bytes in base64.
    """
    entry = node.entry
    told: dict[str, Any] = {**_text("path", path), "type": kind(entry.mode)}
    told |= {"mode": f"{stat.S_IMODE(entry.mode):04o}", "uid": entry.uid, "gid": entry.gid}
    if entry.is_regular:
        told["size"] = entry.size
    told |= {"mtime": entry.mtime_s, "mtimeNanoseconds": entry.mtime_ns, "nlink": node.nlink(chain)}
    if entry.target is not None:
        told |= _text("target", entry.target)
    if _is_device(node):
        told["device"] = [os.major(entry.rdev), os.minor(entry.rdev)]
    xattrs = node.xattrs(chain)
    told["xattrs"] = {name.decode(errors="replace"): b64encode(value).decode() for name, value in xattrs.items()}
    told["layer"] = chain.layers[node.layer].diff_id if len(chain) else None
    return told


def printable(name: bytes) -> bytes:
    """A name that steers no terminal: what is no printable UTF-8 as `\\x1b` or `\\u202e`."""
    text = os.fsdecode(name)
    return name if text.isprintable() else printable_text(text).encode()


def printable_text(text: str) -> str:
    """The same of text, in which `os.fsdecode` may have put bytes that are no UTF-8."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escaped(ord(letter)) for letter in text)


def _escaped(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, as `os.fsdecode` has it
        code -= 0xDC00
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _text(key: str, value: bytes) -> dict[str, str]:
    try:
        return {key: value.decode()}
    except UnicodeDecodeError:
        return {key: value.decode(errors="replace"), f"{key}Base64": b64encode(value).decode()}


def _is_device(node: Node) -> bool:
    return stat.S_ISCHR(node.entry.mode) or stat.S_ISBLK(node.entry.mode)


def _size(node: Node) -> str:
    if _is_device(node):
        return f"{os.major(node.entry.rdev)}, {os.minor(node.entry.rdev)}"
    return str(node.entry.size)


def _moment(seconds: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return str(seconds)  # beyond all calendars, as ls has it
