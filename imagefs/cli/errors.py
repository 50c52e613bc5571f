"""Errors that are told in one line, and how."""

import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence

import click

from imagefs.errors import ImagefsError

EXPECTED = (ImagefsError, OSError, sqlite3.Error)
"""What can go wrong without anything being wrong with the program."""


def each(texts: Iterable[str], do: Callable[[str], None]) -> None:
    """Do something with each of what a user named, though it may be wrong with some. Raises the first error."""
    errors: list[ImagefsError] = []
    for text in texts:
        try:
            do(text)
        except ImagefsError as error:
            errors.append(error)
    raise_first(errors)


def raise_first(errors: Sequence[ImagefsError]) -> None:
    """Tell all errors but the first, and raise that one; without any, go on."""
    for other in errors[1:]:
        click.echo(f"imagefs: {told(other)}", err=True)
    if errors:
        raise errors[0]


def told(error: Exception) -> str:
    """The line, in which nothing steers a terminal."""
    return printable(_text(error))


def printable(text: str) -> str:
    """Text in which nothing steers a terminal."""
    if text.isprintable():
        return text
    from imagefs.browse.listing import printable_text  # with all that looks into images: few commands come to this

    return printable_text(text)


def _text(error: Exception) -> str:
    if isinstance(error, sqlite3.Error):
        # The store has databases, and the index of a layer that lies over links of others is made in the folder for
        # temporary files; which one it was, SQLite does not say.
        return f"a database in the store or in {os.environ.get('TMPDIR') or '/tmp'}: {error}"
    if isinstance(error, OSError):
        name = error.filename
        where = f"{os.fsdecode(name) if isinstance(name, bytes) else name}: " if name else ""
        return f"{where}{error.strerror or error}"
    return str(error)
