"""`imagefs images`."""

import json
from typing import Any

import click
from rich.filesize import decimal

from imagefs.cli.context import Settings, pass_settings
from imagefs.cli.filtering import filter_option
from imagefs.cli.tables import print_table
from imagefs.store.filters import Filters
from imagefs.store.status import ImageStatus, statuses

_TITLES = ("NAME", "DIGEST", "PLATFORMS", "CREATED", "SIZE")


@click.command("images")
@filter_option("-f", "--filter")
@click.option("-q", "--quiet", is_flag=True, help="Print digests only, each once.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the images as JSON, with name, digest, platforms, created, size, dangling, complete, present, needed, "
    "damage and labels of each; the name of one without is its digest.",
)
@pass_settings
def images_command(settings: Settings, chosen: Filters, quiet: bool, as_json: bool) -> None:
    """List the images in the store: name, digest, platforms, when it was made, size of its blobs.

    An image without a name has <none> in its place. Platforms are those that are complete; beside them is told how
    much is there of an image that is not, or that it is damaged.

    Conditions are docker's: all of them have to hold, but of several references, names or platforms only one. Dates
    are those that images give themselves.
    """
    if quiet and as_json:
        raise click.UsageError("--quiet and --json exclude each other")
    with settings.open() as store:
        images = chosen.choose(store, statuses(store, store.images()))
    if as_json:
        click.echo(json.dumps([_as_json(image) for image in images], indent=2))
    elif quiet:
        for content in dict.fromkeys(image.record.target.digest for image in images):
            click.echo(content)
    else:
        print_table(_TITLES, [_row(image) for image in images], numbers=("SIZE",))


def _row(image: ImageStatus) -> tuple[str, ...]:
    record = image.record
    encoded = record.target.digest.partition(":")[2]
    created = (image.created or "-")[:10]
    size = decimal(image.size) if image.damage is None else "-"
    return "<none>" if record.dangling else record.name, encoded[:12], _platforms(image), created, size


def _platforms(image: ImageStatus) -> str:
    if image.damage is not None:
        return "damaged"
    platforms = ",".join(image.platforms)
    if image.complete:
        return platforms or "-"
    return f"{platforms} ({image.tally})" if platforms else str(image.tally)


def _as_json(image: ImageStatus) -> dict[str, Any]:
    record, tally = image.record, image.tally
    return {
        "name": record.name,
        "digest": record.target.digest,
        "platforms": image.platforms,
        "created": image.created,
        "size": image.size,
        "dangling": record.dangling,
        "complete": image.complete,
        "present": tally.present if tally is not None else None,
        "needed": tally.needed if tally is not None else None,
        "damage": image.damage,
        "labels": dict(image.labels),
    }


COMMANDS = [images_command]
