"""Options that several commands have."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from imagefs.errors import InvalidReference
from imagefs.limits import CEILINGS, UNLIMITED, Limits, flag_name
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


_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_AMOUNT = re.compile(r"(\d{1,18})(?:([KMGT])(?:iB)?)?", re.ASCII)
_BOUNDS = {flag_name(bound): bound for bound in Limits.__struct_fields__}


def _limits(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> Limits:
    given = {}
    for value in values:
        name, _, text = value.partition("=")
        amount = _AMOUNT.fullmatch(text)
        if name not in _BOUNDS:
            raise click.BadParameter(f"{name[:160]!r} is none of {', '.join(_BOUNDS)}", context, parameter)
        bound = _BOUNDS[name]
        most = CEILINGS.get(bound, UNLIMITED)
        if amount is None and text != "none":
            raise click.BadParameter(f"{value[:160]!r} has no amount such as 5000, 64MiB or none", context, parameter)
        found = int(amount[1]) * _UNITS[amount[2] or ""] if amount is not None else most
        if found > most:
            raise click.BadParameter(f"{name} can be {most} at the most", context, parameter)
        given[bound] = found
    return Limits(**given)


def limit_option(whose: str) -> Callable[[Command], Command]:
    """`--limit`; the command gets `limits`."""
    return click.option(
        "--limit",
        "limits",
        multiple=True,
        metavar="BOUND=AMOUNT",
        callback=_limits,
        help=f"Let {whose} ask for more, or less, than by default, such as layer-size=1TiB; none for no bound. "
        "SECURITY.md lists the bounds. Can be repeated.",
    )


def labels(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str] | None:
    """The callback of what is KEY=VALUE any number of times; None where it was not given."""
    found = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{value[:160]!r} is not KEY=VALUE", context, parameter)
        found[key] = text
    return found or None
