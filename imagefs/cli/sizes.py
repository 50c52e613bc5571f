"""Sizes that users give."""

import re

import click

_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,6})?) ?([kmgtp]?)(i?)b?", re.IGNORECASE | re.ASCII)


def size(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """The callback of an option that is a number of bytes; None where it was not given.

    `500M`, `10GB` and `1.5 TB` are by thousands, as sizes are printed, and `10GiB` is by 1,024.
    """
    if text is None:
        return None
    found = _SIZE.fullmatch(text)
    if found is None or (found[3] and not found[2]):
        raise click.BadParameter(f"{text[:160]!r} is no size such as 500M, 10GB or 10GiB", context, parameter)
    power = "kmgtp".index(found[2].lower()) + 1 if found[2] else 0
    return int(float(found[1]) * (1024 if found[3] else 1000) ** power)
