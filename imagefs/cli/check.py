"""`imagefs check`."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
import msgspec
from rich.filesize import decimal

from imagefs.browse.listing import printable_text
from imagefs.cli.context import Settings, pass_settings
from imagefs.cli.errors import raise_first
from imagefs.cli.progress import watching
from imagefs.cli.tables import print_table, shortened
from imagefs.errors import ImagefsError, StoreError
from imagefs.store import checkup
from imagefs.store.catalog import ImageRecord
from imagefs.store.findings import Findings, Problem, name_images
from imagefs.store.repair import mend
from imagefs.store.rewriting import rewrite
from imagefs.store.status import ImageStatus, mountpoints, statuses, unpacked
from imagefs.store.store import Store

Answer = TypeVar("Answer")

_TITLES = ("NAME", "STATUS", "SIZE", "UNPACKED", "MOUNTED")


class _Checked:
    """An image, how many of its layers are unpacked, and where it is mounted."""

    def __init__(self, store: Store, status: ImageStatus, mounted: Sequence[str]) -> None:
        self.status = status
        self.mounted = mounted
        self.unpacked, self.layers = unpacked(store.layers, status.mountable)

    @property
    def ready(self) -> bool:
        """Whether all of it is there and unpacked."""
        return self.status.complete and bool(self.status.mountable) and self.unpacked == self.layers


@click.command("check")
@click.argument("images", nargs=-1, metavar="[IMAGE...]")
@click.option("-q", "--quiet", is_flag=True, help="Print only the names of images that are complete and unpacked.")
@click.option("--full", is_flag=True, help="Read all content, too, and hold it against its digests.")
@click.option("--repair", is_flag=True, help="Mend what is derived, and move what is damaged into quarantine/.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print what was found as JSON: problems, repaired, lost, and images with name, digest, mediaType, complete, "
    "present, needed, presentSize, neededSize, platforms, unpacked, layers, unpackedLayers, mounted and damage.",
)
@pass_settings
def check_command(
    settings: Settings, images: tuple[str, ...], quiet: bool, full: bool, repair: bool, as_json: bool
) -> None:
    """Check the store; tell of images, or of all, whether they are complete, unpacked, and mounted.

    STATUS counts the blobs that are there and those that are needed, SIZE their bytes. UNPACKED is true, false, or how
    many layers of the complete platforms are. A mount of a store that cannot be written to is not seen.

    The catalogue and the files are held against each other; with IMAGE, only what these have. With --full, blobs are
    hashed, uncompressed layers held against their diff IDs and their indexes against them. Each problem is a line on
    standard error. With --repair, what is derived is made again, and damaged blobs go to the store's quarantine/, where
    gc leaves them; an image that they cost is incomplete until an archive with the content is imported.

    An image that is incomplete is no error: the exit status is 1 only where one should be complete, where something is
    damaged that was not repaired without loss, or an image is not found.
    """
    if quiet and as_json:
        raise click.UsageError("--quiet and --json exclude each other")
    errors: list[ImagefsError] = []
    with settings.open() as store:
        if repair and store.read_only:
            raise StoreError(f"{store.folder}: the store is on a read-only file system")
        result = _check(store, images, errors, full=full, repair=repair, quiet=quiet or as_json)
        checked = result.looking(lambda: _look(store, images)) or []
    if as_json:
        click.echo(json.dumps({"images": [_as_json(each) for each in checked], **result.described()}, indent=2))
    elif quiet:
        for each in checked:
            if each.ready:
                click.echo(each.status.record.name)
    else:
        print_table(_TITLES, [_row(each) for each in checked], numbers=("SIZE",))
    if not as_json:
        for line in result.lines():
            click.echo(f"imagefs: {printable_text(line)}", err=True)
    raise_first([*errors, *result.errors()])


def _look(store: Store, images: Sequence[str]) -> list[_Checked]:
    mounted = mountpoints(store)
    found = statuses(store, _records(store, images, []))
    return [_Checked(store, each, mounted.get(each.record.target.digest, ())) for each in found]


class _Result:
    """What was found in the store, and what was done about it where it was to be repaired."""

    def __init__(self, *, repair: bool) -> None:
        self._repair = repair
        self.problems: list[Problem] = []
        self.repaired: list[str] = []
        self.lost: list[str] = []

    def looking(self, look: Callable[[], Answer]) -> Answer | None:
        """The answer to a question; None where the catalogue is damaged, and so cannot be read."""
        try:
            return look()
        except (StoreError, sqlite3.Error, UnicodeDecodeError):
            if not self.problems or self._repair:
                raise
            return None

    def lines(self) -> list[str]:
        """What is to be said, but for what ends the command with status 1."""
        small = [str(each) for each in self.problems if self._repair or not each.costs]
        return small + [f"repaired: {each}" for each in self.repaired]

    def errors(self) -> list[ImagefsError]:
        """What costs something, and was not mended."""
        if not self._repair:
            return [ImagefsError(str(each)) for each in self.problems if each.costs]
        return [ImagefsError(f"{name}: incomplete now, until what it lacks is imported again") for name in self.lost]

    def described(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {"problems": msgspec.to_builtins(self.problems), "repaired": self.repaired, "lost": self.lost}


def _check(
    store: Store, images: Sequence[str], errors: list[ImagefsError], *, full: bool, repair: bool, quiet: bool
) -> _Result:
    result = _Result(repair=repair)
    catalogue = checkup.check_catalogue(store)
    result.problems += catalogue.problems
    if repair and catalogue.rows:
        result.repaired += rewrite(store)
    records = result.looking(lambda: _records(store, images, errors)) or []
    found = result.looking(lambda: _check_files(store, records, everything=not images, full=full, quiet=quiet))
    if found is None:
        return result
    name_images(found, store)
    result.problems += found.problems
    if repair:
        mended = mend(store, found)
        result.repaired += mended.done
        result.lost += mended.lost
    return result


def _check_files(
    store: Store, records: Sequence[ImageRecord], *, everything: bool, full: bool, quiet: bool
) -> Findings:
    found = checkup.check_files(store, records, everything=everything)
    if found.problems and not store.read_only:
        # Once more while nobody changes anything: what comes or goes just now is no problem.
        with store.catalog.transaction():
            names = {record.name for record in records}
            records = [record for record in store.images() if everything or record.name in names]
            found = checkup.check_files(store, records, everything=everything)
    if full:
        from imagefs.store import fullcheck

        blobs, layers = checkup.content_of(store, None if everything else records)
        with watching(quiet=quiet) as progress:
            fullcheck.check_content(store, blobs, layers, found, progress)
    return found


def _records(store: Store, images: Sequence[str], errors: list[ImagefsError]) -> list[ImageRecord]:
    """The images that are named, each once, or all."""
    if not images:
        return store.images()
    found: dict[str, ImageRecord] = {}
    for image in images:
        try:
            record = store.find_image(image)
            found[record.name] = record
        except ImagefsError as error:
            errors.append(error)
    return list(found.values())


def _row(each: _Checked) -> tuple[str, ...]:
    status, name = each.status, shortened(each.status.record.name)
    mounted = ",".join(printable_text(place) for place in each.mounted) or "-"
    if status.tally is None:
        return name, "damaged", "-", "-", mounted
    state = "complete" if status.complete else "incomplete"
    size = f"{decimal(status.present_size)}/{decimal(status.needed_size)}"
    counted = f"{state} ({status.tally.present}/{status.tally.needed})"
    return name, counted, size, _unpacked(each), mounted


def _unpacked(each: _Checked) -> str:
    if not each.status.mountable:
        # What is no image has nothing to unpack.
        return "false" if any(manifest.is_image for manifest in each.status.manifests) else "-"
    if each.unpacked in (0, each.layers):
        return "true" if each.unpacked == each.layers else "false"
    return f"{each.unpacked} of {each.layers} layers"


def _as_json(each: _Checked) -> dict[str, Any]:
    status, record, tally = each.status, each.status.record, each.status.tally
    return {
        "name": record.name,
        "digest": record.target.digest,
        "mediaType": record.target.media_type,
        "complete": status.complete,
        "present": tally.present if tally is not None else None,
        "needed": tally.needed if tally is not None else None,
        "presentSize": status.present_size if tally is not None else None,
        "neededSize": status.needed_size if tally is not None else None,
        "platforms": status.platforms,
        "unpacked": bool(status.mountable) and each.unpacked == each.layers,
        "layers": each.layers,
        "unpackedLayers": each.unpacked,
        "mounted": list(each.mounted),
        "damage": status.damage,
    }


COMMANDS = [check_command]
