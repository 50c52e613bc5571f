"""`imagefs mount` and `imagefs umount`."""

import os
import sys

import click

from imagefs.cli.context import Settings, pass_settings
from imagefs.cli.errors import printable
from imagefs.errors import MountError
from imagefs.fuse import background, logs, unmounting
from imagefs.fuse.options import parse
from imagefs.fuse.request import VIEWS, MountRequest


class _WrongOption(click.ClickException):
    """Wrong usage, but nothing that the usage line would explain."""

    exit_code = click.UsageError.exit_code


@click.command("mount")
@click.argument("arguments", nargs=-1, required=True, metavar="[IMAGE...] MOUNTPOINT")
@click.option("-f", "--foreground", is_flag=True, help="Serve in this process, until it is unmounted or interrupted.")
@click.option(
    "--view",
    type=click.Choice(VIEWS),
    default="all",
    show_default=True,
    help="The layout and the trees, the layout alone, or one image's tree.",
)
@click.option(
    "-o",
    "options",
    multiple=True,
    metavar="OPTIONS",
    help="Mount options, separated by commas: owner=image or owner=me, uidmap= and gidmap=INSIDE:OUTSIDE:COUNT, "
    "layers, provenance, noxattr, verify, and FUSE's.",
)
@click.option(
    "--log",
    "log_file",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Log to this file, and not to the system's log, or with -f to standard error.",
)
@pass_settings
def mount_command(
    settings: Settings,
    arguments: tuple[str, ...],
    foreground: bool,
    view: str,
    options: tuple[str, ...],
    log_file: str | None,
) -> None:
    """Mount images, or all images, on a folder."""
    *images, mountpoint = arguments
    if view == "rootfs" and len(images) != 1:
        raise click.UsageError("--view rootfs takes exactly one IMAGE")
    _check(options, view)
    request = MountRequest(
        os.path.abspath(settings.folder), os.path.abspath(mountpoint), tuple(images), view, options,
        settings.log_level, log_file and os.path.abspath(log_file),
    )  # fmt: skip
    if unmounting.clear_dead(request.mountpoint):
        _say_cleared(mountpoint)
    request.check()
    if background.is_mounted(os.path.abspath(mountpoint)):
        raise MountError(f"{mountpoint}: an imagefs is mounted there already")
    settings.open().close()  # a store that cannot be opened is told from here
    if not foreground:
        background.start(request)
        return
    if request.log is None:
        logs.to_stderr()
    else:
        logs.to_file(request.log)
    from imagefs.fuse.serve import serve  # trio and pyfuse3 take as long to load as all the rest

    serve(request, lambda: click.echo(f"mounted on {mountpoint}", err=True) if sys.stderr.isatty() else None)


def _check(options: tuple[str, ...], view: str) -> None:
    """Refuse wrong values before anything is looked for. Raises `_WrongOption`."""
    try:
        if parse(options).layers and view != "all":
            raise click.UsageError(f"--view {view} has no place for -o layers")
    except MountError as error:
        raise _WrongOption(f"-o {error}") from None


@click.command("umount")
@click.argument("mountpoint", type=click.Path())
@click.option("-l", "--lazy", is_flag=True, help="Detach it though it is in use; it ends when it is no more.")
def umount_command(mountpoint: str, lazy: bool) -> None:
    """Undo a mount, and wait for its process to end."""
    if unmounting.unmount(mountpoint, lazy=lazy):
        _say_cleared(mountpoint)


def _say_cleared(mountpoint: str) -> None:
    click.echo(f"imagefs: {printable(mountpoint)}: cleared a mount whose process was gone", err=True)


COMMANDS = [mount_command, umount_command]
