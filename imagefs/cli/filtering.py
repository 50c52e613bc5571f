"""The option `--filter` of the commands that choose images."""

import click

from imagefs.errors import InvalidFilter
from imagefs.store import filters


def _parsed(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> filters.Filters:
    try:
        return filters.parse(values)
    except InvalidFilter as error:
        raise click.BadParameter(str(error)) from None


filter_option = click.option(
    "-f",
    "--filter",
    "chosen",
    metavar="KEY=VALUE",
    multiple=True,
    callback=_parsed,
    help="Only images that meet a condition; can be repeated. reference=PATTERN, name=NAME, label=KEY[=VALUE], "
    "label!=KEY[=VALUE], dangling=BOOL, complete=BOOL, platform=PLATFORM, before=IMAGE, since=IMAGE, "
    "until=TIME-OR-DURATION.",
)
