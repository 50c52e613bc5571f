"""Attributes: modes, owners, times, devices, extended attributes, and every way that tar has to write them."""

from base64 import b64encode
from os import makedev

from support.archives import MTIME, block_device, character_device, directory, fifo, file, hardlink, symlink
from support.headers import header, padded, pax

from .deviations import EMPTY_XATTR, GLOBAL_HEADER, LINK_TO_LOWER, NO_LIBARCHIVE, NO_TIME_BEFORE_1970, NO_TRUSTED
from .stacks import ATTRIBUTES, SECOND, Deviates, Deviation, Refuses, Stack, folder, link, regular, special

_MODES = [
    Stack(
        "setuid-setgid-sticky",
        ATTRIBUTES,
        [
            file("setuid", b"#!", mode=0o4755, uid=1000, gid=1000),
            file("setgid", b"#!", mode=0o2755, uid=1000, gid=1000),
            file("both", b"#!", mode=0o6711),
            file("sticky", mode=0o1644),
            directory("setgid-directory", mode=0o2775, gid=50),
            directory("sticky-directory", mode=0o1777),
            directory("all", mode=0o7777, uid=1, gid=2),
        ],
        tree={
            "setuid": regular(b"#!", mode=0o4755, uid=1000, gid=1000),
            "setgid": regular(b"#!", mode=0o2755, uid=1000, gid=1000),
            "both": regular(b"#!", mode=0o6711),
            "sticky": regular(mode=0o1644),
            "setgid-directory": folder(mode=0o2775, gid=50),
            "sticky-directory": folder(mode=0o1777),
            "all": folder(mode=0o7777, uid=1, gid=2),
        },
    ),
    Stack(
        "file-in-a-setgid-directory",
        # Made in such a directory, a file would get its group; extracted, it has its own.
        ATTRIBUTES,
        [directory("d", mode=0o2775, gid=50), file("d/a", gid=7), directory("d/e", gid=8)],
        [file("d/b", gid=9)],
        tree={
            "d": folder(mode=0o2775, gid=50),
            "d/a": regular(gid=7),
            "d/e": folder(gid=8),
            "d/b": regular(gid=9),
        },
    ),
    Stack(
        "mode-zero",
        ATTRIBUTES,
        [file("a", b"x", mode=0), directory("d", mode=0), file("d/b", mode=0o200)],
        tree={"a": regular(b"x", mode=0), "d": folder(mode=0), "d/b": regular(mode=0o200)},
    ),
    Stack(
        "mode-with-type-bits",
        # Some writers put st_mode whole into the field.
        ATTRIBUTES,
        [header(b"a", mode=0o100640, mtime=MTIME), header(b"d/", b"5", mode=0o040750, mtime=MTIME)],
        tree={"a": regular(mode=0o640), "d": folder(mode=0o750)},
    ),
    Stack(
        "devices-and-fifos",
        ATTRIBUTES,
        [
            directory("dev"),
            character_device("dev/null", 1, 3, mode=0o666),
            block_device("dev/sda1", 8, 1, mode=0o660, gid=6),
            character_device("dev/large", 300, 70_000, mode=0o600),
            fifo("dev/pipe", mode=0o640, uid=3),
        ],
        tree={
            "dev": folder(),
            "dev/null": special("character device", rdev=makedev(1, 3), mode=0o666),
            "dev/sda1": special("block device", rdev=makedev(8, 1), mode=0o660, gid=6),
            "dev/large": special("character device", rdev=makedev(300, 70_000), mode=0o600),
            "dev/pipe": special("fifo", mode=0o640, uid=3),
        },
    ),
    Stack(
        "character-device-zero-zero",
        # overlayfs' own form of a whiteout; in a layer it is a device like any other.
        ATTRIBUTES,
        [file("b"), character_device("a", 0, 0)],
        tree={"a": special("character device", rdev=0), "b": regular()},
    ),
    Stack(
        "devices-replaced-by-files-and-files-by-devices",
        ATTRIBUTES,
        [character_device("a", 1, 3), fifo("b"), file("c"), file("d")],
        [file("a", b"a"), file("b", b"b"), block_device("c", 8, 0), fifo("d")],
        tree={
            "a": regular(b"a"),
            "b": regular(b"b"),
            "c": special("block device", rdev=makedev(8, 0)),
            "d": special("fifo"),
        },
    ),
    Stack(
        "owners-of-symlinks",
        ATTRIBUTES,
        [symlink("a", "b", uid=11, gid=12, mtime=13)],
        tree={"a": link("b", uid=11, gid=12, mtime_ns=13 * SECOND)},
    ),
    Stack(
        "user-and-group-names-are-ignored",
        # The header says 5 and 6, whoever has these names on the host.
        ATTRIBUTES,
        [pax({b"uname": b"root", b"gname": b"root"}) + header(b"a", uid=5, gid=6, mtime=MTIME)],
        tree={"a": regular(uid=5, gid=6)},
    ),
]


def _base_256(value: int, width: int) -> bytes:
    """A number as GNU tar writes it where octal digits do not do."""
    number = value.to_bytes(width, "big", signed=True)
    return bytes([number[0] | 0x80]) + number[1:]


_LARGE_ID = 0o7777777 + 1

_NUMBERS = [
    Stack(
        "large-owners-in-pax-records",
        ATTRIBUTES,
        [
            file("a", uid=_LARGE_ID, gid=_LARGE_ID + 1),
            directory("d", uid=4_000_000_000, gid=4_294_967_294),
            symlink("s", "a", uid=4_000_000_000, gid=_LARGE_ID),
        ],
        tree={
            "a": regular(uid=_LARGE_ID, gid=_LARGE_ID + 1),
            "d": folder(uid=4_000_000_000, gid=4_294_967_294),
            "s": link("a", uid=4_000_000_000, gid=_LARGE_ID),
        },
    ),
    Stack(
        "large-owners-in-base-256",
        ATTRIBUTES,
        [header(b"a", uid=_base_256(4_000_000_000, 8), gid=_base_256(_LARGE_ID, 8), mtime=MTIME, magic=b"ustar  \0")],
        tree={"a": regular(uid=4_000_000_000, gid=_LARGE_ID)},
    ),
    Stack(
        "size-in-base-256",
        ATTRIBUTES,
        [header(b"a", size=_base_256(5, 12), mtime=MTIME, magic=b"ustar  \0") + padded(b"12345"), file("after")],
        tree={"a": regular(b"12345"), "after": regular()},
    ),
    Stack(
        "size-in-a-pax-record",
        # The record wins over the field, which is as a writer leaves it for more than eight gigabytes.
        ATTRIBUTES,
        [pax({b"size": b"5"}) + header(b"a", mtime=MTIME) + padded(b"12345"), file("after")],
        tree={"a": regular(b"12345"), "after": regular()},
    ),
    Stack(
        "octal-fields-of-old-writers",
        ATTRIBUTES,
        [
            header(b"a", mode=b"   644 \0", uid=b"     5 \0", gid=b"0000006\0", size=b"          3 ", mtime=MTIME)
            + padded(b"abc")
        ],
        tree={"a": regular(b"abc", uid=5, gid=6)},
    ),
    Stack(
        "global-pax-header",
        ATTRIBUTES,
        [
            pax({b"comment": b"a commit", b"mtime": b"5"}, b"g"),
            header(b"a", mtime=MTIME),
            pax({b"mtime": b"6"}) + header(b"b"),
        ],
        tree={"a": regular(mtime_ns=5 * SECOND), "b": regular(mtime_ns=6 * SECOND)},
        peers={
            "umoci": Refuses(GLOBAL_HEADER, "unknown typeflag"),
            "podman containerd": Deviates(GLOBAL_HEADER, {"PaxHeaders": "unexpected", "a": "mtime_ns"}),
        },
    ),
]


def _timed(name: str, moment: bytes, mtime_ns: int, *, peers: dict[str, Deviation] | None = None) -> Stack:
    return Stack(
        name,
        ATTRIBUTES,
        [
            pax({b"mtime": moment}) + header(b"a"),
            pax({b"mtime": moment}) + header(b"d/", b"5", mode=0o755),
            pax({b"mtime": moment}) + header(b"s", b"2", link=b"a"),
            file("d/b"),
        ],
        tree={
            "a": regular(mtime_ns=mtime_ns),
            "d": folder(mtime_ns=mtime_ns),
            "s": link("a", mtime_ns=mtime_ns),
            "d/b": regular(),
        },
        peers=peers,
        parent_times=True,
    )


_BEFORE_1970 = {
    "podman": Deviates(NO_TIME_BEFORE_1970, {"a": "mtime_ns", "d": "mtime_ns"}),
    "containerd": Deviates(NO_TIME_BEFORE_1970, {"a": "mtime_ns", "d": "mtime_ns", "s": "mtime_ns"}),
}

_TIMES = [
    _timed("time-with-nanoseconds", b"1600000000.123456789", 1_600_000_000_123_456_789),
    _timed("time-with-one-place", b"1600000000.5", 1_600_000_000_500_000_000),
    _timed("time-with-more-places-than-nanoseconds", b"1600000000.1234567899999", 1_600_000_000_123_456_789),
    _timed("time-of-the-epoch", b"0", 0),
    _timed("time-a-nanosecond-after-the-epoch", b"0.000000001", 1),
    _timed(
        "time-before-1970",
        b"-86400",
        -86_400 * SECOND,
        peers=_BEFORE_1970,
    ),
    _timed(
        "time-before-1970-with-nanoseconds",
        b"-1.25",
        -1_250_000_000,
        peers=_BEFORE_1970,
    ),
    _timed(
        "time-a-nanosecond-before-the-epoch",
        b"-0.000000001",
        -1,
        peers=_BEFORE_1970,
    ),
    _timed("time-after-2038", b"4102444800.75", 4_102_444_800_750_000_000),
    Stack(
        "time-before-1970-in-base-256",
        ATTRIBUTES,
        [header(b"a", mtime=_base_256(-1000, 12), magic=b"ustar  \0")],
        tree={"a": regular(mtime_ns=-1000 * SECOND)},
        peers={"podman containerd": Deviates(NO_TIME_BEFORE_1970, {"a": "mtime_ns"})},
    ),
    Stack(
        "time-after-2242-in-base-256",
        # The largest time of the octal field is in 2242; that of Go in 2262, and of ext4 in 2446.
        ATTRIBUTES,
        [header(b"a", mtime=_base_256(9_000_000_000, 12), magic=b"ustar  \0")],
        tree={"a": regular(mtime_ns=9_000_000_000 * SECOND)},
    ),
    Stack(
        "access-and-change-times-are-not-the-modification-time",
        ATTRIBUTES,
        [pax({b"atime": b"1", b"ctime": b"2", b"LIBARCHIVE.creationtime": b"3"}) + header(b"a", mtime=MTIME)],
        tree={"a": regular()},
    ),
]

_CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")  # cap_net_raw+ep, revision 2

_XATTRS = [
    Stack(
        "xattrs-schily",
        ATTRIBUTES,
        [
            file("a", b"a", xattrs={"user.note": b"text", "user.empty": b"", "user.two": b"=\n \xc3\xa9"}),
            directory("d", xattrs={"user.note": b"of a directory", "trusted.note": b"trusted"}),
            file("d/b", xattrs={"security.capability": _CAPABILITY}),
        ],
        tree={
            "a": regular(b"a", xattrs={"user.note": b"text", "user.empty": b"", "user.two": b"=\n \xc3\xa9"}),
            "d": folder(xattrs={"user.note": b"of a directory", "trusted.note": b"trusted"}),
            "d/b": regular(xattrs={"security.capability": _CAPABILITY}),
        },
        peers={
            "umoci podman": Deviates(EMPTY_XATTR, {"a": "xattrs"}),
            "containerd": Deviates(NO_TRUSTED, {"d": "xattrs"}),
        },
    ),
    Stack(
        "xattrs-schily-with-nul-bytes",
        ATTRIBUTES,
        [
            pax({b"SCHILY.xattr.user.binary": b"\0a\0\xff\0", b"SCHILY.xattr.user.nul": b"\0"})
            + header(b"a", mtime=MTIME)
        ],
        tree={"a": regular(xattrs={"user.binary": b"\0a\0\xff\0", "user.nul": b"\0"})},
    ),
    Stack(
        "xattrs-libarchive",
        ATTRIBUTES,
        [
            pax({b"LIBARCHIVE.xattr.user.binary": b64encode(b"\0a\0\xff").rstrip(b"=")}) + header(b"a", mtime=MTIME),
            pax({b"LIBARCHIVE.xattr.user.with%20space%3d": b64encode(b"v")}) + header(b"b", mtime=MTIME),
        ],
        tree={
            "a": regular(xattrs={"user.binary": b"\0a\0\xff"}),
            "b": regular(xattrs={"user.with space=": b"v"}),
        },
        peers={"umoci podman containerd": Deviates(NO_LIBARCHIVE, {"a": "xattrs", "b": "xattrs"})},
    ),
    Stack(
        "xattrs-in-both-forms",
        # As libarchive writes them: both say the same.
        ATTRIBUTES,
        [
            pax({b"SCHILY.xattr.user.note": b"text", b"LIBARCHIVE.xattr.user.note": b64encode(b"text")})
            + header(b"a", mtime=MTIME)
        ],
        tree={"a": regular(xattrs={"user.note": b"text"})},
    ),
    Stack(
        "xattrs-of-symlinks-and-devices",
        ATTRIBUTES,
        [
            symlink("s", "t", xattrs={"trusted.note": b"symlink"}),
            character_device("c", 1, 3, xattrs={"trusted.note": b"device"}),
            fifo("p", xattrs={"trusted.note": b"fifo"}),
        ],
        tree={
            "s": link("t", xattrs={"trusted.note": b"symlink"}),
            "c": special("character device", rdev=makedev(1, 3), xattrs={"trusted.note": b"device"}),
            "p": special("fifo", xattrs={"trusted.note": b"fifo"}),
        },
        peers={"containerd": Deviates(NO_TRUSTED, {"s": "xattrs", "c": "xattrs", "p": "xattrs"})},
    ),
    Stack(
        "xattrs-over-layers",
        ATTRIBUTES,
        [
            file("a", b"1", xattrs={"user.a": b"1"}),
            directory("d", xattrs={"user.d": b"1"}),
            file("b", xattrs={"user.b": b"1"}),
        ],
        [file("a", b"2", xattrs={"user.a": b"2", "user.c": b"2"}), file("d/x"), hardlink("c", "b")],
        tree={
            "a": regular(b"2", xattrs={"user.a": b"2", "user.c": b"2"}),
            "d": folder(xattrs={"user.d": b"1"}),
            "d/x": regular(),
            "b": regular(xattrs={"user.b": b"1"}, links=["b", "c"]),
            "c": regular(xattrs={"user.b": b"1"}, links=["b", "c"]),
        },
        peers=LINK_TO_LOWER,
    ),
    Stack(
        "xattrs-of-overlayfs",
        # Attributes of a file system that made the layer; nothing in the specification singles them out.
        ATTRIBUTES,
        [directory("d", xattrs={"user.overlay.opaque": b"y"}), file("d/a")],
        [file("d/b")],
        tree={"d": folder(xattrs={"user.overlay.opaque": b"y"}), "d/a": regular(), "d/b": regular()},
    ),
]

STACKS = [*_MODES, *_NUMBERS, *_TIMES, *_XATTRS]
