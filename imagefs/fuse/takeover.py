"""The one place that knows how pyfuse3's loop is made: where it hands the device over to `fuse.loop`.

pyfuse3 mounts, negotiates the session with the kernel, invalidates and unmounts. Before each request its loop awaits
a function of its own that waits for the device. In place of that function stands one which lets the first request
pass, the negotiation, and then serves all the others itself. Where pyfuse3 is not known to be made like that, its own
loop serves with `fuse.operations`, more slowly.
"""

import inspect
import os
from collections.abc import Callable
from typing import Protocol

import pyfuse3
import trio

from imagefs.fuse.loop import RequestLoop
from imagefs.fuse.operations import FuseOperations

KNOWN_VERSIONS = ("3.4.", "3.5.")
"""How the versions of pyfuse3 begin whose loop is known."""

STOCK_LOOP = "IMAGEFS_STOCK_LOOP"
"""The environment variable that, set to 1, leaves the loop to pyfuse3: to tell in whose a fault is."""

_HOOK = "_wait_fuse_readable"


class Server(Protocol):
    """What serves a session's requests."""

    async def run(self) -> None:
        """Serve until it is unmounted, or told to `stop`."""

    def stop(self) -> None:
        """Return from `run`; call from trio's thread."""


class StockLoop:
    """pyfuse3's own loop."""

    def __init__(self) -> None:
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        """Serve."""
        with self._scope:
            await pyfuse3.main()

    def stop(self) -> None:
        """Return from `run`, also where requests wait for a layer to be uncompressed."""
        self._scope.cancel()


class TakenOver:
    """Ours in its place, with `negotiated` called once between the negotiation and the first request."""

    def __init__(self, operations: FuseOperations, loop: RequestLoop, negotiated: Callable[[], None]) -> None:
        self._operations = operations
        self._loop = loop
        self._negotiated = negotiated
        self.stop = loop.stop

    async def run(self) -> None:
        """Serve."""
        stock = getattr(pyfuse3, _HOOK)

        async def hand_over() -> bool:
            if not self._operations.negotiated:
                return bool(await stock())
            self._negotiated()
            await self._loop.run()
            return False  # and pyfuse3's loop ends

        setattr(pyfuse3, _HOOK, hand_over)
        try:
            await pyfuse3.main(min_tasks=1, max_tasks=1)
        finally:
            setattr(pyfuse3, _HOOK, stock)


def possible() -> bool:
    """Whether this pyfuse3 is known, and nobody wants its own loop."""
    return (
        os.environ.get(STOCK_LOOP) != "1"
        and pyfuse3.__version__.startswith(KNOWN_VERSIONS)
        and inspect.iscoroutinefunction(getattr(pyfuse3, _HOOK, None))
    )
