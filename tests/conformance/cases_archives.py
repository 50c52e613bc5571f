"""What a layer is as an archive: names in every spelling, the root's entry, empty layers, layers that come twice."""

from support.archives import directory, file, hardlink, symlink, whiteout
from support.headers import header, padded, pax

from .deviations import LINK_TO_LOWER, ROOT
from .stacks import (
    ATTRIBUTES,
    DIRECTORIES_MERGE,
    LIKE_TAR,
    REPLACED,
    WHITEOUT_BELOW,
    Deviates,
    Stack,
    folder,
    implied,
    link,
    regular,
    tar,
)

_NAMES = [
    Stack(
        "name-with-leading-dot",
        LIKE_TAR,
        [file("./a"), directory("./d"), file("./d/b")],
        tree={"a": regular(), "d": folder(), "d/b": regular()},
    ),
    Stack(
        "name-with-leading-slash",
        LIKE_TAR,
        [file("/a"), directory("/d"), file("/d/b")],
        tree={"a": regular(), "d": folder(), "d/b": regular()},
    ),
    Stack(
        "name-with-doubled-slashes",
        LIKE_TAR,
        [file("d//a"), file("d/./b"), file(".//d///c")],
        tree={"d": implied(), "d/a": regular(), "d/b": regular(), "d/c": regular()},
    ),
    Stack(
        "spellings-of-one-name-in-two-layers",
        REPLACED,
        [file("./a", b"1"), file("/b", b"1"), file("c", b"1")],
        [file("a", b"2"), file("./b", b"2"), file("/c", b"2")],
        tree={"a": regular(b"2"), "b": regular(b"2"), "c": regular(b"2")},
    ),
    Stack(
        "spellings-of-a-whiteout",
        WHITEOUT_BELOW,
        [file("a"), file("./b"), file("d/c"), file("e")],
        [file("./.wh.a"), file("/.wh.b"), file("./d/.wh.c")],
        tree={"e": regular(), "d": implied()},
    ),
    Stack(
        "names-that-look-special",
        LIKE_TAR,
        [
            file("..a"),
            file("..."),
            file("-n"),
            file(" "),
            file("a\nb"),
            file("*"),
            file("wh.x"),
            file("a.wh.b"),
            file("\\"),
        ],
        tree={name: regular() for name in ("..a", "...", "-n", " ", "a\nb", "*", "wh.x", "a.wh.b", "\\")},
    ),
    Stack(
        "names-of-255-bytes",
        LIKE_TAR,
        [directory("d" * 255), file("d" * 255 + "/" + "f" * 255), file("é" * 127 + "x"), symlink("l" * 255, "t" * 255)],
        tree={
            "d" * 255: folder(),
            "d" * 255 + "/" + "f" * 255: regular(),
            "é" * 127 + "x": regular(),
            "l" * 255: link("t" * 255),
        },
    ),
    Stack(
        "names-of-255-bytes-over-layers",
        WHITEOUT_BELOW,
        [file("f" * 255, b"1"), file("g" * 251), directory("d" * 251), file("d" * 251 + "/a")],
        # The prefix leaves a whiteout 251 bytes for the name.
        [file("f" * 255, b"2"), whiteout("g" * 251), whiteout("d" * 251)],
        tree={"f" * 255: regular(b"2")},
    ),
    Stack("name-of-256-bytes", LIKE_TAR, [file("f" * 256)], invalid="255"),
    Stack(
        "names-in-many-scripts",
        LIKE_TAR,
        # Equal to the eye and not to the file system: composed and decomposed.
        [file("é"), file("e\u0301"), file("日本語"), symlink("ссылка", "日本語"), hardlink("ж", "日本語")],
        tree={
            "é": regular(),
            "e\u0301": regular(),
            "日本語": regular(links=["日本語", "ж"]),
            "ж": regular(links=["日本語", "ж"]),
            "ссылка": link("日本語"),
        },
    ),
    Stack(
        "names-that-are-not-utf-8",
        LIKE_TAR,
        # The ustar fields hold bytes, whatever they are.
        [header(b"\xff\xfe", mtime=1_600_000_000), header(b"caf\xe9", b"2", mtime=1_600_000_000, link=b"\xff\xfe")],
        [header(b"caf\xe9-link", b"1", link=b"\xff\xfe", mtime=1_600_000_000)],
        tree={
            b"\xff\xfe": regular(links=[b"\xff\xfe", b"caf\xe9-link"]),
            b"caf\xe9-link": regular(links=[b"\xff\xfe", b"caf\xe9-link"]),
            b"caf\xe9": link(b"\xff\xfe"),
        },
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "names-that-are-not-utf-8-in-pax-records",
        LIKE_TAR,
        [
            pax({b"hdrcharset": b"BINARY", b"path": b"n" * 150 + b"\xff"}) + header(mtime=1_600_000_000),
            pax({b"hdrcharset": b"BINARY", b"path": b"s\xfe", b"linkpath": b"\xff" * 150})
            + header(flag=b"2", link=b"x", mtime=1_600_000_000),
        ],
        tree={b"n" * 150 + b"\xff": regular(), b"s\xfe": link(b"\xff" * 150)},
    ),
    Stack(
        "name-of-a-path-that-climbs",
        # Climbing stops at the root, as for any path on Linux.
        LIKE_TAR,
        [directory("d"), file("d/../a", b"a"), file("../../b", b"b")],
        tree={"d": folder(), "a": regular(b"a"), "b": regular(b"b")},
    ),
    Stack(
        "long-symlink-targets",
        LIKE_TAR,
        [symlink("a", "t" * 101), symlink("b", "x/" * 500), symlink("c", "y/" * 2047)],
        tree={"a": link("t" * 101), "b": link("x/" * 500), "c": link("y/" * 2047)},
    ),
]


def _gnu(flag: bytes, payload: bytes) -> bytes:
    """The entry with a long name ("L") or link ("K") that GNU tar puts before a member."""
    return header(b"././@LongLink", flag, size=len(payload) + 1, magic=b"ustar  \0") + padded(payload + b"\0")


_LONG_NAME, _LONG_LINK = b"/".join([b"n" * 99] * 3), b"/".join([b"l" * 99] * 4)
_GNU = {"magic": b"ustar  \0", "mtime": 1_600_000_000}

_LONG = [
    Stack(
        "gnu-long-name",
        LIKE_TAR,
        [_gnu(b"L", _LONG_NAME) + header(_LONG_NAME[:100], **_GNU), file("after")],
        tree={
            b"n" * 99: implied(),
            b"/".join([b"n" * 99] * 2): implied(),
            _LONG_NAME: regular(),
            "after": regular(),
        },
    ),
    Stack(
        "gnu-long-link",
        LIKE_TAR,
        [_gnu(b"K", _LONG_LINK) + header(b"s", b"2", link=_LONG_LINK[:100], **_GNU)],
        tree={"s": link(_LONG_LINK)},
    ),
    Stack(
        "gnu-long-name-and-link",
        LIKE_TAR,
        [_gnu(b"K", b"t" * 150) + _gnu(b"L", b"s" * 150) + header(b"s" * 100, b"2", link=b"t" * 100, **_GNU)],
        [_gnu(b"L", b"h" * 150) + _gnu(b"K", b"s" * 150) + header(b"h" * 100, b"1", link=b"s" * 100, **_GNU)],
        tree={
            b"s" * 150: link(b"t" * 150, links=[b"s" * 150, b"h" * 150]),
            b"h" * 150: link(b"t" * 150, links=[b"s" * 150, b"h" * 150]),
        },
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "gnu-long-name-that-is-not-utf-8",
        LIKE_TAR,
        [_gnu(b"L", b"\xff" * 150) + header(b"\xff" * 100, **_GNU)],
        tree={b"\xff" * 150: regular()},
    ),
    Stack(
        "gnu-long-name-of-a-whiteout",
        WHITEOUT_BELOW,
        [_gnu(b"L", b"w" * 150) + header(b"w" * 100, **_GNU), file("b")],
        [_gnu(b"L", b".wh." + b"w" * 150) + header(b".wh.", **_GNU)],
        tree={"b": regular()},
    ),
    Stack(
        "ustar-prefix",
        LIKE_TAR,
        [header(b"name", mtime=1_600_000_000, tail=bytes(16) + b"p" * 100 + b"/q")],
        tree={"p" * 100: implied(), "p" * 100 + "/q": implied(), "p" * 100 + "/q/name": regular()},
    ),
    Stack(
        "v7-header",
        LIKE_TAR,
        [
            header(b"d/", b"\0", magic=bytes(8), mode=0o755, mtime=1_600_000_000),
            header(b"d/a", b"\0", magic=bytes(8), mtime=1_600_000_000),
        ],
        tree={"d": folder(), "d/a": regular()},
    ),
]

_ROOT = [
    Stack(
        "root-entry-dot",
        ATTRIBUTES,
        [directory(".", mode=0o711, uid=6, gid=7, mtime=5), file("./a")],
        tree={".": folder(mode=0o711, uid=6, gid=7, mtime_ns=5_000_000_000), "a": regular()},
        peers={"containerd": Deviates(ROOT, {".": "gid mode mtime_ns uid"})},
    ),
    Stack(
        "root-entry-dot-slash",
        ATTRIBUTES,
        [header(b"./", b"5", mode=0o711, uid=6, gid=7, mtime=5), file("./a")],
        tree={".": folder(mode=0o711, uid=6, gid=7, mtime_ns=5_000_000_000), "a": regular()},
        peers={"containerd": Deviates(ROOT, {".": "gid mode mtime_ns uid"})},
    ),
    Stack(
        "root-entry-slash",
        ATTRIBUTES,
        [header(b"/", b"5", mode=0o711, uid=6, gid=7, mtime=5), file("/a")],
        tree={".": folder(mode=0o711, uid=6, gid=7, mtime_ns=5_000_000_000), "a": regular()},
        peers={"containerd": Deviates(ROOT, {".": "gid mode mtime_ns uid"})},
    ),
    Stack(
        "root-entry-in-two-layers",
        DIRECTORIES_MERGE,
        [directory("./", mode=0o711, uid=6, mtime=5), file("a")],
        [directory(".", mode=0o750, gid=9, mtime=6), file("b")],
        tree={".": folder(mode=0o750, gid=9, mtime_ns=6_000_000_000), "a": regular(), "b": regular()},
        peers={"containerd": Deviates(ROOT, {".": "gid mode mtime_ns"})},
    ),
    Stack(
        "root-entry-below-a-layer-without",
        ATTRIBUTES,
        [directory("./", mode=0o711, uid=6, gid=7), file("a")],
        [file("b")],
        tree={".": folder(mode=0o711, uid=6, gid=7), "a": regular(), "b": regular()},
        peers={"containerd": Deviates(ROOT, {".": "gid mode mtime_ns uid"})},
    ),
    Stack(
        "root-entry-with-xattrs",
        ATTRIBUTES,
        [directory("./", xattrs={"user.note": b"root"}), file("a")],
        tree={".": folder(xattrs={"user.note": b"root"}), "a": regular()},
        peers={"containerd": Deviates(ROOT, {".": "mtime_ns xattrs"})},
    ),
]

_A, _B = [file("a", b"1"), file("x")], [whiteout("x"), file("b", b"2")]

_LAYERS = [
    Stack("empty-layer-alone", LIKE_TAR, [], tree={}),
    Stack("empty-layer-first", LIKE_TAR, [], [file("a")], tree={"a": regular()}),
    Stack("empty-layer-in-the-middle", LIKE_TAR, [file("a")], [], [file("b")], tree={"a": regular(), "b": regular()}),
    Stack("empty-layer-last", LIKE_TAR, [file("a")], [], tree={"a": regular()}),
    Stack("zero-byte-layer-alone", LIKE_TAR, b"", tree={}),
    Stack("zero-byte-layer-first", LIKE_TAR, b"", [file("a")], tree={"a": regular()}),
    Stack("zero-byte-layer-last", LIKE_TAR, [file("a")], b"", tree={"a": regular()}),
    Stack("same-layer-twice", LIKE_TAR, _A, _A, tree={"a": regular(b"1"), "x": regular()}),
    Stack(
        "same-layer-twice-around-another",
        WHITEOUT_BELOW,
        _A,
        _B,
        _A,
        tree={"a": regular(b"1"), "b": regular(b"2"), "x": regular()},
    ),
    Stack("same-whiteout-layer-twice", WHITEOUT_BELOW, _A, _B, _B, tree={"a": regular(b"1"), "b": regular(b"2")}),
    Stack(
        "same-layer-twice-with-hard-links",
        REPLACED,
        [file("a", b"1"), hardlink("b", "a")],
        [file("c")],
        [file("a", b"1"), hardlink("b", "a")],
        tree={"a": regular(b"1", links=["a", "b"]), "b": regular(b"1", links=["a", "b"]), "c": regular()},
    ),
    Stack(
        "layer-without-end-of-archive",
        LIKE_TAR,
        tar(file("a", b"1"))[:-1024],
        [file("b")],
        tree={"a": regular(b"1"), "b": regular()},
    ),
    Stack(
        "layer-with-much-padding",
        LIKE_TAR,
        tar(file("a", b"1")) + bytes(20 * 512),
        [file("b")],
        tree={"a": regular(b"1"), "b": regular()},
    ),
    Stack(
        "layer-with-bytes-after-its-end",
        LIKE_TAR,
        tar(file("a", b"1")) + tar(file("hidden")),
        tree={"a": regular(b"1")},
    ),
]


def _many_layers(count: int) -> Stack:
    """Every layer adds a file, replaces one, and removes one of the layer before."""
    layers = [[directory("d", mtime=1), file("first", b"first"), file("replaced", b"1"), file("d/only-1")]]
    layers += [
        [
            file(f"added-{number}", b"%d" % number),
            file("replaced", b"%d" % number),
            whiteout(f"d/only-{number - 1}"),
            file(f"d/only-{number}"),
        ]
        for number in range(2, count + 1)
    ]
    return Stack(
        f"{count}-layers",
        REPLACED,
        *layers,
        tree={
            "first": regular(b"first"),
            "replaced": regular(b"%d" % count),
            "d": folder(mtime_ns=1_000_000_000),
            f"d/only-{count}": regular(),
            **{f"added-{number}": regular(b"%d" % number) for number in range(2, count + 1)},
        },
    )


def _paths(*names: str) -> list[str]:
    """The paths of directories that lie in each other."""
    return ["/".join(names[:depth]) for depth in range(1, len(names) + 1)]


# As deep as the peers take without running for minutes, and what removes their folders without recursing too deep.
# 14 names of 255 bytes leave the peers some bytes of PATH_MAX for where they unpack.
_DEEP, _LONG_PATH = _paths(*"d" * 400), _paths(*(chr(ord("a") + number) * 255 for number in range(14)))

_EXTREMES = [
    _many_layers(127),
    Stack(
        "depth-of-400-names",
        LIKE_TAR,
        [file(f"{_DEEP[-1]}/old"), file(f"{_DEEP[-1]}/gone"), file(f"{_DEEP[199]}/half", b"half")],
        [file(f"{_DEEP[-1]}/new", b"new"), whiteout(f"{_DEEP[-1]}/gone")],
        tree={
            **dict.fromkeys(_DEEP, implied()),
            f"{_DEEP[199]}/half": regular(b"half"),
            f"{_DEEP[-1]}/old": regular(),
            f"{_DEEP[-1]}/new": regular(b"new"),
        },
    ),
    Stack(
        "path-of-3600-bytes",
        LIKE_TAR,
        [file(f"{_LONG_PATH[-1]}/old"), file(f"{_LONG_PATH[-1]}/gone"), symlink("l", _LONG_PATH[-1])],
        [
            file(f"{_LONG_PATH[-1]}/new-of-16-bytes", b"new"),
            whiteout(f"{_LONG_PATH[-1]}/gone"),
            hardlink("h", f"{_LONG_PATH[-1]}/new-of-16-bytes"),
        ],
        tree={
            **dict.fromkeys(_LONG_PATH, implied()),
            f"{_LONG_PATH[-1]}/old": regular(),
            f"{_LONG_PATH[-1]}/new-of-16-bytes": regular(b"new", links=["h", f"{_LONG_PATH[-1]}/new-of-16-bytes"]),
            "h": regular(b"new", links=["h", f"{_LONG_PATH[-1]}/new-of-16-bytes"]),
            "l": link(_LONG_PATH[-1]),
        },
    ),
]

STACKS = [*_NAMES, *_LONG, *_ROOT, *_LAYERS, *_EXTREMES]
