"""What all commands share: the store that the user chose."""

import click

from imagefs.store.store import Store


class Settings:
    """The options before the subcommand."""

    def __init__(self, store: str, log_level: str = "warning") -> None:
        self.folder = store
        self.log_level = log_level

    def open(self) -> Store:
        """The store, open."""
        return Store(self.folder)


pass_settings = click.make_pass_decorator(Settings)
