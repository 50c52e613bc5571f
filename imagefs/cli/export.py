"""`imagefs export`, and `imagefs save` for those who are used to docker's."""

import sys

import click

from imagefs.api import export_archive, export_file
from imagefs.archive.exporter import EXPORTERS, ExportOptions
from imagefs.cli import parameters
from imagefs.cli.context import Settings, pass_settings
from imagefs.limits import Limits

_IMAGES = click.argument("images", nargs=-1, required=True, metavar="IMAGE...")


@click.command("export")
@_IMAGES
@click.option(
    "--format", "archive_format", type=click.Choice(sorted(EXPORTERS)), default="oci+docker", show_default=True
)
@click.option("-o", "--output", required=True, metavar="FILE", help="The archive to write, - for standard output.")
@parameters.platform_option("Only what serves this platform.")
@click.option("--all-platforms", is_flag=True, help="Fail unless all that an index lists is in the store.")
@click.option(
    "--skip-missing", is_flag=True, help="Write each image's index as it is, with what there is of its content."
)
@click.option("--skip-non-distributable", is_flag=True, help="Leave out layers that only their makers may give away.")
@click.option("--skip-manifest-json", is_flag=True, help="Leave out docker's manifest.json.")
@click.option(
    "--base",
    multiple=True,
    metavar="IMAGE|ARCHIVE",
    help="Leave out what this image, archive or layout folder holds; repeatable.",
)
@parameters.limit_option("an archive that is a base")
@pass_settings
def export_command(
    settings: Settings,
    images: tuple[str, ...],
    archive_format: str,
    output: str,
    platforms: tuple[str, ...] | None,
    all_platforms: bool,
    skip_missing: bool,
    skip_non_distributable: bool,
    skip_manifest_json: bool,
    base: tuple[str, ...],
    limits: Limits,
) -> None:
    """Write images to an archive that docker, podman, skopeo and ctr load.

    A name without tag stands for all its tags, a digest for an image without its names. Of an image for several
    platforms, those that are complete go out. What --base leaves out, `imagefs import` finds in a store that has it.

    Docker's manifest.json and its format have one platform of an image, on every machine the same: the first that
    --platform names, or the first in the index. It is what a docker without an image store of containerd loads.
    """
    parameters.exclude(platforms, all_platforms=all_platforms)
    if archive_format == "docker" and skip_manifest_json:
        raise click.UsageError("docker's format is nothing without its manifest.json")
    if archive_format == "docker" and base:
        raise click.UsageError("docker's format cannot do without what --base holds")
    if archive_format == "oci+docker" and skip_manifest_json:
        archive_format = "oci"
    options = ExportOptions(
        platforms=platforms,
        all_platforms=all_platforms,
        skip_missing=skip_missing,
        skip_non_distributable=skip_non_distributable,
        base=base,
        limits=limits,
    )
    _export(settings, images, output, options, archive_format)


@click.command("save")
@_IMAGES
@click.option("-o", "--output", metavar="FILE", default="-", help="The archive to write.  [default: standard output]")
@parameters.platform_option("Only what serves this platform.")
@pass_settings
def save_command(settings: Settings, images: tuple[str, ...], output: str, platforms: tuple[str, ...] | None) -> None:
    """Write images to an archive, as docker save does.

    It is `export` with --skip-non-distributable, and with standard output where no FILE is named. A docker without an
    image store of containerd loads the first platform of an image: name it by --platform.
    """
    options = ExportOptions(platforms=platforms, skip_non_distributable=True)
    _export(settings, images, output, options, "oci+docker")


def _export(
    settings: Settings, images: tuple[str, ...], output: str, options: ExportOptions, archive_format: str
) -> None:
    if output == "-" and sys.stdout.isatty():
        raise click.UsageError("an archive does not go to a terminal; use -o FILE or a pipe")
    with settings.open() as store:
        if output != "-":
            export_file(store, images, output, options, exporter=archive_format)
            return
        export_archive(store, images, sys.stdout.buffer, options, exporter=archive_format)
        sys.stdout.buffer.flush()


COMMANDS = [export_command, save_command]
