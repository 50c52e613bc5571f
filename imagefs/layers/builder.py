"""A layer index in the making: where in the layer's tree the entries of its tar go.

Paths are resolved as extracting would resolve them; of the tree only the directories used last are remembered.
"""

import stat
from collections.abc import Callable
from pathlib import Path

from imagefs.errors import LayerError
from imagefs.layers.entry import GHOST, IMPLIED, OPAQUE, ROOT
from imagefs.layers.index import GONE
from imagefs.layers.writer import DEFAULT_DIRECTORY, GHOST_DIRECTORY, IndexWriter, Key, NodeRow
from imagefs.streams.tarfields import printable

_DIRECTORIES, _DIRECTORY_BYTES = 1 << 15, 16 << 20
"""How many directories are remembered by path, and how many bytes their paths may have in all."""

_RELIED_ON = 1 << 17
"""How many names that paths went through are remembered, a few more at the most."""

_LINKS_FOLLOWED = 40

MAX_GHOSTS = 1_000_000
"""How many directories a layer may have that hold nothing but whiteouts; they are kept in memory."""

MAX_PATH_DEPTH = 4096
"""How many names a path may have."""

Lower = Callable[[bytes, bool], bytes | None]
"""The target of the symbolic link that the layers below have at a path of this layer, None for anything else.

Asked with True for a whiteout and for what a hard link leads to: they find those layers as they are; and with False for
an entry, which finds them after all of the layer's whiteouts.
"""


class IndexBuilder(IndexWriter):
    """The index of one layer in the making. Use from one thread, then `finish` or `abandon`.

    With `lower`, a path that the layer has no word on is looked for in the layers below: an entry goes where their
    symbolic links lead, as extracting it over them would put it. Without, the index is the layer's alone.
    """

    def __init__(self, path: Path, lower: Lower | None = None, pieces: Callable[[], bytes] | None = None) -> None:
        super().__init__(path, pieces)
        self._lower = lower
        # Directories by their clean path, as entries find them and as whiteouts do.
        self._directories: dict[bytes, int] = {b"": ROOT}
        self._directories_before: dict[bytes, int] = {b"": ROOT}
        self._directory_bytes = 0
        self._links_passed: set[Key] = set()  # where symbolic links led to remembered directories
        self._ghosts: set[int] = set()
        self.steps = 0
        """How many names were looked up one by one to find out where paths lead: most begin as one before did."""

    # -- what the scanner says

    def directory(self, path: bytes, *, ghost: bool = False) -> int:
        """The node of the directory at a clean relative path, implied where it has no entry yet.

        `ghost` asks for it on behalf of a whiteout, which alone brings no directory into being.
        Symbolic links on the way are followed inside the layer, as extracting would. Raises
        `LayerError` where something else is in the way.
        """
        remembered = self._directories_before if ghost else self._directories
        node = remembered.get(path)
        if node is None:
            if (
                len(remembered) >= _DIRECTORIES
                or self._directory_bytes > _DIRECTORY_BYTES
                or len(self._relied_on) >= _RELIED_ON
            ):
                self.names_changed()
            node = self._step(path, remembered) or self._walk(path, ghost=ghost)
            remembered[path] = node
            self._directory_bytes += len(path)
        if self._ghosts and not ghost:
            self._unghost(node)
        return node

    def remembered_directory(self, path: bytes) -> int | None:
        """The same for a path that need not be clean: the node if it is that of a directory used of late."""
        node = self._directories.get(path)
        if node is not None and self._ghosts:
            self._unghost(node)
        return node

    def _step(self, path: bytes, remembered: dict[bytes, int]) -> int | None:
        """The node of a directory where the one that holds it is remembered, which is the usual case."""
        above, _, name = path.rpartition(b"/")
        parent = remembered.get(above)
        found = None if parent is None else self.find_in(parent, name)
        if parent is None or found is None or not stat.S_ISDIR(found[1]):
            return None
        self._relied_on.add((parent, name))
        return found[0]

    def _walk(self, path: bytes, *, ghost: bool) -> int:
        trail = self._follow(path, before=ghost)
        node = ROOT
        passed: list[Key] = []
        for position, name in enumerate(trail):
            found = self.find_in(node, name)
            passed.append((node, name))
            if found is None or (self._lower is None and not stat.S_IFMT(found[1])):
                # A hard link to what only lower layers have: with them it may be a symbolic link that leads on.
                node = self._add_implied(node, name, ghost=ghost)
            elif stat.S_ISDIR(found[1]):
                node = found[0]
            else:
                raise LayerError(f"{printable(b'/'.join(trail[: position + 1]))} is in its way and is no directory")
        self._relied_on.update(passed)
        return node

    def find(self, path: bytes) -> tuple[tuple[int, int] | None, bytes]:
        """What the layer holds at a path, without following a last symbolic link: its (node, mode), if anything.

        Answers the path too, as the links on its way make it. Raises `LayerError` where they lead in circles.
        """
        directory, _, name = path.rpartition(b"/")
        known = self._directories.get(directory)
        found = None if known is None else self.find_in(known, name)
        if found is not None and found[0] not in self._ghosts:
            return found, path
        trail = self._follow(directory, before=True)
        found = (ROOT, stat.S_IFDIR)
        for step in (*trail, name):
            found = self.find_in(found[0], step) if found is not None and stat.S_ISDIR(found[1]) else None
        if found is not None and found[0] in self._ghosts:
            found = None  # no more than whiteouts of what is below
        return found, b"/".join([*trail, name])

    def _follow(self, path: bytes, *, before: bool) -> list[bytes]:
        """The names that lead to a directory over no link.

        Links of the layer are followed, and where it has no word, those of the layers below. What is not there is
        taken for a directory, as long as nothing else is known of it. Raises `LayerError` for links in circles.
        """
        names = path.split(b"/")[::-1]
        trail: list[bytes] = []
        nodes: list[int | None] = [ROOT]  # the root's, and one for each name of the trail: None where nothing is
        followed = 0
        while names:
            self.steps += 1
            name = names.pop()
            if name in (b"", b"."):
                continue
            if name == b"..":
                if trail:
                    trail.pop()
                    if nodes.pop() is None:
                        self.imply(GONE, b"")  # a place that no row stands for
                continue
            node = nodes[-1]
            found = None if node is None else self.find_in(node, name)
            target = None
            if found is not None and stat.S_ISLNK(found[1]):
                target = self._links_to(found[0])
            elif found is not None and not stat.S_IFMT(found[1]):
                self.imply(GONE, b"")  # whether it leads on, only lower layers know
                target = self._below(self._links_to(found[0]), before=True)
            elif found is None:
                target = self._below(b"/".join([*trail, name]), before=before) if self._lower is not None else None
                if node is not None:
                    self.imply(node, name)
            if target is None:
                if len(trail) >= MAX_PATH_DEPTH:
                    raise LayerError(f"links lead to a path of more than {MAX_PATH_DEPTH} names")
                trail.append(name)
                nodes.append(None if found is None or not stat.S_ISDIR(found[1]) else found[0])
                continue
            followed += 1
            if followed > _LINKS_FOLLOWED:
                raise LayerError("too many symbolic links on the way to it")
            if node is not None:
                self._links_passed.add((node, name))
                self._relied_on.add((node, name))
            names += target.split(b"/")[::-1]
            if target.startswith(b"/"):
                trail, nodes = [], [ROOT]
        return trail

    def name_reused(self, key: Key) -> None:
        """Forget where links led if it is one that leads there no more."""
        if key in self._links_passed:
            self.names_changed()

    def update_directory(self, node: int, row: NodeRow) -> None:
        """A later entry for a directory, as `IndexWriter.update_directory`."""
        super().update_directory(node, row)
        if not row.flags & IMPLIED:
            self._ghosts.discard(node)

    def add_link(self, parent: int, name: bytes, node: int, mode: int) -> None:
        """Give a node of this layer one more name."""
        if (parent, name) in self._links_passed:
            self.names_changed()
        super().add_link(parent, name, node, mode)

    def names_changed(self) -> None:
        """What is remembered of the tree may not be true any more."""
        for remembered in (self._directories, self._directories_before):
            remembered.clear()
            remembered[b""] = ROOT
        self._directory_bytes = 0
        self._relied_on.clear()
        self._links_passed.clear()

    def update_root(self, row: NodeRow) -> None:
        """The layer has an entry for its root."""
        self.update_directory(ROOT, row)

    def whiteout(self, parent: int, name: bytes) -> None:
        """The directory removes a name of the layers below."""
        self.flush()
        self.hide(parent, name)

    def opaque(self, directory: int) -> None:
        """The directory hides all that the layers below have in it."""
        self.flush()
        self._database.execute("UPDATE node SET flags = flags | ? WHERE id = ?", (OPAQUE, directory))

    # -- the tree so far

    def _below(self, path: bytes, *, before: bool) -> bytes | None:
        return None if self._lower is None else self._lower(path, before)

    def _links_to(self, node: int) -> bytes:
        """A symbolic link's target, or the path of a hard link to what only lower layers have."""
        self.flush()
        query = "SELECT ifnull(target, link_path) FROM node WHERE id = ?"
        (target,) = self._database.execute(query, (node,)).fetchone()
        return bytes(target)

    def _add_implied(self, parent: int, name: bytes, *, ghost: bool) -> int:
        self.imply(parent, name)
        if not ghost:
            self._unghost(parent)
        row = GHOST_DIRECTORY if ghost else DEFAULT_DIRECTORY
        node = self.add(parent, name, row)
        if ghost:
            self._ghosts.add(node)
            if len(self._ghosts) > MAX_GHOSTS:
                raise LayerError(f"more than {MAX_GHOSTS} directories of whiteouts alone")
        return node

    def _unghost(self, node: int) -> None:
        """Something real is put into a directory: it and its parents exist after all."""
        while node in self._ghosts:
            self.flush()
            self._ghosts.remove(node)
            self._database.execute("UPDATE node SET flags = flags & ~? WHERE id = ?", (GHOST, node))
            (node,) = self._database.execute("SELECT parent FROM node WHERE id = ?", (node,)).fetchone()
