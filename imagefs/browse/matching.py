"""Finding paths in an image by a glob.

A glob without a slash is for last names, one with a slash for whole paths from the root. `*` and `?` stop at slashes,
`**` does not; there are `[...]` and `{a,b}`; a dot is a letter like others.
"""

import os
import re
from collections.abc import Callable, Iterator

from wcmatch import glob

from imagefs.browse.nodes import Node, Trail, walk
from imagefs.browse.opened import OpenedImage
from imagefs.browse.paths import find

_FLAGS = glob.GLOBSTAR | glob.BRACE | glob.DOTGLOB | glob.FORCEUNIX


def matcher(pattern: str) -> Callable[[bytes, bytes], bool]:
    """The question whether something with a path and a last name matches.

    Letters are those of UTF-8; a byte that is none counts as a letter, as `os.fsdecode` has it.
    Raises `ValueError` for a glob with too many alternatives.
    """
    try:
        expressions, _ = glob.translate(pattern, flags=_FLAGS)
    except Exception as error:  # of a class that has no public name
        raise ValueError(f"{pattern}: {error}") from None
    match = re.compile("|".join(expressions)).match
    if "/" not in pattern:
        return lambda _, name: match(os.fsdecode(name)) is not None

    def matches_path(path: bytes, _: bytes) -> bool:
        text = os.fsdecode(path)
        # etc/* means the same as /etc/*.
        return match(text) is not None or match(text[1:]) is not None

    return matches_path


def matches(image: OpenedImage, pattern: str, path: bytes = b"/") -> Iterator[tuple[bytes, Node]]:
    """The path from the image's root, and the node, of all that matches at a path and below it; never the root.

    Links at the end of the path are followed. Raises `TreeError` where the path leads nowhere, and `ValueError` for
    a glob with too many alternatives.
    """
    is_match = matcher(pattern)
    found = find(image.chain, path, follow=True)
    trail = Trail(found.path.rstrip(b"/"))
    for node in walk(image.chain, found.merged, found.names[-1] if found.names else b""):
        place = trail.at(node.depth, node.name)
        if place and is_match(place, node.name):
            yield place, node
