"""`imagefs check`."""

import json
from collections.abc import Sequence
from typing import Any

import click
from rich.filesize import decimal

from imagefs.browse.listing import printable_text
from imagefs.cli.context import Settings, pass_settings
from imagefs.cli.errors import raise_first
from imagefs.cli.tables import print_table, shortened
from imagefs.errors import ImagefsError
from imagefs.store.catalog import ImageRecord
from imagefs.store.status import ImageStatus, mountpoints, statuses, unpacked
from imagefs.store.store import Store

_TITLES = ("NAME", "STATUS", "SIZE", "UNPACKED", "MOUNTED")


class _Checked:
    """An image, how many of its layers are unpacked, and where it is mounted."""

    def __init__(self, store: Store, status: ImageStatus, mounted: Sequence[str]) -> None:
        self.status = status
        self.mounted = mounted
        self.unpacked, self.layers = unpacked(store.layers, status.mountable)

    @property
    def ready(self) -> bool:
        """Whether all of it is there and unpacked."""
        return self.status.complete and bool(self.status.mountable) and self.unpacked == self.layers


@click.command("check")
@click.argument("images", nargs=-1, metavar="[IMAGE...]")
@click.option("-q", "--quiet", is_flag=True, help="Print only the names of images that are complete and unpacked.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print what was found as JSON, with name, digest, mediaType, complete, present, needed, presentSize, "
    "neededSize, platforms, unpacked, layers, unpackedLayers, mounted and damage of each image.",
)
@pass_settings
def check_command(settings: Settings, images: tuple[str, ...], quiet: bool, as_json: bool) -> None:
    """Tell of images, or of all, whether they are complete, unpacked, and mounted; nothing is changed.

    STATUS counts the blobs that are there and those that are needed, SIZE their bytes. UNPACKED is true, false, or how
    many layers of the complete platforms are. A mount of a store that cannot be written to is not seen.

    An image that is incomplete is no error: the exit status is 1 only where an image is damaged or not found.
    """
    if quiet and as_json:
        raise click.UsageError("--quiet and --json exclude each other")
    errors: list[ImagefsError] = []
    with settings.open() as store:
        records = _records(store, images, errors)
        mounted = mountpoints(store)
        checked = [
            _Checked(store, each, mounted.get(each.record.target.digest, ())) for each in statuses(store, records)
        ]
    if as_json:
        click.echo(json.dumps([_as_json(each) for each in checked], indent=2))
    elif quiet:
        for each in checked:
            if each.ready:
                click.echo(each.status.record.name)
    else:
        print_table(_TITLES, [_row(each) for each in checked], numbers=("SIZE",))
    for each in checked:
        if each.status.damage is not None:
            errors.append(ImagefsError(f"{each.status.record.name}: {each.status.damage}"))
    raise_first(errors)


def _records(store: Store, images: Sequence[str], errors: list[ImagefsError]) -> list[ImageRecord]:
    """The images that are named, each once, or all."""
    if not images:
        return store.images()
    found: dict[str, ImageRecord] = {}
    for image in images:
        try:
            record = store.find_image(image)
            found[record.name] = record
        except ImagefsError as error:
            errors.append(error)
    return list(found.values())


def _row(each: _Checked) -> tuple[str, ...]:
    status, name = each.status, shortened(each.status.record.name)
    mounted = ",".join(printable_text(place) for place in each.mounted) or "-"
    if status.tally is None:
        return name, "damaged", "-", "-", mounted
    state = "complete" if status.complete else "incomplete"
    size = f"{decimal(status.present_size)}/{decimal(status.needed_size)}"
    counted = f"{state} ({status.tally.present}/{status.tally.needed})"
    return name, counted, size, _unpacked(each), mounted


def _unpacked(each: _Checked) -> str:
    if not each.status.mountable:
        # What is no image has nothing to unpack.
        return "false" if any(manifest.is_image for manifest in each.status.manifests) else "-"
    if each.unpacked in (0, each.layers):
        return "true" if each.unpacked == each.layers else "false"
    return f"{each.unpacked} of {each.layers} layers"


def _as_json(each: _Checked) -> dict[str, Any]:
    status, record, tally = each.status, each.status.record, each.status.tally
    return {
        "name": record.name,
        "digest": record.target.digest,
        "mediaType": record.target.media_type,
        "complete": status.complete,
        "present": tally.present if tally is not None else None,
        "needed": tally.needed if tally is not None else None,
        "presentSize": status.present_size if tally is not None else None,
        "neededSize": status.needed_size if tally is not None else None,
        "platforms": status.platforms,
        "unpacked": bool(status.mountable) and each.unpacked == each.layers,
        "layers": each.layers,
        "unpackedLayers": each.unpacked,
        "mounted": list(each.mounted),
        "damage": status.damage,
    }


COMMANDS = [check_command]
