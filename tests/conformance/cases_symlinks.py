"""Entries below a path that is a symbolic link in a lower layer.

An entry's parent that its layer does not name is where a regular tar extraction would find it: behind the link, and
never outside the root. An entry for the link's own path replaces the link.
"""

from support.archives import directory, file, hardlink, opaque, symlink, whiteout

from .deviations import (
    ALONE,
    DANGLING,
    DEVICE,
    LEXICAL,
    MADE,
    NO_SUCH_FILE,
    NOT_A_DIRECTORY,
    OPAQUE_BY_NAME,
    apart,
    missing,
    unexpected,
)
from .stacks import (
    LIKE_TAR,
    OPAQUE_ALL,
    REPLACED,
    WHITEOUT_BELOW,
    Refuses,
    Stack,
    folder,
    implied,
    link,
    regular,
)

USR = [directory("usr"), directory("usr/bin", mode=0o711), file("usr/bin/old", b"old"), symlink("bin", "usr/bin")]
"""The usual case: a distribution's merged /usr."""

_USR_TREE = {"usr": folder(), "usr/bin": folder(mode=0o711), "usr/bin/old": regular(b"old"), "bin": link("usr/bin")}

_THROUGH = [
    Stack(
        "file-below-a-lower-symlink",
        LIKE_TAR,
        USR,
        [file("bin/new", b"new")],
        tree=_USR_TREE | {"usr/bin/new": regular(b"new")},
        peers=apart("bin", {"bin/new": "usr/bin/new"}),
    ),
    Stack(
        "file-below-a-symlink-of-its-own-layer",
        LIKE_TAR,
        [*USR, file("bin/new", b"new")],
        tree=_USR_TREE | {"usr/bin/new": regular(b"new")},
    ),
    Stack(
        "file-over-a-file-behind-a-lower-symlink",
        LIKE_TAR,
        USR,
        [file("bin/old", b"newer")],
        tree=_USR_TREE | {"usr/bin/old": regular(b"newer")},
        peers=apart("bin", {"bin/old": None}, usr__bin__old="content size"),
    ),
    Stack(
        "directory-below-a-lower-symlink",
        LIKE_TAR,
        USR,
        [directory("bin/d", mode=0o700), file("bin/d/a")],
        tree=_USR_TREE | {"usr/bin/d": folder(mode=0o700), "usr/bin/d/a": regular()},
        peers=apart("bin", {"bin/d": "usr/bin/d", "bin/d/a": "usr/bin/d/a"}),
    ),
    Stack(
        "implied-directories-below-a-lower-symlink",
        LIKE_TAR,
        USR,
        [file("bin/d/e/a")],
        tree=_USR_TREE | {"usr/bin/d": implied(), "usr/bin/d/e": implied(), "usr/bin/d/e/a": regular()},
        peers=apart("bin", {"bin/d": "usr/bin/d", "bin/d/e": "usr/bin/d/e", "bin/d/e/a": "usr/bin/d/e/a"}),
    ),
    Stack(
        "symlink-below-a-lower-symlink",
        LIKE_TAR,
        USR,
        [symlink("bin/s", "old")],
        tree=_USR_TREE | {"usr/bin/s": link("old")},
        peers=apart("bin", {"bin/s": "usr/bin/s"}),
    ),
    Stack(
        "hard-link-below-a-lower-symlink",
        LIKE_TAR,
        USR,
        [file("x", b"x"), hardlink("bin/x", "x")],
        tree=_USR_TREE
        | {"x": regular(b"x", links=["x", "usr/bin/x"]), "usr/bin/x": regular(b"x", links=["x", "usr/bin/x"])},
        peers=apart("bin", {"bin/x": "usr/bin/x"}, x="links"),
    ),
    Stack(
        "whiteout-below-a-lower-symlink",
        WHITEOUT_BELOW,
        USR,
        [whiteout("bin/old")],
        tree={path: each for path, each in _USR_TREE.items() if path != "usr/bin/old"},
        peers=apart("bin", {"bin/old": None}, usr__bin__old="unexpected"),
    ),
    Stack(
        "whiteout-and-file-below-a-lower-symlink",
        WHITEOUT_BELOW,
        USR,
        [whiteout("bin/old"), file("bin/new")],
        tree={path: each for path, each in _USR_TREE.items() if path != "usr/bin/old"} | {"usr/bin/new": regular()},
        peers=apart("bin", {"bin/new": "usr/bin/new", "bin/old": None}, usr__bin__old="unexpected"),
    ),
    Stack(
        "opaque-marker-below-a-lower-symlink",
        OPAQUE_ALL,
        USR,
        [opaque("bin"), file("bin/new")],
        tree={path: each for path, each in _USR_TREE.items() if path != "usr/bin/old"} | {"usr/bin/new": regular()},
        peers={
            "podman": unexpected(OPAQUE_BY_NAME, "usr/bin/old"),
            **apart("bin", {"bin/new": "usr/bin/new"}, usr__bin__old="unexpected"),
        },
    ),
    Stack(
        "both-names-of-a-directory",
        LIKE_TAR,
        USR,
        [file("bin/a", b"a"), file("usr/bin/b", b"b"), file("bin/c", b"c")],
        tree=_USR_TREE | {"usr/bin/a": regular(b"a"), "usr/bin/b": regular(b"b"), "usr/bin/c": regular(b"c")},
        peers=apart("bin", {"bin/a": "usr/bin/a", "bin/c": "usr/bin/c"}),
    ),
    Stack(
        "both-names-of-one-file-by-the-link-last",
        LIKE_TAR,
        USR,
        [file("usr/bin/a", b"1"), file("bin/a", b"2")],
        tree=_USR_TREE | {"usr/bin/a": regular(b"2")},
        peers=apart("bin", {"bin/a": None}, usr__bin__a="content"),
    ),
    Stack(
        "both-names-of-one-file-by-the-link-first",
        LIKE_TAR,
        USR,
        [file("bin/a", b"1"), file("usr/bin/a", b"2")],
        tree=_USR_TREE | {"usr/bin/a": regular(b"2")},
        peers=apart("bin", {"bin/a": None}),
    ),
    Stack(
        "file-below-a-symlink-two-layers-down",
        LIKE_TAR,
        USR,
        [file("usr/bin/second")],
        [file("bin/third")],
        [file("usr/bin/fourth")],
        tree=_USR_TREE | {"usr/bin/second": regular(), "usr/bin/third": regular(), "usr/bin/fourth": regular()},
        peers=apart("bin", {"bin/third": "usr/bin/third"}),
    ),
    Stack(
        "file-below-a-lower-symlink-removed-by-its-real-name",
        WHITEOUT_BELOW,
        USR,
        [file("bin/new")],
        [whiteout("usr/bin/new")],
        tree=_USR_TREE,
        peers=apart("bin", {"bin/new": None}),
    ),
    Stack(
        "file-below-a-lower-symlink-removed-by-the-link-name",
        WHITEOUT_BELOW,
        USR,
        [file("usr/bin/new")],
        [whiteout("bin/new")],
        tree=_USR_TREE,
        peers=apart("bin", {"bin/new": None}, usr__bin__new="unexpected"),
    ),
]

_REPLACED = [
    Stack(
        "directory-entry-for-a-lower-symlink",
        REPLACED,
        USR,
        [directory("bin", mode=0o700), file("bin/new", b"new")],
        tree=_USR_TREE | {"bin": folder(mode=0o700), "bin/new": regular(b"new")},
    ),
    Stack(
        "directory-entry-for-a-lower-symlink-alone",
        REPLACED,
        USR,
        [directory("bin", mode=0o700)],
        tree=_USR_TREE | {"bin": folder(mode=0o700)},
    ),
    Stack(
        "directory-entry-for-a-lower-symlink-after-its-file",
        # The file goes behind the link, which is still there then; the entry replaces the link after that.
        REPLACED,
        USR,
        [file("bin/new", b"new"), directory("bin", mode=0o700), file("bin/later")],
        tree=_USR_TREE | {"usr/bin/new": regular(b"new"), "bin": folder(mode=0o700), "bin/later": regular()},
        peers={"containerd-overlayfs": unexpected(ALONE, "bin/new", missing=["usr/bin/new"])},
    ),
    Stack(
        "directory-entry-for-a-lower-symlink-of-a-middle-layer",
        REPLACED,
        USR,
        [directory("bin", mode=0o700)],
        [file("bin/new", b"new")],
        tree=_USR_TREE | {"bin": folder(mode=0o700), "bin/new": regular(b"new")},
    ),
    Stack(
        "whiteout-of-a-lower-symlink-and-a-file-below-it",
        WHITEOUT_BELOW,
        USR,
        [whiteout("bin"), file("bin/new", b"new")],
        tree=_USR_TREE | {"bin": implied(), "bin/new": regular(b"new")},
        peers={"containerd-overlayfs": Refuses(DEVICE, NOT_A_DIRECTORY)},
    ),
    Stack(
        "whiteout-of-a-lower-symlink-in-a-middle-layer",
        WHITEOUT_BELOW,
        USR,
        [whiteout("bin")],
        [file("bin/new", b"new")],
        tree=_USR_TREE | {"bin": implied(), "bin/new": regular(b"new")},
    ),
    Stack(
        "file-over-a-lower-symlink",
        REPLACED,
        USR,
        [file("bin", b"now a file")],
        tree=_USR_TREE | {"bin": regular(b"now a file")},
    ),
    Stack(
        "symlink-over-a-lower-symlink-and-a-file-below-it",
        LIKE_TAR,
        [*USR, directory("opt")],
        [symlink("bin", "opt"), file("bin/new", b"new")],
        tree=_USR_TREE | {"opt": folder(), "bin": link("opt"), "opt/new": regular(b"new")},
    ),
    Stack(
        "directory-becomes-a-symlink-and-a-file-is-below-it",
        LIKE_TAR,
        [directory("d"), file("d/a"), directory("e")],
        [symlink("d", "e"), file("d/b", b"b")],
        tree={"d": link("e"), "e": folder(), "e/b": regular(b"b")},
    ),
    Stack(
        "symlink-entry-after-a-file-behind-the-lower-one",
        LIKE_TAR,
        [*USR, directory("opt")],
        [file("bin/new", b"new"), symlink("bin", "opt")],
        tree=_USR_TREE | {"opt": folder(), "bin": link("opt"), "usr/bin/new": regular(b"new")},
        peers={"containerd-overlayfs": missing(ALONE, "usr/bin/new")},
    ),
]


def _target(name, target, *, entries=(), tree=None, peers=None):
    """A link `a/link` to `target`, which means the directory `t`, and a file below the link."""
    return Stack(
        name,
        LIKE_TAR,
        [directory("t"), directory("a"), directory("a/b"), symlink("a/link", target), *entries],
        [file("a/link/new", b"new")],
        tree={
            "t": folder(),
            "a": folder(),
            "a/b": folder(),
            "a/link": link(target),
            "t/new": regular(b"new"),
            **(tree or {}),
        },
        peers={**(peers or {}), **apart("a/link", {"a/link/new": "t/new"})},
    )


_TARGETS = [
    _target("relative-target", "../t"),
    _target("absolute-target", "/t"),
    _target("target-with-dots", "./.././t/."),
    _target("target-with-doubled-slashes", "..//t//"),
    _target("target-that-climbs-above-the-root", "../../../../t"),
    _target("absolute-target-that-climbs-above-the-root", "/../../t"),
    _target("target-that-climbs-from-a-directory", "b/../../t"),
    _target(
        "chain-of-symlinks",
        "two",
        entries=[symlink("a/two", "/three"), symlink("three", "a/../four"), symlink("four", "t")],
        tree={"a/two": link("/three"), "three": link("a/../four"), "four": link("t")},
    ),
    _target(
        "symlink-in-the-middle-of-a-target",
        "../x/t",
        entries=[symlink("x", ".")],
        tree={"x": link(".")},
    ),
    _target(
        # `..` after a link climbs from where the link leads to, not from where it lies.
        "target-that-climbs-after-a-symlink",
        "deep/../t",
        entries=[
            directory("c"),
            directory("c/d"),
            symlink("a/deep", "../c"),
        ],
        tree={"c": folder(), "c/d": folder(), "a/deep": link("../c")},
        peers={"containerd-native": unexpected(LEXICAL, "a/t", "a/t/new", missing=["t/new"])},
    ),
    Stack(
        "target-of-the-root",
        LIKE_TAR,
        [directory("a"), symlink("a/root", "/")],
        [file("a/root/new", b"new")],
        tree={"a": folder(), "a/root": link("/"), "new": regular(b"new")},
        peers=apart("a/root", {"a/root/new": "new"}),
    ),
    Stack(
        "two-symlinks-in-a-path",
        LIKE_TAR,
        [directory("t"), directory("t/u"), symlink("a", "t"), symlink("t/b", "u")],
        [file("a/b/new", b"new")],
        tree={
            "t": folder(),
            "t/u": folder(),
            "a": link("t"),
            "t/b": link("u"),
            "t/u/new": regular(b"new"),
        },
        peers=apart("a", {"a/b": None, "a/b/new": "t/u/new"}),
    ),
    Stack(
        "links-of-two-layers-in-a-path",
        LIKE_TAR,
        [directory("t"), directory("t/u"), symlink("a", "t")],
        [symlink("a/b", "/t/u")],
        [file("a/b/new", b"new")],
        tree={"t": folder(), "t/u": folder(), "a": link("t"), "t/b": link("/t/u"), "t/u/new": regular(b"new")},
        peers=apart("a", {"a/b": "t/b", "a/b/new": "t/u/new"}),
    ),
    Stack(
        "link-whose-target-is-removed",
        LIKE_TAR,
        # Extracting makes the missing parents of an entry, wherever the link leads.
        [directory("t"), file("t/old"), symlink("a", "t")],
        [whiteout("t")],
        [file("a/new", b"new")],
        tree={"a": link("t"), "t": implied(), "t/new": regular(b"new")},
        peers={"podman": Refuses(DANGLING, NO_SUCH_FILE), **apart("a", {"a/new": "t/new"}, t="missing")},
    ),
    Stack(
        "dangling-link-whose-target-gets-created",
        LIKE_TAR,
        [symlink("a", "t/u")],
        [file("a/new", b"new")],
        tree={"a": link("t/u"), "t": implied(), "t/u": implied(), "t/u/new": regular(b"new")},
        peers={
            "podman": Refuses(DANGLING, NO_SUCH_FILE),
            **apart("a", {"a/new": "t/u/new"}, t="missing", t__u="missing"),
        },
    ),
    Stack(
        "dangling-absolute-link-whose-target-gets-created",
        LIKE_TAR,
        [directory("b"), symlink("b/a", "/t")],
        [file("b/a/new", b"new")],
        tree={"b": folder(), "b/a": link("/t"), "t": implied(), "t/new": regular(b"new")},
        peers={"podman": Refuses(DANGLING, NO_SUCH_FILE), **apart("b/a", {"b/a/new": "t/new"}, t="missing")},
    ),
    Stack(
        "dangling-link-whose-target-comes-first",
        LIKE_TAR,
        [symlink("a", "t")],
        [directory("t", mode=0o700), file("a/new", b"new")],
        tree={"a": link("t"), "t": folder(mode=0o700), "t/new": regular(b"new")},
        peers=apart("a", {"a/new": "t/new"}),
    ),
    Stack(
        "dangling-link-whose-target-comes-last",
        LIKE_TAR,
        [symlink("a", "t")],
        [file("a/new", b"new"), directory("t", mode=0o700)],
        tree={"a": link("t"), "t": folder(mode=0o700), "t/new": regular(b"new")},
        peers={"podman": Refuses(DANGLING, NO_SUCH_FILE), **apart("a", {"a/new": "t/new"})},
    ),
    Stack(
        "target-replaced-in-the-same-layer",
        LIKE_TAR,
        [directory("t"), file("t/old"), symlink("a", "t")],
        [whiteout("t"), directory("t", mode=0o700), file("a/new", b"new")],
        tree={"a": link("t"), "t": folder(mode=0o700), "t/new": regular(b"new")},
        peers=apart("a", {"a/new": "t/new"}, t__old="unexpected"),
    ),
    Stack(
        "target-made-opaque-in-the-same-layer",
        OPAQUE_ALL,
        [directory("t"), file("t/old"), symlink("a", "t")],
        [file("a/new", b"new"), opaque("t")],
        tree={"a": link("t"), "t": folder(), "t/new": regular(b"new")},
        peers={"podman": missing(OPAQUE_BY_NAME, "t/new"), **apart("a", {"a/new": "t/new"})},
    ),
    Stack(
        "link-to-a-file-and-a-file-below-it",
        # An extractor fails here; a chain of valid layers has to mean something, and the upper layer decides.
        REPLACED,
        [file("t", b"file"), symlink("a", "t")],
        [directory("a"), file("a/new")],
        tree={"a": folder(), "a/new": regular(), "t": regular(b"file")},
    ),
    Stack(
        "whiteout-of-a-lower-symlink-leaves-its-target",
        WHITEOUT_BELOW,
        USR,
        [whiteout("bin")],
        tree={path: each for path, each in _USR_TREE.items() if path != "bin"},
    ),
    Stack(
        "whiteout-below-a-dangling-symlink",
        WHITEOUT_BELOW,
        [symlink("a", "t"), file("b")],
        [whiteout("a/x")],
        tree={"a": link("t"), "b": regular()},
        peers={"containerd-native": unexpected(MADE, "t"), **apart("a", {"a/x": None})},
    ),
    Stack(
        "whiteout-through-a-chain-of-symlinks",
        WHITEOUT_BELOW,
        [directory("t"), file("t/x"), file("t/y"), symlink("b", "/t"), symlink("a", "b")],
        [whiteout("a/x")],
        tree={"a": link("b"), "b": link("/t"), "t": folder(), "t/y": regular()},
        peers=apart("a", {"a/x": None}, t__x="unexpected"),
    ),
    Stack(
        "opaque-marker-through-an-absolute-symlink",
        OPAQUE_ALL,
        [directory("t"), file("t/x"), directory("a"), symlink("a/b", "/t")],
        [file("a/b/new"), opaque("a/b")],
        tree={"a": folder(), "a/b": link("/t"), "t": folder(), "t/new": regular()},
        peers={"podman": unexpected(OPAQUE_BY_NAME, "t/x"), **apart("a/b", {"a/b/new": "t/new"}, t__x="unexpected")},
    ),
]

STACKS = [*_THROUGH, *_REPLACED, *_TARGETS]
