"""The command `imagefs`: its options, its subcommands, and what becomes of errors."""

import logging
import sqlite3
import sys

import click
import platformdirs

from imagefs.cli import browse, export, gc, images, import_, mount, provenance
from imagefs.cli.context import Settings
from imagefs.errors import ImagefsError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--store",
    envvar="IMAGEFS_STORE",
    metavar="DIR",
    type=click.Path(file_okay=False),
    default=lambda: platformdirs.user_data_dir("imagefs"),
    help="The store's folder.  [default: $IMAGEFS_STORE, or imagefs in the user's data folder]",
)
@click.version_option(package_name="imagefs")
@click.pass_context
def cli(context: click.Context, store: str) -> None:
    """Mount container image archives, and turn what is mounted back into archives."""
    context.obj = Settings(store)


for module in (import_, images, mount, browse, provenance, export, gc):
    for command in module.COMMANDS:
        cli.add_command(command)


def main() -> None:
    """Run the command line; exits 0, 1 after an error that was said on stderr, 2 after wrong usage."""
    logging.basicConfig(format="imagefs: %(message)s", level=logging.WARNING)
    try:
        cli.main(prog_name="imagefs", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ImagefsError as error:
        sys.exit(_complain(str(error)))
    except BrokenPipeError:
        # Whoever read the output has enough; the interpreter must not complain when it flushes.
        sys.stderr.close()
        sys.exit(141)
    except sqlite3.Error as error:
        sys.exit(_complain(f"the store's database: {error}"))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(_complain(f"{where}{error.strerror or error}"))


def _complain(text: str) -> int:
    line = "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)
    click.echo(f"imagefs: {line}", err=True)
    return 1
