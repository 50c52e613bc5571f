"""Which errno an error is to the kernel."""

import errno
import logging
from contextlib import suppress

from imagefs import errors

log = logging.getLogger(__name__)

_ERRNOS: dict[type[errors.ImagefsError], int] = {
    errors.NoSuchEntry: errno.ENOENT,
    errors.NotADirectory: errno.ENOTDIR,
    errors.IsADirectory: errno.EISDIR,
    errors.NotASymlink: errno.EINVAL,
    errors.NoSuchAttribute: errno.ENODATA,
}
"""What each answer of "no" is; every other error is EIO and a line in the log."""


def errno_of(error: Exception, what: str) -> int:
    """The errno that answers a request which failed; `what` says in the log which it was."""
    if isinstance(error, errors.TreeError):
        return _ERRNOS.get(type(error), errno.EIO)
    with suppress(Exception):  # there may not even be memory to say so, and somebody waits for the answer
        if isinstance(error, errors.ImagefsError | OSError):
            log.error("%s: %s", what, error)  # the text says it all
        else:
            log.error("%s failed", what, exc_info=error)
    return errno.EIO
