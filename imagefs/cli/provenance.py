"""`imagefs which` and `imagefs diff`."""

import base64
import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from heapq import nsmallest
from typing import IO, Any

import click

from imagefs.browse import listing, mounts
from imagefs.browse.address import Address, parse
from imagefs.browse.difference import ADDED, ASPECTS, CHANGED, REMOVED, Difference, Side, differences
from imagefs.browse.opened import OpenedImage, opened
from imagefs.browse.paths import find
from imagefs.browse.provenance import Version, meant, shown, versions
from imagefs.cli.context import Settings, pass_settings
from imagefs.errors import ImagefsError, InvalidReference, NoSuchEntry, TreeError
from imagefs.layers.entry import Entry
from imagefs.oci.history import HistoryEntry, created_by
from imagefs.store.store import Store
from imagefs.tree.chain import Chain, Path

_LINKS_SHOWN = 100
"""How many other names of a file are listed at most."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# -- what both print


def printable(text: bytes | str) -> str:
    """Text from an image for people: nothing in it steers a terminal."""
    return os.fsdecode(listing.printable(os.fsencode(text)))


def as_json(key: str, name: bytes) -> dict[str, str]:
    """A name as a member of a JSON object; beside one that is no UTF-8 the exact bytes, in base64."""
    try:
        return {key: name.decode()}
    except UnicodeDecodeError:
        return {key: name.decode(errors="replace"), f"{key}Base64": _base64(name)}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def when(entry: Entry) -> str:
    """A modification time as RFC 3339 has it, in UTC; of one that no calendar has, the seconds after an `@`."""
    places = f".{entry.mtime_ns:09d}".rstrip("0") if entry.mtime_ns else ""
    try:
        return f"{(_EPOCH + timedelta(seconds=entry.mtime_s)).isoformat()[:19]}{places}Z"
    except OverflowError:
        return f"@{entry.mtime_s}{places}"


# -- which


@click.command("which")
@click.argument("path", metavar="IMAGE:PATH")
@click.option("--json", "json_wanted", is_flag=True, help="Print all there is to know, as JSON.")
@pass_settings
def which_command(settings: Settings, path: str, json_wanted: bool) -> None:
    """Name the layer that a file comes from, the command that made the layer, and all older versions of the file.

    IMAGE:PATH is such as debian:12:/etc/passwd, or the path of a file in a mount. Files that a layer has removed are
    told too. In JSON, names that are no UTF-8 stand beside their bytes: pathBase64, targetBase64.
    """
    with _image_and_path(settings, path) as (image, wanted):
        names = meant(image.chain, wanted)
        found = versions(image.chain, names)
        if not found:
            raise NoSuchEntry(f"{image.name}:{os.fsdecode(shown(names))}: no layer has it or ever had it")
        made_by = created_by(_history(image), len(image.manifest.layers))
        if json_wanted:
            versions_ = [_version_as_json(image, version, made_by[version.position - 1]) for version in found]
            described = {"image": image.name, **as_json("path", shown(names)), "present": found[0].entry is not None}
            click.echo(json.dumps({**described, "layers": len(image.chain), "versions": versions_}, indent=2))
            return
        click.echo(f"{printable(image.name)}:{printable(shown(names))}")
        for version in found:
            click.echo("\n".join(_version_as_text(image, version, made_by[version.position - 1])))


@contextmanager
def _image_and_path(settings: Settings, argument: str) -> Iterator[tuple[OpenedImage, bytes]]:
    """The image that is meant, open, and the path in it: a file in a mount comes before an address."""
    is_path = argument.startswith(("/", "."))
    place = None
    if is_path or ":/" not in argument or os.path.lexists(argument):
        place = mounts.place_of(os.fsencode(argument))
    if place is None:
        address = None if is_path else parse(argument)
        if address is None or address.path is None:
            raise InvalidReference(f"{argument}: neither IMAGE:/PATH nor a path in an imagefs mount")
        with settings.open() as store, opened(store, address) as image:
            yield image, address.path
        return
    with Store(place.store) as store, opened(store, mounts.address_of(mounts.slot_of(store, place))) as image:
        yield image, mounts.path_in(image, place)


def _history(image: OpenedImage) -> Any:  # noqa: ANN401  what the configuration holds
    return image.manifest.config.history if image.manifest.config is not None else None


def _version_as_text(image: OpenedImage, version: Version, made_by: HistoryEntry | None) -> Iterator[str]:
    diff_id, blob = image.manifest.layers[version.position - 1]
    yield f"layer {version.position} of {len(image.chain)}: {_what(version)}"
    yield f"  diff ID  {diff_id}"
    yield f"  blob     {blob.digest}"
    line = (made_by.created_by or made_by.comment) if made_by is not None else None
    yield f"  made by  {printable(' '.join(line.split())) if line else '(the image does not say)'}"


def _what(version: Version) -> str:
    if version.removal is not None:
        path = printable(shown(version.removal.path))
        return {
            "whiteout": f"removed, by a whiteout of {path}",
            "opaque directory": f"removed, by an opaque whiteout in {path}",
            "replacement": f"removed, by what replaced the directory {path}",
        }[version.removal.by]
    link = ""
    if version.link is not None:
        where = f" of layer {version.link.position}" if version.link.position is not None else ""
        link = f", a hard link to {printable(shown(version.link.path))}{where}"
    entry = version.entry
    if entry is None:
        return f"{version.what}{link}"
    size = f", {entry.size} bytes" if entry.is_regular else ""
    target = f" -> {printable(entry.target)}" if entry.target is not None else ""
    device = f" {os.major(entry.rdev)}, {os.minor(entry.rdev)}" if _is_device(entry) else ""
    mode = stat.filemode(entry.mode)
    return f"{version.what}{device}{target}, {mode} {entry.uid}:{entry.gid}{size}, {when(entry)}{link}"


def _is_device(entry: Entry) -> bool:
    return stat.S_ISCHR(entry.mode) or stat.S_ISBLK(entry.mode)


def _version_as_json(image: OpenedImage, version: Version, made_by: HistoryEntry | None) -> dict[str, Any]:
    diff_id, blob = image.manifest.layers[version.position - 1]
    described: dict[str, Any] = {"what": version.what, "position": version.position}
    described |= {"diffID": diff_id, "blob": blob.digest, "mediaType": blob.media_type, "history": None}
    if made_by is not None:
        described["history"] = {
            "created": made_by.created,
            "createdBy": made_by.created_by,
            "author": made_by.author,
            "comment": made_by.comment,
        }
    entry, removal, link = version.entry, version.removal, version.link
    if entry is not None:
        described |= {"mode": f"{stat.S_IMODE(entry.mode):04o}", "uid": entry.uid, "gid": entry.gid}
        described |= {"mtime": entry.mtime_s, "mtimeNanoseconds": entry.mtime_ns}
        if entry.is_regular:
            described["size"] = entry.size
        if entry.target is not None:
            described |= as_json("target", entry.target)
        if _is_device(entry):
            described["device"] = [os.major(entry.rdev), os.minor(entry.rdev)]
    if removal is not None:
        described["removedBy"] = {"how": removal.by, **as_json("path", shown(removal.path))}
    if link is not None:
        target_diff_id = image.manifest.layers[link.position - 1][0] if link.position is not None else None
        described["linkTo"] = {
            **as_json("path", shown(link.path)), "position": link.position, "diffID": target_diff_id,
        }  # fmt: skip
    return described


# -- diff


class _Trouble(click.ClickException):
    """What is neither equal nor different, for scripts that ask which, as diff(1) has it."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"imagefs: {printable(self.message)}", err=True)


@click.command("diff")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option("--ignore", multiple=True, type=click.Choice(ASPECTS), help="Changes that do not count; can be repeated.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 where A and B differ, and with 2 after an error.")
@click.option("--json", "json_wanted", is_flag=True, help="Print the differences as JSON, with what was and what is.")
@pass_settings
def diff_command(
    settings: Settings, before: str, after: str, ignore: tuple[str, ...], exit_code: bool, json_wanted: bool
) -> None:
    """List what is added (A), removed (D) or changed (C) from A to B, by path.

    A and B are images (debian:12), images as they were after their lowest N layers (debian:12#2; #0 is an empty
    tree), or folders or files in them (debian:12:/etc). Paths are B's.

    What can change is content, size, mode and so on, see --ignore; links are other names of the file (in JSON, of 100
    at most), mtime is seconds and nanoseconds. Names that are no UTF-8 are in base64 in JSON.
    """
    try:
        found = _differ(settings, before, after, ignore, json_wanted=json_wanted)
    except (ImagefsError, OSError) as error:
        if exit_code:
            raise _Trouble(str(error)) from None
        raise
    if exit_code and found:
        sys.exit(1)


def _differ(settings: Settings, before: str, after: str, ignore: tuple[str, ...], *, json_wanted: bool) -> bool:
    addresses = parse(before), parse(after)
    with settings.open() as store, opened(store, addresses[0]) as one, opened(store, addresses[1]) as other:
        sides = _side(one, addresses[0]), _side(other, addresses[1])
        found = differences(*sides, ignore=ignore)
        if json_wanted:
            lines = ",\n".join(f"  {json.dumps(_difference_as_json(each, *sides))}" for each in found)
            click.echo(f"[\n{lines}\n]" if lines else "[]")
        else:
            for each in found:
                click.echo(_difference_as_text(each, sides[1].start))
    return bool(found)


def _side(image: OpenedImage, address: Address) -> Side:
    try:
        return Side(image.chain, find(image.tree, address.path or b"/", follow=True).names)
    except TreeError as error:
        raise TreeError(f"{image.name}:{error}") from None


def _difference_as_text(difference: Difference, start: Path) -> str:
    letter = {ADDED: "A", REMOVED: "D", CHANGED: "C"}[difference.kind]
    path = printable(shown((*start, *difference.path)))
    slash = "/" if difference.what == "directory" and path != "/" else ""
    changes = f" ({', '.join(difference.changes)})" if difference.changes else ""
    return f"{letter} {path}{slash}{changes}"


def _difference_as_json(difference: Difference, a: Side, b: Side) -> dict[str, Any]:
    described: dict[str, Any] = as_json("path", shown((*b.start, *difference.path)))
    described |= {"kind": difference.kind, "type": difference.what}
    if difference.changes:
        described["changes"] = {
            aspect: [
                _value_as_json(aspect, value, side.chain, (b.start, difference.path))
                for side, value in zip((a, b), values, strict=True)
            ]
            for aspect, values in difference.changes.items()
        }
    return described


def _value_as_json(aspect: str, value: Any, chain: Chain, place: tuple[Path, Path]) -> Any:  # noqa: ANN401  JSON
    match aspect:
        case "content":
            return {"position": value, "diffID": chain.layers[value - 1].diff_id}
        case "target":
            return None if value is None else _text(value)
        case "device":
            return [os.major(value), os.minor(value)]
        case "mode":
            return f"{value:04o}"
        case "xattrs":
            return {name.decode(errors="replace"): _base64(content) for name, content in value.items()}
        case "links":
            start, path = place
            others = (other for other in _first(value) if other != path)
            return [_text(shown((*start, *other))) for other in others][:_LINKS_SHOWN]
    return value


@lru_cache(maxsize=16)
def _first(names: frozenset[Path]) -> list[Path]:
    # All names of a file that many lead to come with the same ones.
    return nsmallest(_LINKS_SHOWN + 1, names)


def _text(name: bytes) -> str | dict[str, str]:
    """A name that can be any bytes as a value: of what is no UTF-8 the bytes, in base64."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return {"base64": _base64(name)}


COMMANDS = [which_command, diff_command]
