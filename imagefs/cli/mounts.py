"""`imagefs mounts`."""

import json
import os
from collections.abc import Mapping

import click

from imagefs.cli.errors import printable
from imagefs.fuse import stats
from imagefs.fuse.stats import Found
from imagefs.mountinfo import Mounted, mounts


@click.command("mounts")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def mounts_command(as_json: bool) -> None:
    """List the mounts of this machine: live ones, and dead ones, whose process is gone.

    Of those that do not let you in, and of dead ones, only the place and the store are known.
    """
    found = [(mount, stats.look(mount.mountpoint)) for mount in mounts()]
    if as_json:
        click.echo(json.dumps([_described(*each) for each in found], indent=2))
        return
    from imagefs.cli.tables import print_table

    rows = [[printable(text) for text in _row(_described(*each))] for each in found]
    print_table(("MOUNTPOINT", "STORE", "IMAGES", "VIEW", "PID", "STATE"), rows, numbers=("PID",))


def _described(mount: Mounted, found: Found) -> dict[str, object]:
    told = found.stats
    return {
        "mountpoint": os.fsdecode(mount.mountpoint),
        "store": os.fsdecode(mount.source),
        "images": None if told is None or told.images is None else [*told.images],
        "more_images": 0 if told is None else told.more_images,
        "view": None if told is None else told.view,
        "pid": None if told is None else told.pid,
        "state": found.state,
    }


def _row(described: Mapping[str, object]) -> list[str]:
    images, more = described["images"], described["more_images"]
    names = "all" if described["view"] is not None else "-"
    if isinstance(images, list):
        names = ", ".join(images) + (f" and {more} more" if more else "")
    return [
        str(described["mountpoint"]), str(described["store"]), names, str(described["view"] or "-"),
        str(described["pid"] or "-"), str(described["state"]),
    ]  # fmt: skip


COMMANDS = [mounts_command]
