"""`imagefs import`."""

import json
import os
import sys
from contextlib import ExitStack
from typing import Any

import click

from imagefs.archive.importer import IMPORTERS, ImportOptions
from imagefs.archive.importing import import_archive, import_folder
from imagefs.cli.context import Settings, pass_settings
from imagefs.cli.progress import watching
from imagefs.store.catalog import ImageRecord
from imagefs.streams.chunks import ReadableStream


def _known_format(context: click.Context, parameter: click.Parameter, value: str) -> str:
    # Not a choice from a list that is made for every import: it takes longer to make than a small import takes.
    if value != "auto":
        click.Choice(["auto", *sorted(IMPORTERS)]).convert(value, parameter, context)
    return value


@click.command("import")
@click.argument("source", type=click.Path(allow_dash=True))
@click.option(
    "-n",
    "--base-name",
    metavar="PREFIX",
    help="The name to put before bare tags and digests.  [default: localhost/FILE]",
)
@click.option(
    "--format",
    "archive_format",
    metavar="FORMAT",
    callback=_known_format,
    default="auto",
    show_default=True,
    help="The archive's format: auto, docker, oci, or one that is plugged in.",
)
@click.option("--no-unpack", is_flag=True, help="Uncompress layers when they are first used.")
@click.option("--json", "as_json", is_flag=True, help="Print the images as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@pass_settings
def import_command(
    settings: Settings,
    source: str,
    base_name: str | None,
    archive_format: str,
    no_unpack: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Import an image archive, an OCI layout folder, or standard input (-); print the images' names."""
    with ExitStack() as stack:
        is_folder = source != "-" and os.path.isdir(source)
        if source == "-":
            stream: ReadableStream = sys.stdin.buffer
        elif not is_folder:  # before the store: a wrong path leaves nothing behind
            stream = stack.enter_context(open(source, "rb", buffering=0))
        store = stack.enter_context(settings.open())
        progress = stack.enter_context(watching(quiet=quiet))
        options = ImportOptions(prefix=base_name, unpacking=not no_unpack, progress=progress)
        if is_folder:
            records = import_folder(store, source, options)
        else:
            records = import_archive(store, stream, options, archive_format=archive_format)
    if as_json:
        click.echo(json.dumps([_as_json(record) for record in records], indent=2))
        return
    for record in records:
        click.echo(record.name)
        if record.moved_from is not None and not quiet:
            click.echo(f"{record.name}: moved here from {record.moved_from}", err=True)


def _as_json(record: ImageRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "digest": record.target.digest,
        "mediaType": record.target.media_type,
        "movedFrom": record.moved_from,
    }


COMMANDS = [import_command]
