"""`imagefs gc`."""

import click
from rich.filesize import decimal

from imagefs.cli.context import Settings, pass_settings
from imagefs.store import gc


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@pass_settings
def gc_command(settings: Settings, dry_run: bool) -> None:
    """Remove content that no image and no lease refers to."""
    with settings.open() as store:
        garbage = gc.collect(store, dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    for kind, keys in (("blob", garbage.blobs), ("layer", garbage.layers), ("temporary", garbage.temporary)):
        for key in keys:
            click.echo(f"{verb} {kind} {key}")
    click.echo(f"{verb} {decimal(garbage.size)}")


COMMANDS = [gc_command]
