"""How the layers of an image came to be (image specification, "Image Configuration", history).

A history is a note for people: nothing depends on it, many tools write it in many ways, and no image is refused for
what is in it.
"""

from typing import Any

import msgspec

MAX_STEPS = 4096
"""How many steps of a history are looked at; one with more is passed over."""

MAX_TEXT = 1 << 16
"""How many characters of each text are kept."""


class HistoryEntry(msgspec.Struct, frozen=True):
    """One step of an image's making. `created` is a date as RFC 3339 has it, or whatever the image says instead."""

    created: str | None = None
    created_by: str | None = None
    author: str | None = None
    comment: str | None = None


_TEXTS = ("created", "created_by", "author", "comment")


def created_by(history: Any, layers: int) -> list[HistoryEntry | None]:  # noqa: ANN401  what a configuration holds
    """The step that made each of so many layers, lowest first; steps without a layer are passed over.

    `history` is the configuration's member as it came, JSON or decoded. Where it is absent or does not fit the
    layers, there is None for each.
    """
    nothing: list[HistoryEntry | None] = [None] * layers
    if isinstance(history, msgspec.Raw):
        try:
            history = msgspec.json.decode(history)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return nothing
    if not isinstance(history, list) or len(history) > MAX_STEPS:
        return nothing
    made: list[HistoryEntry | None] = []
    for step in history:
        # Go's decoder, which most writers are held to, takes null for an object without members.
        members = {} if step is None else step
        if not isinstance(members, dict):
            return nothing
        if members.get("empty_layer") is not True:
            made.append(HistoryEntry(**{key: _text(members.get(key)) for key in _TEXTS}))
    return made if len(made) == layers else nothing


def _text(value: object) -> str | None:
    return value[:MAX_TEXT] if isinstance(value, str) and value else None
