"""How long work tells whoever watches how far it is.

The library calls these methods and never prints; `cli.progress` draws them. Methods may be called
from worker threads.
"""

from typing import Protocol


class Progress(Protocol):
    """One import, export or pull, as its watcher sees it. Sizes are bytes."""

    def started(self, what: str, total: int | None) -> None:
        """Work on an archive begins; `total` is None for a stream of unknown length."""

    def advanced(self, position: int) -> None:
        """So many bytes of the archive, in all, are behind us."""

    def layer_started(self, key: str, label: str, total: int | None) -> None:
        """A layer begins to arrive; `key` names it in the calls that follow."""

    def layer_advanced(self, key: str, position: int) -> None:
        """So many bytes of the layer, in all, are behind us."""

    def layer_finished(self, key: str, note: str) -> None:
        """The layer is done; `note` says how: "unpacked", or "kept" where it could not be."""

    def finished(self) -> None:
        """The archive is done."""


class Silent:
    """A `Progress` that nobody watches."""

    def started(self, what: str, total: int | None) -> None:
        """Say nothing."""

    def advanced(self, position: int) -> None:
        """Say nothing."""

    def layer_started(self, key: str, label: str, total: int | None) -> None:
        """Say nothing."""

    def layer_advanced(self, key: str, position: int) -> None:
        """Say nothing."""

    def layer_finished(self, key: str, note: str) -> None:
        """Say nothing."""

    def finished(self) -> None:
        """Say nothing."""
