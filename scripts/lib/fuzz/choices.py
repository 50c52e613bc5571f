"""Decisions that are made by the bytes of an input, so that whatever changes bytes changes decisions."""

from collections.abc import Sequence
from typing import TypeVar

Thing = TypeVar("Thing")


class Choices:
    """An input as a supply of decisions; when it is used up, all of them are the first of what there is."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def __bool__(self) -> bool:
        return self._position < len(self._data)

    def number(self, size: int = 1) -> int:
        """A number of so many bytes."""
        return int.from_bytes(self.some(size), "little")

    def below(self, end: int) -> int:
        """A number below an end, which is above 0."""
        return self.number(1 if end <= 1 << 8 else 4) % end

    def some(self, size: int) -> bytes:
        """So many bytes, fewer at the end."""
        taken = self._data[self._position : self._position + size]
        self._position += size
        return taken

    def rest(self) -> bytes:
        """All that is left."""
        return self.some(len(self._data))

    def one_of(self, things: Sequence[Thing]) -> Thing:
        """One of some things."""
        return things[self.below(len(things))]
