"""Worker threads that pass chunks on, so that hashing, inflating and writing overlap.

Each of these jobs leaves the interpreter lock while it works on a chunk. Queues are short and
bounded: memory stays flat however large the stream is.
"""

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

_DEPTH = 4
"""How many chunks may wait between two threads."""

Result = TypeVar("Result")


class Worker(Generic[Result]):
    """A thread that consumes a stream of chunks that its owner feeds to it.

    `work` gets an iterator of the chunks; what it returns or raises comes out of `result()`. A worker
    that raised, or returned before the end, keeps swallowing chunks, so that its feeder never blocks on it.
    It is put `among` others, if there are any, before it begins: a signal that interrupts its maker right then leaves
    nobody at work of whom nobody knows.
    """

    def __init__(
        self, work: Callable[[Iterator[bytes]], Result], name: str, *, among: "list[Worker[Result]] | None" = None
    ) -> None:
        # Two queues without a bound, one of chunks and one of places for them, cost a tenth of one that has a bound.
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._places: SimpleQueue[None] = SimpleQueue()
        for _ in range(_DEPTH):
            self._places.put(None)
        self._work = work
        self._result: Result | None = None
        self._error: BaseException | None = None
        self._cancelled = False
        self._closed = False
        self._ended = False  # the worker has seen that there are no more chunks
        # Not `Thread.join`: one that a signal interrupts takes the thread for ended from then on.
        self._done = threading.Event()
        self._begun = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        try:
            if among is not None:
                among.append(self)
            self._thread.start()
        except BaseException:
            # Interrupted, and who knows whether the thread began: whoever is first decides that.
            if self._begun.acquire(blocking=False):
                self._error = Cancelled()
                self._done.set()
            raise

    @property
    def failed(self) -> bool:
        """Whether the work raised already; feeding it more is of no use then."""
        return self._error is not None

    def feed(self, chunk: bytes) -> None:
        """Hand over a chunk; waits while the worker is behind."""
        if self._error is None:
            self._places.get()
            self._queue.put(chunk)

    def close(self) -> None:
        """There are no more chunks."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)

    def cancel(self) -> None:
        """Give up: the work sees `Cancelled`, and its outcome is dropped."""
        self._cancelled = True
        self.close()
        self._done.wait()

    def result(self) -> Result:
        """Close, wait, and answer what the work returned, or raise what it raised."""
        self.close()
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # set, as nothing was raised

    def _take(self) -> bytes | None:
        if self._ended:
            return None
        chunk = self._queue.get()
        if chunk is None:
            self._ended = True
        else:
            self._places.put(None)
        return chunk

    def _chunks(self) -> Iterator[bytes]:
        while (chunk := self._take()) is not None:
            yield chunk
        if self._cancelled:
            raise Cancelled

    def _run(self) -> None:
        if not self._begun.acquire(blocking=False):
            return
        try:
            self._result = self._work(self._chunks())
        except BaseException as error:
            self._error = error
        # What is still queued, or comes after the work is done, goes nowhere.
        while self._take() is not None:
            pass
        self._done.set()


class Cancelled(Exception):  # not an error: nobody sees it but the worker
    """The feeder of a worker gave up."""


def finish(workers: list[Worker[None]], leaving: int = 0) -> None:
    """Wait for all workers but the last `leaving`, and take them off the list.

    Raises what the first one raised that did, when all have come to their end.
    """
    failure: Exception | None = None
    while len(workers) > (leaving if failure is None else 0):
        try:
            workers[0].result()
        except Exception as error:
            failure = failure or error
        del workers[0]
    if failure is not None:
        raise failure
