"""`imagefs events`."""

import json
import select
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import get_args

import click

from imagefs.cli.context import Settings, pass_settings
from imagefs.errors import InvalidFilter
from imagefs.oci import moments, reference
from imagefs.store.events import Action, Event
from imagefs.store.watching import watch


def _moment(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    try:
        return None if text is None else moments.meant(text, datetime.now(UTC)).timestamp()
    except InvalidFilter as error:
        raise click.BadParameter(str(error)) from None


def _is_action(wanted: str, event: Event) -> bool:
    return event.action == wanted


def _is_of(wanted: str, event: Event) -> bool:
    """Whether an event's image has a name, with or without its tag and what is before a slash."""
    names = () if event.name is None else (event.name, reference.repository(event.name))
    return any(name == wanted or name.endswith(f"/{wanted}") for name in names)


_KEYS: Mapping[str, Callable[[str, Event], bool]] = {"action": _is_action, "name": _is_of}

_Filters = Mapping[str, Collection[Callable[[Event], bool]]]


def _filters(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> _Filters:
    filters: dict[str, list[Callable[[Event], bool]]] = {}
    for text in texts:
        key, _sign, value = text.partition("=")
        if key not in _KEYS or not value:
            raise click.BadParameter(f"{text!r} is neither {' nor '.join(f'{each}=...' for each in _KEYS)}")
        if key == "action" and value not in get_args(Action):
            raise click.BadParameter(f"{value!r} is none of {', '.join(get_args(Action))}")
        filters.setdefault(key, []).append(partial(_KEYS[key], value))
    return filters


@click.command("events")
@click.option(
    "--since",
    metavar="TIME",
    callback=_moment,
    help="First what is on record: a date, seconds, or 10m ago.",
)
@click.option("--until", metavar="TIME", callback=_moment, help="End then.")
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="KEY=VALUE",
    callback=_filters,
    help="Only action=load, tag, untag, delete, mount or unmount, or name=NAME; of one KEY any, of several all.",
)
@pass_settings
def events_command(settings: Settings, since: float | None, until: float | None, filters: _Filters) -> None:
    """Print what happens in the store, from any process, as lines of JSON while it happens."""
    output = select.poll()
    output.register(1, 0)  # errors alone: that its reader is gone shows before there is anything to write

    def wait(seconds: float) -> None:
        if output.poll(seconds * 1000):
            raise BrokenPipeError

    with settings.open() as store:
        for event in watch(store, since=since, until=until, wait=wait):
            if all(any(test(event) for test in tests) for tests in filters.values()):
                click.echo(json.dumps(event.described()))  # which flushes


COMMANDS = [events_command]
