"""Platforms: normal forms, names, and which one this machine runs."""

import platform as machine
import re
from collections.abc import Sequence
from functools import cache

from imagefs.errors import InvalidReference
from imagefs.oci.model import Platform

_ARCHITECTURES = {
    "x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "i686": "386",
    "armv7l": "arm", "armv6l": "arm", "armhf": "arm", "armel": "arm",
}  # fmt: skip

_SYSTEMS = frozenset([
    "aix", "android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "solaris", "wasi", "windows",
])  # fmt: skip
_KNOWN_ARCHITECTURES = frozenset([
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64",
    "s390x", "wasm",
])  # fmt: skip

_PART = re.compile(r"[a-z0-9_.-]{1,32}")
_VERSION = re.compile(r"v(\d{1,2})(?:\.(\d{1,2}))?")
_ODD = re.compile(r"[^a-z0-9._-]")


def normalize(platform: Platform) -> Platform:
    """containerd's normal form: Go's names of architectures, and the variant that goes without saying."""
    architecture = platform.architecture.lower()
    variant = platform.variant.lower()
    if architecture == "armv6l" or architecture == "armel":
        variant = variant or "v6"
    architecture = _ARCHITECTURES.get(architecture, architecture)
    if architecture == "arm64" and variant in ("", "8", "v8.0", "8.0"):
        variant = "v8"
    elif architecture == "arm64" and variant in ("9", "v9.0", "9.0"):
        variant = "v9"
    elif architecture == "arm":
        variant = "v7" if variant == "" else f"v{variant}" if variant.isdigit() else variant
    elif architecture == "amd64" and variant == "v1":
        variant = ""
    return Platform(architecture=architecture, os=platform.os.lower(), variant=variant, os_version=platform.os_version)


def parse(text: str) -> Platform:
    """The platform that a user means: `os/architecture[/variant]`, or one of the two, the other being this machine's.

    Raises `InvalidReference`.
    """
    parts = text.lower().split("/")
    if len(parts) > 3 or not all(_PART.fullmatch(part) for part in parts):
        raise InvalidReference(f"{text[:160]!r} is not a platform such as linux/arm64")
    if len(parts) > 1:
        os, architecture, *variant = parts
        return normalize(Platform(architecture=architecture, os=os, variant="".join(variant)))
    if parts[0] in _SYSTEMS:
        return Platform(architecture=host().architecture, os=parts[0], variant=host().variant)
    known = normalize(Platform(architecture=parts[0], os=host().os))
    if known.architecture not in _KNOWN_ARCHITECTURES:
        raise InvalidReference(f"{text[:160]!r} is neither an operating system nor an architecture")
    return known


def choose(wanted: Sequence[Platform], offered: Sequence[Platform]) -> list[int]:
    """The positions in `offered` of what serves the wanted platforms: the best match of each, all that are equal.

    An architecture's newer variants run what was made for its older ones, and for no other architecture.
    """
    chosen: set[int] = set()
    for platform in wanted:
        ranks = {position: rank for position, each in enumerate(offered) if (rank := _rank(platform, each)) is not None}
        best = min(ranks.values(), default=None)
        chosen |= {position for position, rank in ranks.items() if rank == best}
    return sorted(chosen)


def _rank(wanted: Platform, offered: Platform) -> int | None:
    """How many variants older than the wanted platform one is that can serve it; None for one that cannot."""
    wanted, offered = normalize(wanted), normalize(offered)
    if (wanted.os, wanted.architecture) != (offered.os, offered.architecture):
        return None
    if wanted.os_version and wanted.os_version != offered.os_version:
        return None
    served = _served(wanted)
    return served.index(offered.variant) if offered.variant in served else None


def _served(platform: Platform) -> list[str]:
    """The variants of its architecture that a platform runs, its own first."""
    found = _VERSION.fullmatch(platform.variant)
    if found is None:
        return [platform.variant]
    major, minor = int(found[1]), int(found[2] or 0)
    if platform.architecture == "amd64":
        return [*(f"v{version}" for version in range(major, 1, -1)), ""]
    if platform.architecture == "arm":
        return [f"v{version}" for version in range(major, 4, -1)]
    if platform.architecture == "arm64" and major in (8, 9):
        served = [f"v9.{version}" for version in range(minor, 0, -1)] + ["v9"] if major == 9 else []
        # Arm's versions 9.x are supersets of 8.(x + 5).
        older = minor + 5 if major == 9 else minor
        return served + [f"v8.{version}" for version in range(older, 0, -1)] + ["v8"]
    return [platform.variant]


def text(platform: Platform) -> str:
    """`os/architecture[/variant]`, as docker and containerd print it."""
    plain = normalize(platform)
    parts = (plain.os or "unknown", plain.architecture or "unknown", plain.variant)
    # An image can claim anything, and this becomes part of file names and of what terminals are shown.
    return "/".join(_ODD.sub("_", part)[:32] for part in parts if part)


@cache
def host() -> Platform:
    """The platform of this machine."""
    return normalize(Platform(architecture=machine.machine(), os="linux", variant=""))


def preferred(platforms: list[Platform]) -> int:
    """The position of the host's platform in a list that is not empty, or of the first."""
    if len(platforms) == 1:
        return 0
    ours = text(host())
    texts = [text(each) for each in platforms]
    return texts.index(ours) if ours in texts else 0
