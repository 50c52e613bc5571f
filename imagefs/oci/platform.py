"""Platforms: normal forms, names, and which one this machine runs."""

import platform as machine
import re
from functools import cache

from imagefs.oci.model import Platform

_ARCHITECTURES = {
    "x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "i686": "386",
    "armv7l": "arm", "armv6l": "arm", "armhf": "arm", "armel": "arm",
}  # fmt: skip

_ODD = re.compile(r"[^a-z0-9._-]")


def normalize(platform: Platform) -> Platform:
    """containerd's normal form: Go's names of architectures, and the variant that goes without saying."""
    architecture = platform.architecture.lower()
    variant = platform.variant.lower()
    if architecture == "armv6l" or architecture == "armel":
        variant = variant or "v6"
    architecture = _ARCHITECTURES.get(architecture, architecture)
    if architecture == "arm64" and variant in ("", "8"):
        variant = "v8"
    elif architecture == "arm":
        variant = "v7" if variant == "" else f"v{variant}" if variant.isdigit() else variant
    elif architecture == "amd64" and variant == "v1":
        variant = ""
    return Platform(architecture=architecture, os=platform.os.lower(), variant=variant, os_version=platform.os_version)


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
