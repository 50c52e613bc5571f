"""`imagefs content ls`, `get` and `rm`: the blobs in the store."""

import json
import sys

import click
import msgspec
from rich.filesize import decimal

from imagefs.api import complete_file
from imagefs.browse.listing import printable_text
from imagefs.cli.context import Settings, pass_settings
from imagefs.cli.errors import each
from imagefs.digest import Digest
from imagefs.oci.model import MAX_DOCUMENT
from imagefs.store import blobuse
from imagefs.store.store import Store


@click.group("content")
def content_command() -> None:
    """Look at blobs in the store, or take them away."""


@content_command.command("ls")
@click.option("--json", "as_json", is_flag=True, help="Print the blobs as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print only digests.")
@pass_settings
def list_command(settings: Settings, as_json: bool, quiet: bool) -> None:
    """List the blobs: digest, size, media type, and the images that need it."""
    with settings.open() as store:
        if quiet and not as_json:
            for blob in store.blobs:
                click.echo(blob)
            return
        rows = [(blob, store.blobs.size(blob) or 0, use) for blob, use in blobuse.Uses(store).all().items()]
    if as_json:
        described = [
            {"digest": blob, "size": size, "mediaType": use.media_type, "images": use.images}
            for blob, size, use in rows
        ]
        click.echo(json.dumps(described, indent=2))
        return
    table: list[tuple[str, ...]] = [("DIGEST", "SIZE", "TYPE", "IMAGES")]
    for blob, size, use in rows:
        table.append((blob, decimal(size), printable_text(use.media_type or "-"), ",".join(use.images) or "-"))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        click.echo(f"{row[0]:{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:{widths[2]}}  {row[3]}")


@content_command.command("get")
@click.argument("digest")
@click.option("-o", "--output", default="-", metavar="FILE", help="Write to a file, not to standard output.")
@pass_settings
def get_command(settings: Settings, digest: str, output: str) -> None:
    """Write a blob, by its digest or the first digits of it, and check that it is whole."""
    with settings.open() as store:
        blob = blobuse.find(store, digest)
        if output != "-":
            with complete_file(output) as file:
                for chunk in blobuse.checked(store, blob):
                    file.write(chunk)
            return
        if sys.stdout.isatty() and not _is_json(store, blob):
            raise click.UsageError("this blob is no JSON, and does not go to a terminal; use -o FILE or a pipe")
        for chunk in blobuse.checked(store, blob):
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def _is_json(store: Store, blob: Digest) -> bool:
    """Whether it is JSON in which nothing steers a terminal."""
    if (store.blobs.size(blob) or 0) > MAX_DOCUMENT:
        return False
    data = store.blobs.read(blob)
    try:
        msgspec.json.decode(data)
        return all(letter.isprintable() or letter in "\t\n\r" for letter in data.decode())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


@content_command.command("rm")
@click.argument("digests", nargs=-1, required=True, metavar="DIGEST...")
@click.option("-f", "--force", is_flag=True, help="Also what images need; they are incomplete then.")
@pass_settings
def remove_command(settings: Settings, digests: tuple[str, ...], force: bool) -> None:
    """Remove blobs that no image and no mount needs."""

    def remove(digest: str) -> None:
        blob = blobuse.find(store, digest)
        incomplete = blobuse.remove(store, blob, force=force)
        click.echo(f"removed blob {blob}")
        for name in incomplete:
            click.echo(f"{name}: incomplete now", err=True)

    with settings.open() as store:
        each(digests, remove)


COMMANDS = [content_command]
