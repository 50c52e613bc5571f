"""The option `--filter` of the commands that choose images."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from imagefs.errors import InvalidFilter
from imagefs.store import filters

Command = TypeVar("Command", bound=Callable[..., Any])


def _parsed(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> filters.Filters:
    try:
        return filters.parse(values)
    except InvalidFilter as error:
        raise click.BadParameter(str(error)) from None


def filter_option(*names: str) -> Callable[[Command], Command]:
    """The option under these names; the command gets its conditions as `chosen`."""
    return click.option(
        *names,
        "chosen",
        metavar="KEY=VALUE",
        multiple=True,
        callback=_parsed,
        help="Only images that meet a condition; can be repeated. reference=PATTERN, name=NAME, label=KEY[=VALUE], "
        "label!=KEY[=VALUE], dangling=BOOL, complete=BOOL, platform=PLATFORM, before=IMAGE, since=IMAGE, "
        "until=TIME-OR-DURATION.",
    )
