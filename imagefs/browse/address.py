"""What a user types to mean an image, some of its layers, or a path in it.

IMAGE                    debian:12, the whole image
IMAGE@OS-ARCH[-VARIANT]  busybox:1.35@linux-arm64-v8, one platform of it, as a mount's `images/` names them
IMAGE#N                  debian:12#2, the image as it was after its lowest N layers
...:PATH                 debian:12:/etc/passwd, a path in it
"""

import os
import re

import msgspec

from imagefs.errors import InvalidReference
from imagefs.oci import reference

_COUNT = re.compile(r"(.+)#(\d{1,3})")
_PLATFORM = re.compile(r"(.+)@([a-z0-9_.]+-[a-z0-9_.-]+)")


class Address(msgspec.Struct, frozen=True):
    """The parts of an address. `layers` counts from the lowest, None for all; `path` is None where none was given."""

    image: str
    platform: str | None = None
    layers: int | None = None
    path: bytes | None = None


def parse(text: str) -> Address:
    """Take an address apart. Raises `InvalidReference`.

    What can be a name is one: `busybox:etc` is a tag, and `busybox:etc/passwd` and `busybox:1:etc` are paths.
    """
    image, colon, path = text.partition(":/")
    if not colon:
        ends = [len(text), *(position for position in range(len(text) - 1, 0, -1) if text[position] == ":")]
        end = next((end for end in ends if _is_image(text[:end])), len(text))
        image, colon, path = text[:end], text[end : end + 1], text[end + 1 :]
    name, platform, layers = _parts(image)
    if not name:
        raise InvalidReference(f"{text!r} names no image")
    return Address(name, platform, layers, os.fsencode(f"/{path}") if colon else None)


def _parts(image: str) -> tuple[str, str | None, int | None]:
    """An image's name, its platform, and the number of its layers."""
    layers = platform = None
    if found := _COUNT.fullmatch(image):
        image, layers = found[1], int(found[2])
    if found := _PLATFORM.fullmatch(image):
        image, platform = found[1], found[2]
    return image, platform, layers


def _is_image(text: str) -> bool:
    try:
        reference.normalize(_parts(text)[0])
    except InvalidReference:
        return False
    return True
