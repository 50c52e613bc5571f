"""`imagefs tag`, `label`, `rm` and `prune`: what changes which names there are."""

import sys

import click
from rich.filesize import decimal

from imagefs.cli import parameters
from imagefs.cli.context import Settings, pass_settings
from imagefs.cli.errors import each, told
from imagefs.cli.filtering import filter_option
from imagefs.errors import ImageNotFound
from imagefs.oci import reference
from imagefs.store import gc, naming, removal
from imagefs.store.filters import Filters
from imagefs.store.removal import Removed


@click.command("tag")
@click.argument("image")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("-f", "--force", is_flag=True, help="Move a name here that another image has.")
@pass_settings
def tag_command(settings: Settings, image: str, names: tuple[str, ...], force: bool) -> None:
    """Give an image more names, with the labels that it has."""
    with settings.open() as store:
        wanted = list(dict.fromkeys(map(reference.normalize, names)))
        with store.catalog.transaction(durable=True):
            record = store.find_image(image)
            given = naming.tag(store.catalog, store.blobs, record, wanted, force=force)
    for tagged in given:
        click.echo(tagged.name)
        if tagged.moved_from is not None:
            click.echo(f"{tagged.name}: moved here from {tagged.moved_from}", err=True)


@click.command("label")
@click.argument("image")
@click.argument("labels", nargs=-1, metavar="[KEY=VALUE...]", callback=parameters.labels)
@click.option("-r", "--replace-all", is_flag=True, help="Take all other labels away.")
@pass_settings
def label_command(settings: Settings, image: str, labels: dict[str, str] | None, replace_all: bool) -> None:
    """Give a name of an image labels, KEY= to take one away; print those that it has then."""
    with settings.open() as store:
        if labels is None and not replace_all:
            left = store.catalog.labels(store.find_image(image).name)
        else:
            with store.catalog.transaction(durable=True):
                record = store.find_image(image)
                left = naming.label(store.catalog, record.name, labels or {}, replace=replace_all)
    if left:
        from imagefs.browse.listing import printable_text  # with all that looks into images
    for key, value in left.items():
        click.echo(printable_text(f"{key}={value}"))


@click.command("rm")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option(
    "-f", "--force", is_flag=True, help="By digest, also from several repositories; what is not there is no error."
)
@pass_settings
def rm_command(settings: Settings, images: tuple[str, ...], force: bool) -> None:
    """Remove names, or by a digest all names of an image.

    `imagefs gc` takes the content that no name needs any more.
    """

    def remove(image: str) -> None:
        try:
            with store.catalog.transaction(durable=True):
                removed = removal.remove(store, removal.find(store, image, force=force))
        except ImageNotFound as error:
            if not force:
                raise
            click.echo(f"imagefs: {told(error)}", err=True)
        else:
            _tell(removed)

    with settings.open() as store:
        each(images, remove)


def _tell(removed: Removed, *, dry_run: bool = False) -> None:
    for name in removed.untagged:
        click.echo(f"{'would untag' if dry_run else 'untagged'} {name}")
    for content in removed.deleted:
        click.echo(f"{'would delete' if dry_run else 'deleted'} {content}")


@click.command("prune")
@click.option("-a", "--all", "everything", is_flag=True, help="Remove all images that no mount uses.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@filter_option("--filter")
@pass_settings
def prune_command(settings: Settings, everything: bool, force: bool, dry_run: bool, chosen: Filters) -> None:
    """Remove images that have no name, and then all content that nothing needs."""
    if not force and not dry_run:
        if not sys.stdin.isatty():
            raise click.UsageError("nobody is there to be asked; use --force, or --dry-run")
        what = "All images that no mount uses" if everything else "All images without a name"
        if not click.confirm(f"{what} and all content that nothing needs will be removed. Go on?", err=True):
            return
    with settings.open() as store:
        with store.catalog.transaction(durable=True):
            records = chosen.select(store, removal.unused(store, named=everything))
            removed = removal.planned(store, records) if dry_run else removal.remove(store, records)
        _tell(removed, dry_run=dry_run)
        garbage = gc.collect(store, dry_run=dry_run, without={record.name for record in records} if dry_run else ())
    click.echo(f"{'would free' if dry_run else 'freed'} {decimal(garbage.size)}")


COMMANDS = [tag_command, label_command, rm_command, prune_command]
