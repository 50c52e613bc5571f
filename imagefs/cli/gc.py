"""`imagefs gc`."""

import json

import click
import msgspec
from rich.filesize import decimal

from imagefs.cli.context import Settings, pass_settings
from imagefs.cli.sizes import size
from imagefs.store import gc


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--unpacked", is_flag=True, help="Drop all unpacked layers, too, that no mount uses.")
@click.option(
    "--keep-unpacked",
    metavar="SIZE",
    callback=size,
    help="Drop as many of them as it takes, oldest use first, until the rest has this size: 10GB, 500M.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print what goes as JSON: blobs and layers that nothing needs, temporary files, unpacked layers of images "
    "that stay, and the size in bytes.",
)
@pass_settings
def gc_command(settings: Settings, dry_run: bool, unpacked: bool, keep_unpacked: int | None, as_json: bool) -> None:
    """Remove content that no image and no lease refers to; what `check --repair` put into quarantine/ stays.

    Unpacked layers that are dropped are made again from their blobs when somebody looks into them.
    """
    if unpacked and keep_unpacked is not None:
        raise click.UsageError("--unpacked and --keep-unpacked exclude each other")
    with settings.open() as store:
        garbage = gc.collect(store, dry_run=dry_run, room=0 if unpacked else keep_unpacked)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(garbage), indent=2))
        return
    verb = "would remove" if dry_run else "removed"
    kinds = (
        ("blob", garbage.blobs),
        ("layer", garbage.layers),
        ("unpacked", garbage.unpacked),
        ("temporary", garbage.temporary),
    )
    for kind, keys in kinds:
        for key in keys:
            click.echo(f"{verb} {kind} {key}")
    click.echo(f"{verb} {decimal(garbage.size)}")


COMMANDS = [gc_command]
