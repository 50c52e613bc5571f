"""`imagefs which`."""

import base64
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from imagefs.browse import listing, mounts
from imagefs.browse.address import parse
from imagefs.browse.opened import OpenedImage, opened
from imagefs.browse.paths import meant
from imagefs.browse.provenance import Version, shown, versions
from imagefs.cli.context import Settings, pass_settings
from imagefs.errors import InvalidReference, NoSuchEntry, TreeError
from imagefs.layers.entry import Entry
from imagefs.oci.history import HistoryEntry, created_by
from imagefs.store.store import Store

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def printable(text: bytes | str) -> str:
    """Text from an image for people: nothing in it steers a terminal."""
    return listing.printable_text(os.fsdecode(text))


def as_json(key: str, name: bytes) -> dict[str, str]:
    """A name as a member of a JSON object; beside one that is no UTF-8 the exact bytes, in base64."""
    try:
        return {key: name.decode()}
    except UnicodeDecodeError:
        return {key: name.decode(errors="replace"), f"{key}Base64": as_base64(name)}


def as_base64(data: bytes) -> str:
    """Any bytes as JSON has them."""
    return base64.b64encode(data).decode()


def when(entry: Entry) -> str:
    """A modification time as RFC 3339 has it, in UTC; of one that no calendar has, the seconds after an `@`."""
    places = f".{entry.mtime_ns:09d}".rstrip("0") if entry.mtime_ns else ""
    try:
        return f"{(_EPOCH + timedelta(seconds=entry.mtime_s)).isoformat()[:19]}{places}Z"
    except OverflowError:
        return f"@{entry.mtime_s}{places}"


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
        try:
            names = meant(image.chain, wanted)
        except TreeError as error:
            raise TreeError(f"{image.name}:{error}") from None
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


COMMANDS = [which_command]
