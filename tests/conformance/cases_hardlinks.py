"""Hard links: within a layer, across layers, and to what is replaced, removed or not there yet."""

from support.archives import character_device, directory, fifo, file, hardlink, symlink, whiteout

from .deviations import COPIED_UP, LINK_ATTRIBUTES, LINK_TO_LOWER, LINK_TO_NOTHING, SINGLE_NAMES
from .stacks import (
    HARD_LINK_OUTSIDE,
    HARD_LINKS,
    LIKE_TAR,
    REPLACED,
    WHITEOUT_BELOW,
    Deviates,
    Stack,
    folder,
    implied,
    link,
    regular,
    special,
)


def _twins(*paths, data=b"x", **more):
    """Several names of one regular file."""
    return {path: regular(data, links=paths, **more) for path in paths}


_WITHIN = [
    Stack(
        "hard-link",
        HARD_LINKS,
        [file("a", b"x", uid=4, mode=0o640), hardlink("b", "a", uid=4, mode=0o640)],
        tree=_twins("a", "b", uid=4, mode=0o640),
    ),
    Stack(
        "hard-link-with-attributes-of-its-own",
        # A name has no attributes: they are the inode's, and the entry of a link does not change it.
        HARD_LINKS,
        [file("a", b"x", mode=0o640, uid=4, mtime=5), hardlink("b", "a", mode=0o600, uid=5, mtime=6)],
        tree=_twins("a", "b", mode=0o640, uid=4, mtime_ns=5_000_000_000),
        peers={"podman containerd": Deviates(LINK_ATTRIBUTES, {"a": "mode mtime_ns uid", "b": "mode mtime_ns uid"})},
    ),
    Stack(
        "three-hard-links",
        HARD_LINKS,
        [file("a", b"x"), directory("d"), hardlink("d/b", "a"), hardlink("c", "d/b")],
        tree=_twins("a", "d/b", "c") | {"d": folder()},
    ),
    Stack("hard-link-with-a-leading-slash", HARD_LINKS, [file("a", b"x"), hardlink("b", "/a")], tree=_twins("a", "b")),
    Stack(
        "hard-link-with-a-leading-dot", HARD_LINKS, [file("./a", b"x"), hardlink("./b", "./a")], tree=_twins("a", "b")
    ),
    Stack(
        "hard-link-to-a-symlink",
        HARD_LINKS,
        [file("t", b"t"), symlink("a", "t"), hardlink("b", "a")],
        tree={"t": regular(b"t"), "a": link("t", links=["a", "b"]), "b": link("t", links=["a", "b"])},
    ),
    Stack(
        "hard-link-to-a-dangling-symlink",
        HARD_LINKS,
        [symlink("a", "nowhere"), hardlink("b", "a")],
        tree={"a": link("nowhere", links=["a", "b"]), "b": link("nowhere", links=["a", "b"])},
    ),
    Stack(
        "hard-link-to-a-fifo-and-to-a-device",
        HARD_LINKS,
        [fifo("a"), hardlink("b", "a"), character_device("c", 1, 3), hardlink("d", "c")],
        tree={
            "a": special("fifo", links=["a", "b"]),
            "b": special("fifo", links=["a", "b"]),
            "c": special("character device", rdev=0x103, links=["c", "d"]),
            "d": special("character device", rdev=0x103, links=["c", "d"]),
        },
    ),
    Stack(
        "hard-link-to-a-replaced-file",
        HARD_LINKS,
        [file("a", b"old"), file("a", b"new"), hardlink("b", "a")],
        tree=_twins("a", "b", data=b"new"),
        peers={"podman": SINGLE_NAMES},
    ),
    Stack(
        "hard-link-over-a-file-of-its-own-layer",
        HARD_LINKS,
        [file("a", b"x"), file("b", b"y"), hardlink("b", "a")],
        tree=_twins("a", "b"),
        peers={"podman": SINGLE_NAMES},
    ),
    Stack(
        "hard-link-with-xattrs",
        HARD_LINKS,
        [file("a", b"x", xattrs={"user.note": b"1"}), hardlink("b", "a")],
        tree=_twins("a", "b", xattrs={"user.note": b"1"}),
    ),
]

_ACROSS = [
    Stack(
        "hard-link-to-a-file-of-the-layer-below",
        HARD_LINK_OUTSIDE,
        [file("a", b"x")],
        [hardlink("b", "a")],
        tree=_twins("a", "b"),
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "hard-link-to-a-file-of-two-layers-below",
        HARD_LINK_OUTSIDE,
        [file("a", b"x")],
        [file("c")],
        [hardlink("b", "a")],
        tree=_twins("a", "b") | {"c": regular()},
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "hard-links-in-every-layer",
        HARD_LINK_OUTSIDE,
        [file("a", b"x"), hardlink("b", "a")],
        [hardlink("c", "b")],
        [hardlink("d", "c")],
        tree=_twins("a", "b", "c", "d"),
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "chain-of-hard-links-in-the-upper-layer",
        HARD_LINK_OUTSIDE,
        [file("a", b"x")],
        [hardlink("b", "a"), hardlink("c", "b"), hardlink("d", "c")],
        tree=_twins("a", "b", "c", "d"),
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "hard-link-to-a-symlink-of-the-layer-below",
        HARD_LINK_OUTSIDE,
        [symlink("a", "t"), file("t")],
        [hardlink("b", "a")],
        tree={"a": link("t", links=["a", "b"]), "b": link("t", links=["a", "b"]), "t": regular()},
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "hard-link-to-a-device-of-the-layer-below",
        HARD_LINK_OUTSIDE,
        [character_device("a", 1, 3)],
        [hardlink("b", "a")],
        tree={
            "a": special("character device", rdev=0x103, links=["a", "b"]),
            "b": special("character device", rdev=0x103, links=["a", "b"]),
        },
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "hard-link-to-a-lower-file-that-is-replaced-later",
        REPLACED,
        [file("a", b"old")],
        [hardlink("b", "a"), file("a", b"new")],
        tree={"a": regular(b"new"), "b": regular(b"old")},
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "hard-link-to-a-lower-file-that-is-replaced-before",
        HARD_LINKS,
        [file("a", b"old")],
        [file("a", b"new"), hardlink("b", "a")],
        tree=_twins("a", "b", data=b"new"),
    ),
    Stack(
        "hard-link-to-a-lower-file-that-a-third-layer-replaces",
        REPLACED,
        [file("a", b"old")],
        [hardlink("b", "a")],
        [file("a", b"new")],
        tree={"a": regular(b"new"), "b": regular(b"old")},
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "hard-link-to-a-lower-file-that-a-third-layer-removes",
        WHITEOUT_BELOW,
        [file("a", b"x")],
        [hardlink("b", "a")],
        [whiteout("a")],
        tree={"b": regular(b"x")},
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "hard-link-that-a-third-layer-removes",
        WHITEOUT_BELOW,
        [file("a", b"x")],
        [hardlink("b", "a")],
        [whiteout("b")],
        tree={"a": regular(b"x")},
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "hard-link-to-a-lower-file-whose-directory-is-removed",
        WHITEOUT_BELOW,
        [directory("d"), file("d/a", b"x")],
        [hardlink("b", "d/a")],
        [whiteout("d")],
        tree={"b": regular(b"x")},
        peers=LINK_TO_LOWER,
    ),
    Stack(
        # A rename of a hard-linked file: the whiteout is for what is below, and the link is made before or after it.
        "hard-link-and-whiteout-of-its-target",
        WHITEOUT_BELOW,
        [file("a", b"x"), hardlink("c", "a")],
        [hardlink("b", "c"), whiteout("a")],
        tree=_twins("b", "c"),
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "hard-link-over-a-lower-file",
        REPLACED,
        [file("a", b"x"), file("b", b"y")],
        [hardlink("b", "a")],
        tree=_twins("a", "b"),
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "hard-link-over-a-lower-directory",
        REPLACED,
        [file("a", b"x"), directory("b"), file("b/c")],
        [hardlink("b", "a")],
        tree=_twins("a", "b"),
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "hard-link-over-a-lower-symlink",
        REPLACED,
        [file("a", b"x"), symlink("b", "a")],
        [hardlink("b", "a")],
        tree=_twins("a", "b"),
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "hard-link-of-a-lower-file-to-itself",
        # A layer that changes nothing of a hard-linked file may still list it under its own name.
        HARD_LINKS,
        [file("a", b"x"), hardlink("b", "a")],
        [file("a", b"y"), hardlink("b", "a")],
        tree=_twins("a", "b", data=b"y"),
    ),
    Stack(
        "one-name-of-a-hard-linked-file-replaced",
        REPLACED,
        [file("a", b"x"), hardlink("b", "a"), hardlink("c", "a")],
        [file("b", b"y")],
        tree=_twins("a", "c") | {"b": regular(b"y")},
        peers={"containerd-overlayfs": Deviates(COPIED_UP, {"a": "nlink", "c": "nlink"})},
    ),
    Stack(
        "hard-link-in-an-implied-directory",
        HARD_LINK_OUTSIDE,
        [directory("d"), file("d/a", b"x")],
        [hardlink("e/b", "d/a")],
        tree=_twins("d/a", "e/b") | {"d": folder(), "e": implied()},
        peers=LINK_TO_LOWER,
    ),
]

_WITHOUT_TARGET = [
    Stack(
        # tar(1) complains and leaves the link out; who reads the whole tar before, as Python's tarfile, has it.
        "hard-link-before-its-target",
        LIKE_TAR,
        [hardlink("b", "a"), file("a", b"x")],
        tree=_twins("a", "b", data=b"x"),
        peers=LINK_TO_NOTHING,
    ),
    Stack(
        "hard-link-before-its-target-over-a-lower-file",
        HARD_LINK_OUTSIDE,
        [file("a", b"lower"), hardlink("c", "a")],
        [hardlink("b", "a"), file("a", b"upper")],
        tree=_twins("b", "c", data=b"lower") | {"a": regular(b"upper")},
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "hard-link-to-nothing",
        LIKE_TAR,
        [file("a", b"x")],
        [hardlink("b", "nowhere"), file("c")],
        tree={"a": regular(b"x"), "c": regular()},
        peers=LINK_TO_NOTHING,
    ),
    Stack(
        "hard-link-to-a-file-that-a-middle-layer-removed",
        LIKE_TAR,
        [file("a", b"x"), file("c")],
        [whiteout("a")],
        [hardlink("b", "a")],
        tree={"c": regular()},
        peers=LINK_TO_NOTHING,
    ),
    Stack(
        "hard-link-to-nothing-over-a-lower-file",
        # What had the name is removed before the link is made, which then fails.
        REPLACED,
        [file("a", b"x"), file("c")],
        [hardlink("a", "nowhere")],
        tree={"c": regular()},
        peers=LINK_TO_NOTHING,
    ),
    Stack(
        "hard-link-to-a-directory",
        HARD_LINKS,
        [directory("d"), hardlink("b", "d")],
        invalid="hard link to a directory",
    ),
]

_SYMLINKED = [
    Stack(
        "hard-link-whose-target-goes-over-a-lower-symlink",
        LIKE_TAR,
        [directory("t"), file("t/a", b"x"), symlink("s", "t")],
        [hardlink("b", "s/a")],
        tree=_twins("t/a", "b") | {"t": folder(), "s": link("t")},
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "hard-link-whose-target-goes-over-a-symlink-of-its-layer",
        LIKE_TAR,
        [directory("t"), file("t/a", b"x"), symlink("s", "t"), hardlink("b", "s/a")],
        tree=_twins("t/a", "b") | {"t": folder(), "s": link("t")},
    ),
    Stack(
        "hard-link-whose-target-goes-over-an-absolute-symlink",
        LIKE_TAR,
        [directory("t"), file("t/a", b"x"), directory("d"), symlink("d/s", "/t")],
        [hardlink("b", "d/s/a")],
        tree=_twins("t/a", "b") | {"t": folder(), "d": folder(), "d/s": link("/t")},
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "hard-link-whose-target-goes-over-a-chain-of-lower-symlinks",
        LIKE_TAR,
        [directory("t"), file("t/a", b"x"), symlink("r", "t"), symlink("s", "/r")],
        [hardlink("b", "s/a")],
        tree=_twins("t/a", "b") | {"t": folder(), "r": link("t"), "s": link("/r")},
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "hard-link-to-a-file-of-its-own-layer-behind-a-lower-symlink",
        LIKE_TAR,
        [directory("t"), symlink("s", "t")],
        [file("s/a", b"x"), hardlink("s/b", "s/a"), hardlink("c", "t/a")],
        tree=_twins("t/a", "t/b", "c") | {"t": folder(), "s": link("t")},
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "hard-link-to-a-lower-file-by-both-names-of-its-directory",
        LIKE_TAR,
        [directory("t"), file("t/a", b"x"), symlink("s", "t")],
        [hardlink("s/b", "s/a"), hardlink("s/c", "t/b")],
        tree=_twins("t/a", "t/b", "t/c") | {"t": folder(), "s": link("t")},
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "file-behind-a-lower-symlink-as-the-target-of-a-third-layer",
        LIKE_TAR,
        [directory("t"), symlink("s", "t")],
        [file("s/a", b"x")],
        [hardlink("b", "t/a")],
        tree=_twins("t/a", "b") | {"t": folder(), "s": link("t")},
        peers=LINK_TO_LOWER,
    ),
]

STACKS = [*_WITHIN, *_ACROSS, *_WITHOUT_TARGET, *_SYMLINKED]
