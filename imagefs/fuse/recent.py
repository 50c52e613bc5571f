"""What was used last, up to a bound: an opened thing for each inode, where the kernel does not say what it has open."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Values by inode, made when they are asked for; those that were used longest ago go first.

    Their weights stay below `bound` in all, however heavy; only the last one may be heavier alone.
    """

    def __init__(self, make: Callable[[int], Value], weight: Callable[[Value], int], bound: int) -> None:
        self._make = make
        self._weight = weight
        self._bound = bound
        self._known: OrderedDict[int, Value] = OrderedDict()
        self._total = 0

    def get(self, inode: int) -> Value:
        """The inode's value. Raises what making it raises."""
        found = self._known.get(inode)
        if found is not None:
            self._known.move_to_end(inode)
            return found
        made = self._known[inode] = self._make(inode)
        self._total += self._weight(made)
        while self._total > self._bound and len(self._known) > 1:
            # Not closed: somebody may be using it still, in another thread.
            self._total -= self._weight(self._known.popitem(last=False)[1])
        return made
