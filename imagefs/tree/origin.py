"""Where a file comes from, as extended attributes."""

from collections.abc import Mapping

from imagefs.layers.entry import GHOST, IMPLIED
from imagefs.oci.history import created_by
from imagefs.tree.image import ImageTree

PREFIX = b"user.imagefs."
"""What the names of the attributes begin with."""

LAYER, BLOB, CREATED_BY = PREFIX + b"layer", PREFIX + b"blob", PREFIX + b"created_by"
"""The diff ID of the layer, the digest of its blob, and the command that made it, as the image's history has it."""

_LARGEST = 65536  # bytes: XATTR_SIZE_MAX of Linux


def origin(tree: ImageTree, ino: int) -> Mapping[bytes, bytes]:
    """The attributes of a regular file or a directory: those of the layer whose entry it is.

    A directory that no layer has an entry for is of the layer that brought it into being; the root of an image
    without layers is of none. Nothing for what can have no `user.` attributes.
    """
    position, entry = tree.node(ino)
    layers = tree.manifest.layers
    if not (entry.is_regular or entry.is_directory) or not layers:
        return {}
    if entry.flags & IMPLIED:
        position = min((part.layer for part in tree.directory(ino).parts if not part.entry.flags & GHOST), default=0)
    diff_id, blob = layers[position]
    found = {LAYER: diff_id.encode(), BLOB: blob.digest.encode()}
    assert tree.manifest.config is not None, "an image has one"
    made_by = created_by(tree.manifest.config.history, len(layers))[position]
    if made_by is not None and made_by.created_by:
        command = made_by.created_by.encode("utf-8", "replace")
        # A longer one is cut, and no letter in two: no value at all would tell less.
        found[CREATED_BY] = command[:_LARGEST].decode("utf-8", "ignore").encode()
    return found
