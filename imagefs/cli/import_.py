"""`imagefs import`, and `imagefs load`, which is the same with docker's arguments and output."""

import json
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar

import click

from imagefs.archive.importer import IMPORTERS, ImportOptions
from imagefs.archive.importing import import_archive, import_folder
from imagefs.cli import parameters
from imagefs.cli.context import Settings, pass_settings
from imagefs.cli.progress import watching
from imagefs.oci import reference
from imagefs.store.catalog import ImageRecord
from imagefs.streams.chunks import ReadableStream

Command = TypeVar("Command", bound=Callable[..., Any])


def _known_format(context: click.Context, parameter: click.Parameter, value: str) -> str:
    # Not a choice from a list that is made for every import: it takes longer to make than a small import takes.
    if value != "auto":
        click.Choice(["auto", *sorted(IMPORTERS)]).convert(value, parameter, context)
    return value


_OPTIONS = (
    click.option(
        "-n",
        "--base-name",
        "prefix",
        metavar="PREFIX",
        help="The name to put before bare tags and digests; of other images, take only those whose names begin with "
        "it.  [default: localhost/FILE, for bare tags]",
    ),
    click.option("--digests", is_flag=True, help="Give images a name by digest, too."),
    click.option("--skip-digest-for-named", is_flag=True, help="With --digests, only those that have no other name."),
    click.option("--index-name", metavar="NAME", help="Keep the archive's whole index, under this name."),
    parameters.platform_option("Keep only what is for this platform."),
    click.option("--all-platforms", is_flag=True, help="Keep all platforms, which is the default."),
    click.option(
        "--format",
        "archive_format",
        metavar="FORMAT",
        callback=_known_format,
        default="auto",
        show_default=True,
        help="The archive's format: auto, docker, oci, or one that is plugged in.",
    ),
    click.option("--no-unpack", is_flag=True, help="Uncompress layers when they are first used."),
    click.option("--skip-missing", is_flag=True, help="Take images, too, of which content is missing."),
    click.option("--compress-blobs", is_flag=True, help="Compress uncompressed layers of docker archives, with gzip."),
    click.option(
        "--label",
        "labels",
        metavar="KEY=VALUE",
        multiple=True,
        callback=parameters.labels,
        help="Put a label on the images. Can be repeated.",
    ),
    parameters.limit_option("the archive"),
    click.option("-q", "--quiet", is_flag=True, help="Show no progress."),
)


def _with_options(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("import")
@click.argument("source", type=click.Path(allow_dash=True))
@_with_options
@click.option("--json", "as_json", is_flag=True, help="Print the images as JSON.")
@pass_settings
def import_command(settings: Settings, /, source: str, as_json: bool, **options: Any) -> None:  # noqa: ANN401  _OPTIONS
    """Import an image archive, an OCI layout folder, or standard input (-); print the images' names."""
    records = _import(settings, source, **options)
    if as_json:
        click.echo(json.dumps([_as_json(record) for record in records], indent=2))
        return
    for record in records:
        click.echo(record.name)
        _tell(record, quiet=options["quiet"])


@click.command("load")
@click.option(
    "-i", "--input", "source", type=click.Path(), metavar="FILE", help="Read from a file, not from standard input."
)
@_with_options
@pass_settings
def load_command(settings: Settings, /, source: str | None, **options: Any) -> None:  # noqa: ANN401  _OPTIONS
    """Import an image archive as docker load does, from standard input or a file."""
    if source is None and sys.stdin.isatty():
        raise click.UsageError("standard input is a terminal; use -i FILE or a pipe")
    for record in _import(settings, source or "-", **options):
        if record.dangling:
            click.echo(f"Loaded image ID: {record.name}")
        else:
            click.echo(f"Loaded image: {reference.familiar(record.name)}")
        _tell(record, quiet=options["quiet"])


def _import(
    settings: Settings,
    source: str,
    *,
    archive_format: str,
    no_unpack: bool,
    compress_blobs: bool,
    all_platforms: bool,
    quiet: bool,
    **asked: Any,  # noqa: ANN401  what `ImportOptions` has by the same name
) -> list[ImageRecord]:
    parameters.exclude(asked["platforms"], all_platforms=all_platforms)
    if asked["skip_digest_for_named"] and not asked["digests"]:
        raise click.UsageError("--skip-digest-for-named means nothing without --digests")
    with ExitStack() as stack:
        is_folder = source != "-" and os.path.isdir(source)
        if source == "-":
            stream: ReadableStream = sys.stdin.buffer
        elif not is_folder:  # before the store: a wrong path leaves nothing behind
            stream = stack.enter_context(open(source, "rb", buffering=0))
        store = stack.enter_context(settings.open())
        progress = stack.enter_context(watching(quiet=quiet))
        options = ImportOptions(unpacking=not no_unpack, compress=compress_blobs, progress=progress, **asked)
        if is_folder:
            return import_folder(store, source, options)
        return import_archive(store, stream, options, archive_format=archive_format)


def _tell(record: ImageRecord, *, quiet: bool) -> None:
    if record.moved_from is not None and not quiet:
        click.echo(f"{record.name}: moved here from {record.moved_from}", err=True)


def _as_json(record: ImageRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "digest": record.target.digest,
        "mediaType": record.target.media_type,
        "complete": record.complete,
        "movedFrom": record.moved_from,
    }


COMMANDS = [import_command, load_command]
