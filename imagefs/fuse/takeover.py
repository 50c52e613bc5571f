"""The one place that knows how pyfuse3's loop is made: where it hands the device over to `fuse.loop`.

pyfuse3 mounts, negotiates the session with the kernel, invalidates and unmounts. Before each request its loop awaits
a function of its own that waits for the device. In place of that function stands one which lets the first request
pass, the negotiation, and then serves all the others itself. Where pyfuse3 is not known to be made like that, its own
loop serves with `fuse.operations`, more slowly.
"""

import inspect
import os
from collections.abc import Awaitable, Callable

import pyfuse3

from imagefs.fuse.operations import FuseOperations

KNOWN_VERSIONS = ("3.4.", "3.5.")
"""How the versions of pyfuse3 begin whose loop is known."""

STOCK_LOOP = "IMAGEFS_STOCK_LOOP"
"""The environment variable that, set to 1, leaves the loop to pyfuse3: to tell in whose a fault is."""

_HOOK = "_wait_fuse_readable"


def possible() -> bool:
    """Whether this pyfuse3 is known, and nobody wants its own loop."""
    return (
        os.environ.get(STOCK_LOOP) != "1"
        and pyfuse3.__version__.startswith(KNOWN_VERSIONS)
        and inspect.iscoroutinefunction(getattr(pyfuse3, _HOOK, None))
    )


async def serve(operations: FuseOperations, run: Callable[[], Awaitable[None]]) -> None:
    """Serve with `run` from the negotiation on, instead of pyfuse3's loop; `pyfuse3.main` in its place."""
    stock = getattr(pyfuse3, _HOOK)

    async def hand_over() -> bool:
        if not operations.negotiated:
            return bool(await stock())
        await run()
        return False  # and pyfuse3's loop ends

    setattr(pyfuse3, _HOOK, hand_over)
    try:
        await pyfuse3.main(min_tasks=1, max_tasks=1)
    finally:
        setattr(pyfuse3, _HOOK, stock)
