"""`imagefs ls`, `cat`, `cp`, `find` and `tar`: into images without a mount."""

import json
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from imagefs.api import complete_file
from imagefs.browse import copying, listing, matching, tarout, transfer
from imagefs.browse.address import parse
from imagefs.browse.nodes import Node, open_at
from imagefs.browse.opened import OpenedImage, opened
from imagefs.cli.context import Settings, pass_settings
from imagefs.errors import ImagefsError, TreeError

_TYPES = {
    "f": stat.S_IFREG,
    "d": stat.S_IFDIR,
    "l": stat.S_IFLNK,
    "b": stat.S_IFBLK,
    "c": stat.S_IFCHR,
    "p": stat.S_IFIFO,
}


@click.command("ls")
@click.argument("address", metavar="IMAGE[:PATH]")
@click.option("-l", "--long", "is_long", is_flag=True, help="Modes, owners, sizes, times and links' targets too.")
@click.option("-R", "--recursive", is_flag=True, help="Folders in folders too.")
@click.option("--json", "as_json", is_flag=True, help="Print all that there is to know, as JSON.")
@pass_settings
def ls_command(settings: Settings, address: str, is_long: bool, recursive: bool, as_json: bool) -> None:
    """List a folder of an image, / by default, or one file."""
    with _looking(settings, address) as (image, path):
        # As of ls, a link is what is listed where it can be seen that it is one.
        found = listing.folders(image, path, recursive=recursive, follow=not (is_long or as_json))
        if as_json:
            _print_json(
                listing.describe(image.chain, node.name if folder is None else _join(folder, node.name), node)
                for folder, nodes in found
                for node in nodes
            )
            return
        shown = _shown()
        for number, (folder, nodes) in enumerate(found):
            if recursive and folder is not None:
                _print(b"\n" * (number > 0) + shown(folder) + b":\n")
            lines = listing.long_lines(image.chain, nodes, shown) if is_long else (shown(node.name) for node in nodes)
            for line in lines:
                _print(line + b"\n")


@click.command("cat")
@click.argument("addresses", nargs=-1, required=True, metavar="IMAGE:PATH...")
@pass_settings
def cat_command(settings: Settings, addresses: tuple[str, ...]) -> None:
    """Print files of images, one after the other."""
    failures = _Failures()
    for address in addresses:
        _check_path(address)
    for address in addresses:
        try:
            with _looking(settings, address) as (image, path):
                for data in transfer.content(open_at(image, path)):
                    _print(data)
        except ImagefsError as error:
            failures.add(str(error))
    failures.end()


@click.command("cp")
@click.argument("source", metavar="IMAGE:PATH")
@click.argument("destination", metavar="DEST", type=click.Path())
@pass_settings
def cp_command(settings: Settings, source: str, destination: str) -> None:
    """Copy a file or a folder out of an image, with all attributes, as `cp -a` does.

    Into DEST where that is a folder, as DEST where it is not. IMAGE:/ and IMAGE:PATH/. put the content of the folder
    into a DEST that is there. Owners are kept for root only.
    """
    _check_path(source)
    failures = _Failures()

    def failed(error: OSError) -> None:
        failures.add(f"{_image_of(source)}:{error.filename} -> {error.filename2}: {error.strerror}")

    with _looking(settings, source) as (image, path):
        try:
            copying.copy_out(image, path, destination, failed=failed)
        except OSError as error:
            failed(error)
    failures.end()


@click.command("find")
@click.argument("address", metavar="IMAGE[:PATH]")
@click.argument("pattern", metavar="[GLOB]", default="*")
@click.option("-l", "--long", "is_long", is_flag=True, help="Modes, owners, sizes, times and links' targets too.")
@click.option("-0", "--null", "with_nul", is_flag=True, help="End paths with a NUL byte, for xargs -0.")
@click.option("--type", "types", type=click.Choice(list(_TYPES)), multiple=True, help="Only these, as of find(1).")
@pass_settings
def find_command(
    settings: Settings, address: str, pattern: str, is_long: bool, with_nul: bool, types: tuple[str, ...]
) -> None:
    """Print the paths in an image that match a glob.

    A GLOB without a slash is for last names; one with a slash is for whole paths, from the image's root and not from
    PATH. No path ends with a slash, so a GLOB that does matches nothing. * and ? stop at slashes, ** does not; there
    are [...] and {a,b}.
    """
    try:
        matching.matcher(pattern)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="GLOB") from None
    wanted = {_TYPES[each] for each in types}
    shown, end = _shown(), b"\0" if with_nul else b"\n"
    with _looking(settings, address) as (image, path):
        for place, node in matching.matches(image, pattern, path):
            if wanted and stat.S_IFMT(node.entry.mode) not in wanted:
                continue
            if is_long:
                named = Node(node.depth, place, node.layer, node.entry)
                for line in listing.long_lines(image.chain, [named], shown, least=_COLUMNS):
                    _print(line + end)
            else:
                _print(shown(place) + end)


@click.command("tar")
@click.argument("address", metavar="IMAGE")
@click.argument("folder", metavar="[PATH]", required=False)
@click.option("-o", "--output", metavar="FILE", default="-", help="The tar to write.  [default: standard output]")
@pass_settings
def tar_command(settings: Settings, address: str, folder: str | None, output: str) -> None:
    """Write what is in an image, or in a folder of it, as one tar, all layers merged."""
    if folder is not None:
        if parse(address).path is not None:
            raise click.UsageError("the path is given twice")
        address = f"{address}:/{folder.removeprefix('/')}"
    if output == "-" and sys.stdout.isatty():
        raise click.UsageError("an archive does not go to a terminal; use -o FILE or a pipe")
    with _looking(settings, address) as (image, path):
        if output == "-":
            tarout.write_tar(image, sys.stdout.buffer, path)
            sys.stdout.buffer.flush()
        else:
            with complete_file(output) as file:
                tarout.write_tar(image, file, path)


_COLUMNS = (10, 2, 5, 5, 9)  # wide enough for most, where no line can wait for the others


class _Failures:
    """What went wrong with some of many, told at once; in the end it makes the status."""

    def __init__(self) -> None:
        self._any = False

    def add(self, text: str) -> None:
        sys.stdout.flush()
        click.echo(f"imagefs: {listing.printable_text(text)}", err=True)
        self._any = True

    def end(self) -> None:
        if self._any:
            sys.exit(1)


@contextmanager
def _looking(settings: Settings, address: str) -> Iterator[tuple[OpenedImage, bytes]]:
    """The image at an address, and the path, / by default; errors about paths name the image too."""
    parsed = parse(address)
    with settings.open() as store, opened(store, parsed) as image:
        try:
            yield image, parsed.path or b"/"
        except TreeError as error:
            raise TreeError(f"{_image_of(address)}:{error}") from None
        finally:
            sys.stdout.flush()


def _image_of(address: str) -> str:
    path = parse(address).path
    return address if path is None else address[: -len(os.fsdecode(path))].removesuffix(":")


def _check_path(address: str) -> None:
    if parse(address).path is None:
        raise click.UsageError(f"{address}: takes IMAGE:PATH, such as {address}:/etc")


def _join(folder: bytes, name: bytes) -> bytes:
    return folder.rstrip(b"/") + b"/" + name


def _shown() -> Callable[[bytes], bytes]:
    return listing.printable if sys.stdout.isatty() else bytes


def _print(data: bytes) -> None:
    sys.stdout.buffer.write(data)


def _print_json(documents: Iterable[dict[str, Any]]) -> None:
    """A list, written while it is made."""
    before = b"[\n"
    for document in documents:
        _print(before + json.dumps(document).encode())
        before = b",\n"
    _print(b"\n]\n" if before != b"[\n" else b"[]\n")


COMMANDS = [ls_command, cat_command, cp_command, find_command, tar_command]
