"""Progress bars on a terminal."""

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from imagefs.cli.progress import short
from imagefs.progress import Silent


class Bars(Silent):
    """A bar for the archive with bytes, rate and time left, and a line for each layer; a context manager."""

    def __init__(self) -> None:
        columns = [
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        ]
        self._display = Progress(*columns, console=Console(stderr=True))
        self._archive: TaskID | None = None
        self._layers: dict[str, tuple[TaskID, str]] = {}  # and the label, by key

    def __enter__(self) -> "Bars":
        self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.stop()

    def started(self, what: str, total: int | None) -> None:
        """Work on an archive begins."""
        self._archive = self._display.add_task(what.rsplit("/", 1)[-1], total=total)

    def advanced(self, position: int) -> None:
        """So many bytes of the archive are behind us."""
        if self._archive is not None:
            self._display.update(self._archive, completed=position)

    def layer_started(self, key: str, label: str, total: int | None) -> None:
        """A layer begins to arrive."""
        self._layers[key] = self._display.add_task(f"  {short(label)}", total=total), label

    def layer_advanced(self, key: str, position: int) -> None:
        """So many bytes of the layer are behind us."""
        self._display.update(self._layers[key][0], completed=position)

    def layer_finished(self, key: str, note: str) -> None:
        """The layer is done: its bar becomes a line."""
        task, label = self._layers.pop(key)
        self._display.remove_task(task)
        self._display.console.print(f"  {short(label)}: {note}", markup=False, highlight=False)
