"""Changes to what is well formed, after which it still looks so from afar: archives are to be broken inside."""

import json
from typing import Any

from fuzz.choices import Choices

BLOCK = 512

_VALUES: list[Any] = [
    None, True, 0, -1, 1 << 31, 1 << 63, 1 << 70, 1.5, "", "x", "a/b", "../../x", "\x1b[31m", "\x00", "\ud800", [], {},
    [[]], [None], {"": None}, "sha256:" + "0" * 64, "sha256:" + "g" * 64, "sha512:" + "0" * 128, "linux/amd64",
    "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json", "a" * 300, "latest",
    "application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.config.v1+json", "docker.io/x:y",
]  # fmt: skip


def fix_checksums(data: bytes) -> bytes:
    """A tar in which every block that has the magic of a header has the right checksum, too."""
    fixed = bytearray(data)
    for start in range(0, len(fixed) - BLOCK + 1, BLOCK):
        if fixed[start + 257 : start + 262] == b"ustar":
            fixed[start + 148 : start + 156] = b" " * 8
            fixed[start + 148 : start + 156] = b"%06o\0 " % (sum(fixed[start : start + BLOCK]) & 0o777777)
    return bytes(fixed)


def change_bytes(data: bytes, choices: Choices) -> bytes:
    """Bytes with a few of them changed, taken out, put in or repeated."""
    changed = bytearray(data)
    for _ in range(1 + choices.below(6)):
        at = choices.below(len(changed) + 1)
        kind = choices.below(6)
        if kind == 0 and changed:
            changed[at % len(changed)] = choices.number()
        elif kind == 1:
            del changed[at : at + choices.below(64)]
        elif kind == 2:
            changed[at:at] = choices.some(choices.below(32))
        elif kind == 3:
            changed[at:at] = changed[at : at + choices.below(1024)]
        elif kind == 4:
            start = at - at % BLOCK  # blocks are what tars are made of
            other = choices.below(len(changed) + 1)
            other -= other % BLOCK
            changed[start : start + BLOCK] = changed[other : other + BLOCK]
        else:
            piece = choices.some(choices.below(24))
            changed[at : at + len(piece)] = piece
    return bytes(changed)


def change_json(document: Any, choices: Choices) -> Any:  # noqa: ANN401  JSON values
    """A JSON value with something in it changed, at a place that is found by going down."""
    kind = choices.below(8)
    if isinstance(document, dict) and document and kind < 7:
        key = choices.one_of(list(document))
        changed = dict(document)
        if kind == 6:
            del changed[key]
        elif kind == 5:
            changed[choices.one_of(list(document))] = document[key]
        else:
            changed[key] = change_json(document[key], choices)
        return changed
    if isinstance(document, list) and document and kind < 7:
        at = choices.below(len(document))
        if kind == 6:
            return document[:at] + document[at + 1 :]
        if kind == 5:
            return document[: at + 1] * (1 + choices.below(4)) + document[at:]
        return [*document[:at], change_json(document[at], choices), *document[at + 1 :]]
    if isinstance(document, str) and kind < 4:
        return change_bytes(document.encode("utf-8", "surrogatepass"), choices).decode("utf-8", "replace")
    return choices.one_of(_VALUES)


def as_json(document: Any) -> bytes:  # noqa: ANN401  JSON values
    """A document as bytes, with whatever is in its texts."""
    return json.dumps(document).encode()
