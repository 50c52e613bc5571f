"""Formats by name: those that come with the package, and those that other packages plug in by an entry point."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from imagefs.errors import ImagefsError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class Formats:
    """The formats of one kind: `own` are ours, as `module:factory`; others come from the entry point group.

    Ours come first: to find what else is installed takes 30 milliseconds, and few archives need it.
    """

    def __init__(self, group: str, own: Mapping[str, str]) -> None:
        self._group = group
        self._own = own

    def __iter__(self) -> Iterator[str]:
        yield from sorted(self._own)
        yield from sorted(self._plugged_in.keys() - self._own.keys())

    def factory(self, name: str) -> Callable[..., Any]:
        """What makes a reader or writer of a format. Raises `ImagefsError` for a name that nothing has."""
        if name in self._own:
            module, _, attribute = self._own[name].partition(":")
            factory: Callable[..., Any] = getattr(import_module(module), attribute)
            return factory
        if name in self._plugged_in:
            return self._plugged_in[name].load()  # type: ignore[no-any-return]  # whatever was plugged in
        raise ImagefsError(f"{name}: no such archive format, there are {', '.join(sorted(self))}")

    @cached_property
    def _plugged_in(self) -> "dict[str, EntryPoint]":
        from importlib.metadata import entry_points

        return {entry.name: entry for entry in entry_points(group=self._group)}
