"""`imagefs diff`."""

import json
import os
import sys
from functools import lru_cache
from heapq import nsmallest
from typing import IO, Any

import click

from imagefs.browse.address import Address, parse
from imagefs.browse.difference import ADDED, ASPECTS, CHANGED, REMOVED, Difference, Side, differences
from imagefs.browse.opened import OpenedImage, opened
from imagefs.browse.paths import find
from imagefs.browse.provenance import shown
from imagefs.cli import output
from imagefs.cli.context import Settings, pass_settings
from imagefs.cli.errors import EXPECTED, told
from imagefs.cli.provenance import as_base64, as_json, printable
from imagefs.errors import TreeError
from imagefs.tree.chain import Chain, Path

_LINKS_SHOWN = 100
"""How many other names of a file are listed at most."""


class _Trouble(click.ClickException):
    """What is neither equal nor different, for scripts that ask which, as diff(1) has it."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"imagefs: {self.message}", err=True)


@click.command("diff")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option("--ignore", multiple=True, type=click.Choice(ASPECTS), help="Changes that do not count; can be repeated.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 where A and B differ, and with 2 after an error.")
@click.option("--json", "json_wanted", is_flag=True, help="Print the differences as JSON, with what was and what is.")
@pass_settings
def diff_command(
    settings: Settings, before: str, after: str, ignore: tuple[str, ...], exit_code: bool, json_wanted: bool
) -> None:
    """List what is added (A), removed (D) or changed (C) from A to B, by path.

    A and B are images (debian:12), images as they were after their lowest N layers (debian:12#2; #0 is an empty
    tree), or folders or files in them (debian:12:/etc). Paths begin with that of B, also those of what only A has.

    What can change is content, size, mode and so on, see --ignore; links are other names of the file (in JSON, of 100
    at most), mtime is seconds and nanoseconds. Names that are no UTF-8 are in base64 in JSON.
    """
    try:
        found = _differ(settings, before, after, ignore, json_wanted=json_wanted)
    except BrokenPipeError:  # no error: somebody has seen enough
        raise
    except EXPECTED as error:
        if exit_code:
            raise _Trouble(told(error)) from None
        raise
    if exit_code and found:
        sys.exit(1)


def _differ(settings: Settings, a: str, b: str, ignore: tuple[str, ...], *, json_wanted: bool) -> bool:
    addresses = parse(a), parse(b)
    with settings.open() as store, opened(store, addresses[0]) as one, opened(store, addresses[1]) as other:
        sides = _side(one, addresses[0]), _side(other, addresses[1])
        found = differences(*sides, ignore=ignore)
        if json_wanted:
            before = "["
            for each in found:
                output.write(f"{before}\n  {json.dumps(_difference_as_json(each, *sides))}")
                before = ","
            output.write("\n]\n" if found else "[]\n")
        else:
            for each in found:
                output.write(f"{_difference_as_text(each, sides[1].start)}\n")
        output.flush()
    return bool(found)


def _side(image: OpenedImage, address: Address) -> Side:
    try:
        return Side(image.chain, find(image.chain, address.path or b"/", follow=True).names)
    except TreeError as error:
        raise TreeError(f"{image.name}:{error}") from None


def _difference_as_text(difference: Difference, start: Path) -> str:
    letter = {ADDED: "A", REMOVED: "D", CHANGED: "C"}[difference.kind]
    path = printable(shown((*start, *difference.path)))
    slash = "/" if difference.what == "directory" and path != "/" else ""
    changes = f" ({', '.join(difference.changes)})" if difference.changes else ""
    return f"{letter} {path}{slash}{changes}"


def _difference_as_json(difference: Difference, a: Side, b: Side) -> dict[str, Any]:
    described: dict[str, Any] = as_json("path", shown((*b.start, *difference.path)))
    described |= {"kind": difference.kind, "type": difference.what}
    if difference.changes:
        described["changes"] = {
            aspect: [
                _value_as_json(aspect, value, side.chain, (b.start, difference.path))
                for side, value in zip((a, b), values, strict=True)
            ]
            for aspect, values in difference.changes.items()
        }
    return described


def _value_as_json(aspect: str, value: Any, chain: Chain, place: tuple[Path, Path]) -> Any:  # noqa: ANN401  JSON
    match aspect:
        case "content":
            return {"position": value, "diffID": chain.layers[value - 1].diff_id}
        case "target":
            return None if value is None else _text(value)
        case "device":
            return [os.major(value), os.minor(value)]
        case "mode":
            return f"{value:04o}"
        case "xattrs":
            return {name.decode(errors="replace"): as_base64(content) for name, content in value.items()}
        case "links":
            start, path = place
            others = (other for other in _first(value) if other != path)
            return [_text(shown((*start, *other))) for other in others][:_LINKS_SHOWN]
    return value


@lru_cache(maxsize=16)
def _first(names: frozenset[Path]) -> list[Path]:
    # All names of a file that many lead to come with the same ones.
    return nsmallest(_LINKS_SHOWN + 1, names)


def _text(name: bytes) -> str | dict[str, str]:
    """A name that can be any bytes as a value: of what is no UTF-8 the bytes, in base64."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return {"base64": as_base64(name)}


COMMANDS = [diff_command]
