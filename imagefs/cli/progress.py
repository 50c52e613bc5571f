"""How far an import is: bars on a terminal, plain lines elsewhere, nothing when quiet. All on stderr."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from imagefs.progress import Silent


class PlainLines(Silent):
    """A line for each layer, for logs and pipes."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}

    def layer_started(self, key: str, label: str, total: int | None) -> None:
        """A layer begins to arrive."""
        self._labels[key] = label

    def layer_finished(self, key: str, note: str) -> None:
        """The layer is done."""
        click.echo(f"{short(self._labels.pop(key))}: {note}", err=True)


@contextmanager
def watching(*, quiet: bool) -> Iterator[Silent]:
    """The watcher for this run's stderr, for the time of the block."""
    if quiet:
        yield Silent()
    elif not sys.stderr.isatty():
        yield PlainLines()
    else:
        from imagefs.cli.bars import Bars  # rich takes as long to load as a small import takes

        with Bars() as bars:
            yield bars


def short(member: str) -> str:
    """A digest's first twelve digits, or the member's name."""
    name = member.removesuffix("/layer.tar").rsplit("/", 1)[-1].removesuffix(".tar")
    return name[:12] if len(name) == 64 else member
