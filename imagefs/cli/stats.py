"""`imagefs stats`."""

import json
from collections.abc import Iterator
from datetime import timedelta

import click
import msgspec
from rich.filesize import decimal

from imagefs.cli.errors import printable
from imagefs.errors import MountError
from imagefs.fuse import stats
from imagefs.fuse.stats import MountStats
from imagefs.mountinfo import mounted_at


@click.command("stats")
@click.argument("mountpoint", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON; times are in seconds.")
def stats_command(mountpoint: str, as_json: bool) -> None:
    """Show how a live mount is doing: its requests, how long they took, and what it holds."""
    mounted = mounted_at(mountpoint)
    if mounted is None:
        raise MountError(f"{mountpoint}: not an imagefs mount")
    told = stats.ask(mounted.mountpoint)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(told), indent=2))
        return
    from imagefs.cli.tables import print_table

    for title, value in _lines(told):
        click.echo(f"{title + ':':<10} {printable(value)}")
    click.echo()
    rows = [
        [kind, str(each.count), *map(_time, (each.mean, each.p50, each.p99))]
        for kind, each in sorted(told.requests.items(), key=lambda item: -item[1].count)
    ]
    print_table(("REQUEST", "COUNT", "MEAN", "P50", "P99"), rows, numbers=("COUNT", "MEAN", "P50", "P99"))


def _lines(told: MountStats) -> Iterator[tuple[str, str]]:
    yield "process", f"{told.pid}, up {timedelta(seconds=int(told.uptime))}"
    yield "memory", f"{decimal(told.memory)}, {told.threads} threads, {told.open_files} open files"
    yield "layers", f"{told.open_layers} open, {told.unpacked_layers} unpacked on demand"
    yield "read", f"{decimal(told.bytes_read)} in {told.reads} reads, {told.cached_reads} of them without the disk"
    errors = ", ".join(f"{count} {name}" for name, count in told.errors.items())
    yield "errors", errors or "none"


def _time(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


COMMANDS = [stats_command]
