"""Tables and trees on a terminal, and the same for programs: never wrapped or cut to a width where it is piped."""

import io
import sys
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from imagefs.cli import output
from imagefs.oci import reference

_UNLIMITED = 1 << 30


def shortened(name: str) -> str:
    """A name for people: of an image without one, which is called by its digest, the first digits."""
    return name[:19] if reference.is_dangling(name) else name


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise  # as it is, with the exit status that it has here: this is called where it is handled


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[str] = ()) -> None:
    """Print a table; the columns of `numbers` stand to the right. What is in it must not steer a terminal."""
    on_terminal = sys.stdout.isatty()
    table = Table(box=box.SIMPLE_HEAD if on_terminal else None, pad_edge=False)
    for title in titles:
        table.add_column(title, no_wrap=True, justify="right" if title in numbers else "left")
    for row in rows:
        table.add_row(*row)
    if on_terminal:
        _Console(highlight=False, markup=False).print(table)
    else:
        _write(table)


def label(text: str) -> Text:
    """A line of a tree, as it is."""
    return Text(text, no_wrap=True, overflow="ignore")


def print_tree(tree: Tree) -> None:
    """Print a tree of `label`s, in full also where it is wider than the terminal."""
    _write(tree)


def _write(drawn: RenderableType) -> None:
    text = io.StringIO()
    Console(file=text, width=_UNLIMITED, highlight=False, markup=False, force_terminal=False).print(drawn)
    output.write("".join(f"{line.rstrip(' ')}\n" for line in text.getvalue().splitlines()))
