"""Sparse files in every form that GNU tar writes."""

from collections.abc import Callable

from support.archives import MTIME, file, hardlink
from support.headers import Pieces, old_gnu_sparse, pax_sparse

from .deviations import LINK_TO_LOWER, OLD_GNU
from .stacks import REPLACED, SPARSE, Refuses, Stack, regular

FORMS: dict[str, Callable[..., bytes]] = {
    "old-gnu": lambda *arguments: old_gnu_sparse(*arguments, mtime=MTIME),
    "pax-0.0": lambda *arguments: pax_sparse(*arguments, "0.0", mtime=MTIME),
    "pax-0.1": lambda *arguments: pax_sparse(*arguments, "0.1", mtime=MTIME),
    "pax-1.0": lambda *arguments: pax_sparse(*arguments, "1.0", mtime=MTIME),
}


def expanded(pieces: Pieces, size: int) -> bytes:
    """The content with its holes."""
    content = bytearray(size)
    for offset, data in pieces:
        content[offset : offset + len(data)] = data
    return bytes(content)


def blocks(pieces: Pieces) -> int:
    """st_blocks: what is stored, in units of 512 bytes, as a disk would not have the holes either."""
    return -(-sum(len(data) for _, data in pieces) // 512)


SHAPES: dict[str, tuple[Pieces, int]] = {
    "hole-first": ([(8192, b"end" * 100)], 8492),
    "hole-last": ([(0, b"begin" * 1000)], 100_000),
    "holes-between": ([(0, b"a" * 512), (4096, b"b" * 1024), (16384, b"c" * 100)], 20_000),
    "all-hole": ([], 65_536),
    # More pieces than the header of an old GNU entry has room for, and than one extension block.
    "many-pieces": ([(number * 4096, b"%d" % (number % 10) * 512) for number in range(40)], 200_000),
}

_OLD_GNU = {
    "umoci": Refuses(OLD_GNU, "unknown typeflag"),
    "podman containerd": Refuses(OLD_GNU, "unhandled tar header type 83"),
}

_EVERY_FORM = [
    Stack(
        f"sparse-{form}-{shape}",
        SPARSE,
        # What follows must still be found: the map and the data have sizes of their own.
        [make(b"s", pieces, size), file("after", b"after")],
        tree={"s": regular(expanded(pieces, size), blocks=blocks(pieces)), "after": regular(b"after", blocks=1)},
        peers=_OLD_GNU if form == "old-gnu" else None,
    )
    for form, make in FORMS.items()
    for shape, (pieces, size) in SHAPES.items()
]

_PIECES, _SIZE = SHAPES["holes-between"]

_LAYERED = [
    Stack(
        "sparse-file-over-a-file",
        REPLACED,
        [file("s", b"plain")],
        [FORMS["pax-1.0"](b"s", _PIECES, _SIZE)],
        tree={"s": regular(expanded(_PIECES, _SIZE), blocks=blocks(_PIECES))},
    ),
    Stack(
        "file-over-a-sparse-file",
        REPLACED,
        [FORMS["pax-0.1"](b"s", _PIECES, _SIZE)],
        [file("s", b"plain")],
        tree={"s": regular(b"plain", blocks=1)},
    ),
    Stack(
        "hard-link-to-a-sparse-file",
        SPARSE,
        [FORMS["pax-1.0"](b"s", _PIECES, _SIZE), hardlink("t", "s")],
        [hardlink("u", "s")],
        tree={
            path: regular(expanded(_PIECES, _SIZE), blocks=blocks(_PIECES), links=["s", "t", "u"])
            for path in ("s", "t", "u")
        },
        peers=LINK_TO_LOWER,
    ),
]

STACKS = [*_EVERY_FORM, *_LAYERED]
