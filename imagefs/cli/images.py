"""`imagefs images` and `inspect`."""

import json
import re
import sys
from contextlib import suppress
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from imagefs.cli.context import Settings, pass_settings
from imagefs.oci.model import Descriptor
from imagefs.store import contents
from imagefs.store.catalog import ImageRecord
from imagefs.store.store import Store

_DATE = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-][0-9:]+)$")  # RFC 3339; what is no date is not printed


@click.command("images")
@click.option("--json", "as_json", is_flag=True, help="Print the images as JSON.")
@pass_settings
def images_command(settings: Settings, as_json: bool) -> None:
    """List the images in the store: name, digest, platforms, when it was made, size of its blobs."""
    with settings.open() as store:
        rows = [_summary(store, record) for record in store.images()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None if not sys.stdout.isatty() else box.SIMPLE_HEAD, pad_edge=False)
    for title in ("NAME", "DIGEST", "PLATFORMS", "CREATED", "SIZE"):
        table.add_column(title, no_wrap=True, justify="right" if title == "SIZE" else "left")
    for row in rows:
        encoded = row["digest"].partition(":")[2]
        platforms = ",".join(row["platforms"]) or "-"
        table.add_row(row["name"], encoded[:12], platforms, (row["created"] or "-")[:10], decimal(row["size"]))
    # Piped output is for programs: never wrapped or cut to a terminal's width.
    _Console(width=None if sys.stdout.isatty() else 10_000, highlight=False, markup=False).print(table)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise  # as it is, with the exit status that it has here: this is called where it is handled


def _summary(store: Store, record: ImageRecord) -> dict[str, Any]:
    present = contents.manifests(store.blobs, record.target)
    sizes = [store.blobs.size(blob) or 0 for blob in contents.closure(store.blobs, record.target)]
    created = [each.config.created for each in present if each.config is not None and each.config.created]
    return {
        "name": record.name,
        "digest": record.target.digest,
        "platforms": [each.platform_text for each in present if each.mountable],
        "created": max((text for text in created if _DATE.match(text)), default=None),
        "size": sum(sizes),
    }


@click.command("inspect")
@click.argument("image")
@pass_settings
def inspect_command(settings: Settings, image: str) -> None:
    """Print what an image consists of, as JSON."""
    with settings.open() as store:
        record = store.find_image(image)
        manifests = []
        for each in contents.manifests(store.blobs, record.target):
            described: dict[str, Any] = {**_descriptor(each.descriptor), "complete": each.complete}
            if each.config is not None:
                described["platform"] = each.platform_text
                described["config"] = _json(store.blobs.read(each.manifest.config.digest))
            elif not (each.is_image or each.attestation):
                described["artifactType"] = each.manifest.artifact_type or each.manifest.config.media_type
            described["layers"] = [_descriptor(layer) for layer in each.manifest.layers]
            for entry, (diff_id, _) in zip(described["layers"], each.layers, strict=False):
                entry["diffID"] = diff_id
                entry["unpacked"] = diff_id in store.layers
            manifests.append(described)
        click.echo(json.dumps({"name": record.name, **_descriptor(record.target), "manifests": manifests}, indent=2))


def _json(data: bytes) -> Any:  # noqa: ANN401  plain JSON values
    """A configuration's values: what python has no number or no text for is the text that it has, or none."""
    with suppress(ValueError, RecursionError):
        return json.loads(data.decode("utf-8", "replace"), parse_int=lambda text: int(text) if len(text) < 99 else text)
    return None


def _descriptor(descriptor: Descriptor) -> dict[str, Any]:
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}


COMMANDS = [images_command, inspect_command]
