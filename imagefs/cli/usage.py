"""`imagefs usage`."""

import json
from collections.abc import Sequence
from typing import Any

import click
from rich.filesize import decimal

from imagefs.cli.context import Settings, pass_settings
from imagefs.cli.tables import print_table, shortened
from imagefs.store.catalog import ImageRecord
from imagefs.store.usage import LayerUsage, Usage, usage

_TITLES = ("LAYER", "PLATFORM", "DIGEST", "SIZE", "UNCOMPRESSED", "FILES", "SHARED WITH")

_NAMES_SHOWN = 3
"""How many other images the table names at most for each layer."""


@click.command("usage")
@click.argument("image")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the same as JSON, with whole digests and bytes: name, digest, size, uniqueSize, sharedSize, "
    "derivedSize, and of the layers position, platforms, mediaType, digest, diffID, size, uncompressedSize, files "
    "and sharedWith.",
)
@pass_settings
def usage_command(settings: Settings, image: str, as_json: bool) -> None:
    """Tell what an image takes up: the layers of its complete platforms, and what it shares with other images.

    Layers count from the lowest. What was never unpacked has a - for its uncompressed size and its number of files.
    """
    with settings.open() as store:
        record = store.find_image(image)
        found = usage(store, record)
    if as_json:
        click.echo(json.dumps(_as_json(record, found), indent=2))
        return
    numbers = ("LAYER", "SIZE", "UNCOMPRESSED", "FILES")
    print_table(_TITLES, [_row(layer) for layer in found.layers], numbers=numbers)
    shared = found.size - found.unique
    click.echo(f"blobs: {decimal(found.size)}, {decimal(found.unique)} only here, {decimal(shared)} shared")
    click.echo(f"unpacked: {decimal(found.derived)}")


def _row(layer: LayerUsage) -> tuple[str, ...]:
    totals = layer.totals
    uncompressed, files = (decimal(totals.size), str(totals.nodes)) if totals is not None else ("-", "-")
    platforms, names = ",".join(layer.platforms), _names(layer.shared_with)
    encoded = layer.blob.digest.partition(":")[2]
    return str(layer.position), platforms, encoded[:12], decimal(layer.blob.size), uncompressed, files, names


def _names(shared_with: Sequence[str]) -> str:
    names = ", ".join(shortened(name) for name in shared_with[:_NAMES_SHOWN])
    more = len(shared_with) - _NAMES_SHOWN
    return f"{names} and {more} more" if more > 0 else names or "-"


def _as_json(record: ImageRecord, found: Usage) -> dict[str, Any]:
    return {
        "name": record.name,
        "digest": record.target.digest,
        "layers": [_layer_as_json(layer) for layer in found.layers],
        "size": found.size,
        "uniqueSize": found.unique,
        "sharedSize": found.size - found.unique,
        "derivedSize": found.derived,
    }


def _layer_as_json(layer: LayerUsage) -> dict[str, Any]:
    totals = layer.totals
    return {
        "position": layer.position,
        "platforms": list(layer.platforms),
        "mediaType": layer.blob.media_type,
        "digest": layer.blob.digest,
        "diffID": layer.diff_id,
        "size": layer.blob.size,
        "uncompressedSize": totals.size if totals is not None else None,
        "files": totals.nodes if totals is not None else None,
        "sharedWith": list(layer.shared_with),
    }


COMMANDS = [usage_command]
