"""Putting on record in the store that a mount began and ended.

It is no more than a note, for which no mount waits or fails.
"""

import logging
import sqlite3

from imagefs.digest import Digest
from imagefs.errors import StoreBusy, StoreError
from imagefs.store import events
from imagefs.tree.mounted import MountedImages

log = logging.getLogger(__name__)

_PATIENCE = 0.05  # seconds that a mount may be held up by another process


class MountRecord:
    """The events of one mount: one for each image where they are named, else one without an image."""

    def __init__(self, images: MountedImages, mountpoint: str) -> None:
        self._images = images
        self._mountpoint = mountpoint
        self._begun = False

    def begin(self) -> bool:
        """Put on record that it is ready; answers whether there is no more to be done, else call it again later."""
        store = self._images.store
        if store.read_only:
            return True
        shown = [image.record for image in self._images.current.images] if self._images.fixed else []
        named: list[tuple[str | None, Digest | None]] = [(record.name, record.target.digest) for record in shown]
        try:
            with self._images.noting(wait=_PATIENCE):  # or all images would be looked at again
                for name, content in named or [(None, None)]:
                    events.record(store.catalog, "mount", name=name, digest=content, mountpoint=self._mountpoint)
            self._begun = True
        except StoreBusy:
            return False
        except (StoreError, sqlite3.Error) as error:
            log.warning("%s: the mount is not on record: %s", self._mountpoint, error)
        return True

    def end(self) -> None:
        """Put on record that it ended, where its beginning is."""
        if not self._begun:
            return
        try:
            with self._images.store.catalog.transaction():
                events.unmounted(self._images.store.catalog, self._mountpoint)
        except (StoreError, sqlite3.Error) as error:
            log.warning("%s: the end of the mount is not on record: %s", self._mountpoint, error)
