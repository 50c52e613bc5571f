"""`imagefs leases ls`, `create` and `rm`."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from imagefs.cli.context import Settings, pass_settings
from imagefs.cli.errors import each
from imagefs.oci import moments
from imagefs.store import granting
from imagefs.store.granting import Protected
from imagefs.store.leases import IMPORT, LeaseStanding, mountpoint_of

_TITLES = ("ID", "LABEL", "HELD", "EXPIRES", "PROTECTS")

_HELD = {"held": "yes", "lost": "maybe", "timed": "no", "dead": "no"}

_SHOWN = 3
"""How many things the table names at most for each lease."""


@click.group("leases")
def leases_command() -> None:
    """What keeps content from garbage collection beside names: leases.

    Imports, exports and mounts hold one while they run.
    """


@leases_command.command("ls")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the leases as JSON, with id, label, state (held, lost, timed or dead), held, expires and protects of "
    "each, and of what it protects kind (image, blob or layer), digest and images, the names.",
)
@pass_settings
def ls_command(settings: Settings, as_json: bool) -> None:
    """List the leases.

    HELD tells whether a process has it that lives: maybe where its file in the store's leases/ was taken away, and then
    it counts as held. One that is neither held nor expires later protects nothing, and goes with the next gc.
    """
    with settings.open() as store:
        found = granting.grants(store)
    if as_json:
        click.echo(json.dumps([_as_json(*grant) for grant in found], indent=2))
        return
    from imagefs.cli.tables import print_table

    print_table(_TITLES, [_row(*grant) for grant in found])


def _row(lease: LeaseStanding, protected: Sequence[Protected]) -> tuple[str, ...]:
    from imagefs.browse.listing import printable_text  # with all that looks into images

    return (
        lease.id,
        printable_text(lease.label) or "-",
        _HELD[lease.state],
        _moment(lease.expires_at) or "-",
        _told(protected) if lease.protects else "nothing",
    )


def _told(protected: Sequence[Protected]) -> str:
    from imagefs.cli.tables import shortened

    names = [shortened(name) for kept in protected for name in kept.images[:1]]
    names += [f"{_kind(kept.kind)} {kept.digest[:19]}" for kept in protected if not kept.images]
    more = len(names) - _SHOWN
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown or "nothing"


def _kind(kind: str) -> str:
    return kind if kind in ("blob", "layer") else "image"


def _moment(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _as_json(lease: LeaseStanding, protected: Sequence[Protected]) -> dict[str, Any]:
    return {
        "id": lease.id,
        "label": lease.label,
        "state": lease.state,
        "held": lease.held,
        "expires": _moment(lease.expires_at),
        "protects": [
            {"kind": _kind(kept.kind), "digest": kept.digest, "images": list(kept.images)} for kept in protected
        ]
        if lease.protects
        else [],
    }


_LONGEST = 100 * 365 * 24 * 3600.0


def _lifetime(context: click.Context, parameter: click.Parameter, text: str) -> float:
    seconds = moments.duration(text)
    if seconds is None or not 0 < seconds <= _LONGEST:
        raise click.BadParameter(f"{text[:160]!r} is no duration such as 36h or 1h30m", context, parameter)
    return seconds


@leases_command.command("create")
@click.argument("texts", nargs=-1, required=True, metavar="IMAGE|DIGEST...")
@click.option("--label", default="", metavar="TEXT", help="What it is for.")
@click.option(
    "--expires", "lifetime", default="24h", show_default=True, metavar="DURATION", callback=_lifetime,
    help="For how long it protects: 36h, 1h30m.",
)  # fmt: skip
@pass_settings
def create_command(settings: Settings, texts: tuple[str, ...], label: str, lifetime: float) -> None:
    """Keep images, or blobs by their digests, for a time, whatever becomes of names; print the lease's ID.

    With an image or a manifest all that it needs is kept.
    """
    if mountpoint_of(label) is not None or label == IMPORT:
        raise click.BadParameter(f"{label!r}: the labels of mounts and imports are like that", param_hint="--label")
    with settings.open() as store:
        click.echo(granting.grant(store, texts, label, lifetime))


@leases_command.command("rm")
@click.argument("leases", nargs=-1, required=True, metavar="ID...")
@click.option("-f", "--force", is_flag=True, help="Also what a process holds that lives; it may lack content then.")
@pass_settings
def rm_command(settings: Settings, leases: tuple[str, ...], force: bool) -> None:
    """End leases. What nothing else needs goes with the next gc."""
    with settings.open() as store:
        each(leases, lambda lease: granting.end(store, lease, force=force))


COMMANDS = [leases_command]
