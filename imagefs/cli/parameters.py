"""Options that several commands have."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from imagefs.errors import InvalidReference
from imagefs.oci import platform

Command = TypeVar("Command", bound=Callable[..., Any])


def _platforms(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...] | None:
    try:
        texts = [platform.text(platform.parse(each.strip())) for value in values for each in value.split(",")]
    except InvalidReference as error:
        raise click.BadParameter(str(error), context, parameter) from None
    return tuple(dict.fromkeys(texts)) or None


def platform_option(wanted: str) -> Callable[[Command], Command]:
    """`--platform`; the command gets `platforms`, as normalised texts, or None."""
    return click.option(
        "--platform",
        "platforms",
        multiple=True,
        metavar="OS/ARCH[/VARIANT]",
        callback=_platforms,
        help=f"{wanted} Can be repeated, or several with commas.",
    )


def exclude(platforms: tuple[str, ...] | None, *, all_platforms: bool) -> None:
    """Refuse `--platform` together with `--all-platforms`. Raises `click.UsageError`."""
    if platforms is not None and all_platforms:
        raise click.UsageError("--platform and --all-platforms exclude each other")


def labels(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str] | None:
    """The callback of what is KEY=VALUE any number of times; None where it was not given."""
    found = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{value[:160]!r} is not KEY=VALUE", context, parameter)
        found[key] = text
    return found or None
