"""The command `imagefs`: its options, its subcommands, and what becomes of errors."""

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import Any

import click

from imagefs.cli import output
from imagefs.cli.context import Settings
from imagefs.cli.errors import EXPECTED, printable, told
from imagefs.fuse.logs import LEVELS

_ENDING = (signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """A signal that ends the process, raised so that what is half done is cleaned up as after ^C."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


class _ReaderGone(Exception):
    """`BrokenPipeError` by another name: click has an exit status of its own for that."""


@contextmanager
def _renaming() -> Iterator[None]:
    try:
        try:
            yield
        except SystemExit:
            output.flush()
            raise
        output.flush()
    except BrokenPipeError:
        raise _ReaderGone from None


_MODULES = {
    "browse": ("ls", "cat", "cp", "find", "tar"),
    "check": ("check",),
    "content": ("content",),
    "diff": ("diff",),
    "events": ("events",),
    "export": ("export", "save"),
    "gc": ("gc",),
    "import_": ("import", "load"),
    "inspect": ("inspect",),
    "leases": ("leases",),
    "listing": ("images",),
    "mount": ("mount", "umount"),
    "mounts": ("mounts",),
    "names": ("tag", "label", "rm", "prune"),
    "provenance": ("which",),
    "stats": ("stats",),
    "usage": ("usage",),
}
_MODULE_OF = {command: module for module, commands in _MODULES.items() for command in commands}


class _Commands(click.Group):
    """Loads the module of the one command that is given: to load all of them takes as long as a mount."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_MODULE_OF)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULE_OF:
            return None
        commands = import_module(f"imagefs.cli.{_MODULE_OF[cmd_name]}").COMMANDS
        return next((command for command in commands if command.name == cmd_name), None)

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:  # noqa: ANN401  as click has it
        with _renaming():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401
        with _renaming():
            return super().invoke(ctx)


def _data_folder() -> str:
    import platformdirs  # only where no store is named

    return platformdirs.user_data_dir("imagefs")


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--store",
    envvar="IMAGEFS_STORE",
    metavar="DIR",
    type=click.Path(file_okay=False, readable=False),  # opening it tells more about what cannot be read
    default=_data_folder,
    help="The store's folder.  [default: $IMAGEFS_STORE, or imagefs in the user's data folder]",
)
@click.option(
    "--log-level",
    type=click.Choice(LEVELS),
    default="warning",
    show_default=True,
    help="What to log on standard error, and where `mount` says in the background.",
)
@click.version_option(package_name="imagefs")
@click.pass_context
def cli(context: click.Context, store: str, log_level: str) -> None:
    """Mount container image archives, and turn what is mounted back into archives."""
    logging.getLogger().setLevel(log_level.upper())
    context.obj = Settings(store, log_level)


def main() -> None:
    """Run the command line.

    Exits 0; 1 after an error that was said on stderr, or where `diff --exit-code` finds a difference; 2 after wrong
    usage, or any error of `diff --exit-code`; 130, 129 and 143 after SIGINT, SIGHUP and SIGTERM, when what was half
    done is cleaned up; and 141, as a shell shows SIGPIPE, in silence where nobody reads the output any more.
    """
    output.open_standard_streams()
    _log_to_stderr()
    for number in _ENDING:
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores SIGHUP, and so do we
            signal.signal(number, _end)
    status = 1
    try:
        status = _run()
    except Ended as ended:
        status = ended.status
    except KeyboardInterrupt:  # while an error was told
        status = 130
    except BrokenPipeError:  # of stderr
        pass
    finally:
        output.abandon()
    sys.exit(status)


class _Lines(logging.Formatter):
    """Lines in which nothing steers a terminal, whatever names are in them."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(printable, super().format(record).split("\n")))


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines("imagefs: %(message)s"))
    logging.getLogger().addHandler(handler)


def _run() -> int:
    try:
        with _renaming():
            cli.main(prog_name="imagefs", standalone_mode=False)
    except _ReaderGone:
        return 141
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except EXPECTED as error:
        click.echo(f"imagefs: {told(error)}", err=True)
        return 1
    return 0


def _end(number: int, _: FrameType | None) -> None:
    for other in _ENDING:
        signal.signal(other, signal.SIG_IGN)  # the same again must not cut short what the first one began
    raise Ended(number)
