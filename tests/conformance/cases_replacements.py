"""Entries over existing files: in lower layers and earlier in the same tar, of every kind over every other."""

from itertools import permutations, product

from support.archives import TarEntry, directory, fifo, file, hardlink, symlink, whiteout

from .deviations import (
    COPIED_UP,
    DEVICE,
    IN_THE_WAY,
    NO_SUCH_FILE,
    NOT_A_DIRECTORY,
    NOT_OPAQUE,
    OLD_XATTRS,
    SINGLE_NAMES,
    STALE_TIME,
    UNPACKING_TIME,
    unexpected,
)
from .stacks import (
    ATTRIBUTES,
    DIRECTORIES_MERGE,
    LIKE_TAR,
    NO_DUPLICATES,
    REPLACED,
    WHITEOUT_BELOW,
    Deviates,
    Expected,
    Refuses,
    Stack,
    folder,
    implied,
    link,
    regular,
    special,
)

_KINDS = ("file", "directory", "symlink")


def _entries(kind: str, layer: int) -> list[TarEntry]:
    """One path of a kind; a directory has a file in it."""
    match kind:
        case "file":
            return [file("p", b"%d" % layer, mode=0o600 + layer)]
        case "directory":
            return [directory("p", mode=0o700 + layer), file(f"p/in-{layer}")]
        case _:
            return [symlink("p", f"target-{layer}")]


def _expected(kind: str, layer: int) -> dict[str, Expected]:
    match kind:
        case "file":
            return {"p": regular(b"%d" % layer, mode=0o600 + layer)}
        case "directory":
            return {"p": folder(mode=0o700 + layer), f"p/in-{layer}": regular()}
        case _:
            return {"p": link(f"target-{layer}")}


# Every kind over every other, and over itself: in two layers and in one.
_PAIRS = [
    Stack(
        f"{upper}-over-{lower}",
        DIRECTORIES_MERGE if upper == lower == "directory" else REPLACED,
        _entries(lower, 1),
        _entries(upper, 2),
        tree=(_expected(lower, 1) if upper == lower == "directory" else {}) | _expected(upper, 2),
    )
    for lower, upper in product(_KINDS, repeat=2)
]

# Three kinds over three layers, in all orders: what the lowest has must not come back.
_CHAINS = [
    Stack(
        "-then-".join(order),
        REPLACED,
        *(_entries(kind, number) for number, kind in enumerate(order, 1)),
        tree=_expected(order[-1], 3),
    )
    for order in permutations(_KINDS)
] + [
    Stack(
        f"directory-then-{between}-then-directory",
        REPLACED,
        _entries("directory", 1),
        _entries(between, 2),
        _entries("directory", 3),
        tree=_expected("directory", 3),
    )
    for between in ("file", "symlink")
]

# Of the directory that was there before the link, the time is set at the end: of what the link leads to.
_DANGLING_TIME = {"podman containerd": Refuses(STALE_TIME, NO_SUCH_FILE)}

_DUPLICATES = [
    Stack(
        f"{second}-after-{first}-in-one-tar",
        NO_DUPLICATES,
        [*_entries(first, 1), *_entries(second, 2)],
        tree=(_expected(first, 1) if first == second == "directory" else {}) | _expected(second, 2),
        peers=_DANGLING_TIME if (first, second) == ("directory", "symlink") else {"podman": SINGLE_NAMES},
    )
    for first, second in product(_KINDS, repeat=2)
]

_MORE_DUPLICATES = [
    Stack(
        "duplicates-of-one-file",
        NO_DUPLICATES,
        [file("a", b"first", mode=0o600), file("b"), file("a", b"second", uid=3), file("a", b"third")],
        tree={"a": regular(b"third"), "b": regular()},
        peers={"podman": SINGLE_NAMES},
    ),
    Stack(
        "directory-entry-after-its-files",
        LIKE_TAR,
        [file("d/a"), directory("d", mode=0o711, uid=3)],
        tree={"d": folder(mode=0o711, uid=3), "d/a": regular()},
    ),
    Stack(
        "directory-entry-before-its-files",
        LIKE_TAR,
        [directory("d", mode=0o711, uid=3), file("d/a")],
        tree={"d": folder(mode=0o711, uid=3), "d/a": regular()},
    ),
    Stack(
        "directory-after-a-file-in-one-tar-over-a-directory",
        REPLACED,
        # The file replaces the lower directory, so nothing of that is in the directory that replaces the file.
        [directory("p"), file("p/lower")],
        [file("p"), directory("p", mode=0o711), file("p/upper")],
        tree={"p": folder(mode=0o711), "p/upper": regular()},
        peers={"podman": SINGLE_NAMES, "containerd-overlayfs": unexpected(NOT_OPAQUE, "p/lower")},
    ),
    Stack(
        "directory-after-a-symlink-in-one-tar-over-a-directory",
        REPLACED,
        [directory("p"), file("p/lower")],
        [symlink("p", "q"), directory("p", mode=0o711), file("p/upper")],
        tree={"p": folder(mode=0o711), "p/upper": regular()},
        peers={"podman": SINGLE_NAMES, "containerd-overlayfs": unexpected(NOT_OPAQUE, "p/lower")},
    ),
    Stack(
        "duplicate-of-a-hard-linked-file",
        NO_DUPLICATES,
        # Removing and recreating a path leaves its inode to the other names.
        [file("a", b"old"), hardlink("b", "a"), file("a", b"new")],
        tree={"a": regular(b"new"), "b": regular(b"old")},
        peers={"podman": SINGLE_NAMES},
    ),
    Stack(
        "duplicate-hard-link",
        NO_DUPLICATES,
        [file("a", b"x"), hardlink("b", "a"), hardlink("b", "a")],
        tree={"a": regular(b"x", links=["a", "b"]), "b": regular(b"x", links=["a", "b"])},
        peers={"podman": SINGLE_NAMES},
    ),
    Stack(
        "fifo-after-a-file-in-one-tar",
        NO_DUPLICATES,
        [file("a", b"x"), fifo("a")],
        tree={"a": special("fifo")},
        peers={"podman": SINGLE_NAMES},
    ),
    Stack(
        "xattrs-of-a-duplicate",
        NO_DUPLICATES,
        [file("a", xattrs={"user.first": b"1"}), file("a", xattrs={"user.second": b"2"})],
        tree={"a": regular(xattrs={"user.second": b"2"})},
        peers={"podman": SINGLE_NAMES},
    ),
]

_ATTRIBUTES = [
    Stack(
        "file-over-a-hard-linked-file",
        REPLACED,
        [file("a", b"old"), hardlink("b", "a")],
        [file("a", b"new")],
        tree={"a": regular(b"new"), "b": regular(b"old")},
        peers={"containerd-overlayfs": Deviates(COPIED_UP, {"b": "nlink"})},
    ),
    Stack(
        "attributes-of-a-directory-are-replaced",
        DIRECTORIES_MERGE,
        [directory("d", mode=0o1777, uid=1, gid=2, mtime=1), file("d/a")],
        [directory("d", mode=0o750, uid=3, gid=4, mtime=5)],
        tree={"d": folder(mode=0o750, uid=3, gid=4, mtime_ns=5_000_000_000), "d/a": regular()},
        parent_times=True,
    ),
    Stack(
        "xattrs-of-a-directory-are-replaced",
        DIRECTORIES_MERGE,
        [directory("d", xattrs={"user.old": b"1", "user.both": b"1"}), file("d/a")],
        [directory("d", xattrs={"user.new": b"2", "user.both": b"2"})],
        tree={"d": folder(xattrs={"user.new": b"2", "user.both": b"2"}), "d/a": regular()},
        peers={"podman containerd-native": Deviates(OLD_XATTRS, {"d": "xattrs"})},
    ),
    Stack(
        "xattrs-of-a-file-are-replaced",
        REPLACED,
        [file("a", xattrs={"user.old": b"1"})],
        [file("a")],
        tree={"a": regular()},
    ),
    Stack(
        "implied-parent-keeps-the-attributes-of-below",
        ATTRIBUTES,
        [directory("d", mode=0o1770, uid=1, gid=2, xattrs={"user.note": b"kept"}), file("d/a")],
        [file("d/b")],
        tree={
            "d": folder(mode=0o1770, uid=1, gid=2, xattrs={"user.note": b"kept"}),
            "d/a": regular(),
            "d/b": regular(),
        },
    ),
    Stack(
        "implied-parent-keeps-the-time-of-below",
        ATTRIBUTES,
        [directory("d", mtime=7)],
        [file("d/b")],
        tree={"d": folder(mtime_ns=7_000_000_000), "d/b": regular()},
        parent_times=True,
        peers={"podman containerd": Deviates(UNPACKING_TIME, {"d": "mtime_ns"})},
    ),
    Stack(
        "implied-parent-of-a-whiteout-keeps-the-time-of-below",
        ATTRIBUTES,
        [directory("d", mtime=7), file("d/a"), file("d/b")],
        [whiteout("d/a")],
        tree={"d": folder(mtime_ns=7_000_000_000), "d/b": regular()},
        parent_times=True,
        peers={"podman containerd": Deviates(UNPACKING_TIME, {"d": "mtime_ns"})},
    ),
    Stack(
        "implied-parents-all-the-way",
        LIKE_TAR,
        [file("a/b/c/d")],
        tree={"a": implied(), "a/b": implied(), "a/b/c": implied(), "a/b/c/d": regular()},
    ),
    Stack(
        "implied-parent-gets-its-entry-above",
        DIRECTORIES_MERGE,
        [file("d/a")],
        [directory("d", mode=0o711, uid=5)],
        tree={"d": folder(mode=0o711, uid=5), "d/a": regular()},
    ),
    Stack(
        "implied-parent-over-a-file",
        # An extractor fails here; a chain of valid layers has to mean something, and the upper layer decides.
        REPLACED,
        [file("p", b"file"), file("q")],
        [file("p/a")],
        tree={"p": implied(), "p/a": regular(), "q": regular()},
        peers={"umoci podman containerd-native": Refuses(IN_THE_WAY, NOT_A_DIRECTORY)},
    ),
    Stack(
        "directory-entry-over-a-file",
        REPLACED,
        [file("p", b"file"), file("q")],
        [directory("p"), file("p/a")],
        tree={"p": folder(), "p/a": regular(), "q": regular()},
    ),
    Stack(
        "removed-directory-implied-by-two-layers",
        WHITEOUT_BELOW,
        [directory("d", mode=0o700, uid=9), file("d/a")],
        [whiteout("d"), file("d/b")],
        [file("d/c")],
        tree={"d": implied(), "d/b": regular(), "d/c": regular()},
        peers={"containerd-overlayfs": Refuses(DEVICE, NOT_A_DIRECTORY)},
    ),
]

STACKS = [*_PAIRS, *_CHAINS, *_DUPLICATES, *_MORE_DUPLICATES, *_ATTRIBUTES]
