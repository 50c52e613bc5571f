"""What was used last, up to a bound."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Values by inode number; those that were used longest ago go first.

    Their weights stay below `bound` in all; only the last one may be heavier alone. What goes is only forgotten:
    somebody may be using it still, in another thread.
    """

    def __init__(self, bound: int, weight: Callable[[Value], int] = lambda _: 1) -> None:
        self._bound = bound
        self._weight = weight
        self._values: OrderedDict[int, Value] = OrderedDict()
        self._total = 0

    def get(self, inode: int) -> Value | None:
        """The value of an inode, None where it is not known any more."""
        value = self._values.get(inode)
        if value is not None:
            self._values.move_to_end(inode)
        return value

    def add(self, inode: int, value: Value) -> Value:
        """Remember a value, in place of what is remembered of the inode; answers the value."""
        before = self._values.pop(inode, None)
        if before is not None:
            self._total -= self._weight(before)
        self._values[inode] = value
        self._total += self._weight(value)
        while self._total > self._bound and len(self._values) > 1:
            self._total -= self._weight(self._values.popitem(last=False)[1])
        return value
