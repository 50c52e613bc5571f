"""`imagefs export`."""

import sys

import click

from imagefs.api import export_archive, export_file
from imagefs.archive.exporter import EXPORTERS
from imagefs.cli.context import Settings, pass_settings


@click.command("export")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option(
    "--format", "archive_format", type=click.Choice(sorted(EXPORTERS)), default="oci+docker", show_default=True
)
@click.option("-o", "--output", required=True, metavar="FILE", help="The archive to write, - for standard output.")
@pass_settings
def export_command(settings: Settings, images: tuple[str, ...], archive_format: str, output: str) -> None:
    """Write images to an archive that docker, podman, skopeo and ctr load."""
    with settings.open() as store:
        if output != "-":
            export_file(store, images, output, exporter=archive_format)
            return
        if sys.stdout.isatty():
            raise click.UsageError("an archive does not go to a terminal; use -o FILE or a pipe")
        export_archive(store, images, sys.stdout.buffer, exporter=archive_format)
        sys.stdout.buffer.flush()


COMMANDS = [export_command]
