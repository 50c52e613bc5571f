"""`imagefs gc`."""

import json

import click
import msgspec
from rich.filesize import decimal

from imagefs.cli.context import Settings, pass_settings
from imagefs.store import gc


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--json", "as_json", is_flag=True, help="Print what goes as JSON.")
@pass_settings
def gc_command(settings: Settings, dry_run: bool, as_json: bool) -> None:
    """Remove content that no image and no lease refers to."""
    with settings.open() as store:
        garbage = gc.collect(store, dry_run=dry_run)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(garbage), indent=2))
        return
    verb = "would remove" if dry_run else "removed"
    for kind, keys in (("blob", garbage.blobs), ("layer", garbage.layers), ("temporary", garbage.temporary)):
        for key in keys:
            click.echo(f"{verb} {kind} {key}")
    click.echo(f"{verb} {decimal(garbage.size)}")


COMMANDS = [gc_command]
