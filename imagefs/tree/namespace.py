"""The file system of a mount: the image layout at the top, the images' trees below `images/`, and, where they were
asked for, single layers below `layers/`.

What images there are can change while it is mounted. Everything that depends on it is valid for a second; an
image's own tree and the blobs never change. Each generation of `index.json` and `manifest.json` is a file of
its own, so whoever has one open goes on reading it.
"""

import stat
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import msgspec

from imagefs import digest
from imagefs.digest import Digest
from imagefs.errors import ImagefsError, IsADirectory, NoSuchEntry, NotADirectory
from imagefs.oci import layout
from imagefs.oci.chainid import chain_ids
from imagefs.tree import inode
from imagefs.tree.files import BlobFile, Document
from imagefs.tree.filesystem import FOREVER, VOLATILE, Attributes, OpenFile
from imagefs.tree.forgetting import Forgetting
from imagefs.tree.image import ImageTree
from imagefs.tree.layerview import LayerView
from imagefs.tree.mounted import MountedImages
from imagefs.tree.snapshot import Snapshot
from imagefs.tree.treefiles import TreeFiles, replaced

BLOBS, IMAGES, OCI_LAYOUT, LAYERS = 2, 3, 4, 5
"""The FIXED inode numbers beside the root's."""

_GENERATIONS = 64
"""How many past generations of the JSON files can still be asked for their attributes."""

_DIRECTORY = stat.S_IFDIR | 0o755
_FILE = stat.S_IFREG | 0o644

_FIXED_FOLDERS = {("images",): IMAGES, ("layers",): LAYERS}

_SHORT = 12
"""How many digits of a diff ID a layer's folder has in its name."""

Path = tuple[str, ...]


class Root(msgspec.Struct, frozen=True):
    """The root of an image's tree, or of one layer of it: its position, 0 the lowest."""

    slot: int
    layer: int | None = None


class Namespace(TreeFiles):
    """`--view all` and `--view layout`: the layout, and with `show_images` the trees beside it.

    With `show_layers` there is a folder `layers/` too, in which each layer of each image is a folder
    `<position, from 1>-<short diff ID>`.
    """

    def __init__(
        self, images: MountedImages, *, show_images: bool, show_layers: bool = False, provenance: bool = False
    ) -> None:
        super().__init__(images, provenance=provenance)
        self._tops: list[Path] = [*([("images",)] * show_images), *([("layers",)] * show_layers)]
        self.has_xattrs = self.has_xattrs or show_layers
        self._generations: OrderedDict[int, bytes] = OrderedDict()
        self._folders: dict[Path, dict[bytes, Path | Root]] = {}
        self._folder_numbers: dict[int, Path] = {}
        self._outdated: list[tuple[int, bytes]] = []
        self._left: defaultdict[int, list[tuple[Path, bytes]]] = defaultdict(list)  # where removed trees were, by slot
        self._forgetting = Forgetting()
        self._known_blob_numbers: dict[int, Digest] | None = None
        self._blob_sizes: dict[Digest, int] = {}
        self._document_numbers: dict[str, int] = {}
        self._read_snapshot()

    def refresh(self) -> None:
        """Look for new and removed images."""
        if self.images.refresh():
            self._read_snapshot()

    def outdated(self) -> Sequence[tuple[int, bytes]]:
        """(directory, name) of every name that means something else, or nothing, since this was asked last."""
        outdated, self._outdated = self._outdated, []
        for tree in self.images.in_use.closed_trees():
            with suppress(ImagefsError):  # its layers are gone or damaged: the kernel forgets it when it likes
                outdated += self._names_at_the_top(tree)
        for tree in self.images.in_use.lingering_trees():
            # A name that is another image's by now, somebody may stand in.
            left = [(path, name) for path, name in self._left[tree.slot] if name not in self._folders.get(path, {})]
            places = [(self._number_of(path), name) for path, name in left]
            with suppress(ImagefsError):
                self._forgetting.begin(tree.slot, places, self._roots(tree))
        return outdated + self._forgetting.names()

    def _roots(self, tree: ImageTree) -> Sequence[ImageTree | LayerView]:
        if ("layers",) not in self._tops:
            return [tree]
        return [tree, *(LayerView(tree, position) for position in range(len(tree.chain)))]

    def _names_at_the_top(self, tree: ImageTree) -> Iterator[tuple[int, bytes]]:
        for each in self._roots(tree):
            yield from ((each.root_ino, name) for name, _ in each.listdir(each.root_ino))

    def _read_snapshot(self) -> None:
        current = self.images.current
        for name, content in (
            (layout.INDEX_FILE, current.index_json),
            (layout.MANIFEST_FILE, current.manifest_json),
        ):
            number = inode.of_hash(b"document", name.encode(), content)
            self._document_numbers[name] = number
            self._generations[number] = content
            self._generations.move_to_end(number)
        while len(self._generations) > _GENERATIONS:
            self._generations.popitem(last=False)
        folders: dict[Path, dict[bytes, Path | Root]] = {("images",): {}, ("layers",): {}}
        for image in current.images:
            *parents, _ = image.record.name.split("/")
            path: Path = ("images",)
            for part in parents:
                folders[path][part.encode()] = (*path, part)
                path = (*path, part)
                folders.setdefault(path, {})
            for tree in image.trees:
                folders[path][tree.file_name.encode()] = Root(tree.slot)
        if ("layers",) in self._tops:
            folders["layers",] = dict(_layers(current))
        before = self._folders
        self._folders = {path: dict(_in_order(path, children)) for path, children in folders.items()}
        for slot in [slot for slot in self._left if self.images.in_use.tree(slot) is None]:
            del self._left[slot]
            self._forgetting.end([slot])
        for path, children in before.items():
            for child_name, child in children.items():
                if self._folders.get(path, {}).get(child_name) != child:
                    self._outdated.append((self._number_of(path), child_name))
                    if isinstance(child, Root):
                        self._left[child.slot].append((path, child_name))
        self._folder_numbers = {self._number_of(path): path for path in folders}
        for algorithm in {digest.algorithm(blob) for blob in (*current.blobs, *current.documents)}:
            self._folder_numbers[self._number_of(("blobs", algorithm))] = ("blobs", algorithm)
        self._known_blob_numbers = None

    @property
    def _blob_numbers(self) -> dict[int, Digest]:
        """The blobs by inode number; counted when somebody first looks at them, for there can be many."""
        if self._known_blob_numbers is None:
            current = self.images.current
            self._known_blob_numbers = {
                inode.of_hash(b"blob", blob.encode()): blob for blob in {*current.blobs, *current.documents}
            }
        return self._known_blob_numbers

    @staticmethod
    def _number_of(path: Path) -> int:
        if path in _FIXED_FOLDERS:
            return _FIXED_FOLDERS[path]
        return inode.of_hash(b"folder", *(part.encode() for part in path))

    # -- the questions of `FileSystem`

    def unchanging(self, ino: int) -> bool:
        """Names come and go only where images do."""
        return inode.is_of_an_image(ino)

    def getattr(self, ino: int) -> Attributes:
        """The attributes of an inode."""
        if inode.is_of_an_image(ino):
            return super().getattr(ino)
        if ino in (inode.ROOT, BLOBS):
            return Attributes(ino, _DIRECTORY)
        if ino == OCI_LAYOUT:
            return _file(ino, len(layout.OCI_LAYOUT), FOREVER)
        if ino in self._folder_numbers:
            return Attributes(ino, _DIRECTORY, valid=VOLATILE)
        if ino in self._generations:
            return _file(ino, len(self._generations[ino]), VOLATILE)
        blob = self._blob_numbers.get(ino)
        if blob is None:
            raise NoSuchEntry
        return self._blob_attributes(ino, blob)

    def _blob_attributes(self, ino: int, blob: Digest) -> Attributes:
        made = self.images.current.documents.get(blob)
        size = len(made) if made is not None else self._blob_sizes.get(blob)
        if size is None:
            size = self.images.store.blobs.size(blob)
            if size is None:
                raise NoSuchEntry
            # It never changes; where a disk cuts the file short, whoever reads it is to be told of an error.
            self._blob_sizes[blob] = size
        return _file(ino, size, FOREVER)

    def lookup(self, parent: int, name: bytes) -> Attributes:
        """The attributes behind a name."""
        if inode.is_of_an_image(parent):
            return super().lookup(parent, name)
        self.refresh()
        if parent == inode.ROOT:
            for known, attributes in self._root_listing():
                if known == name:
                    return attributes
            raise NoSuchEntry
        if parent == BLOBS:
            return self._folder_attributes(("blobs", name.decode("ascii", "replace")))
        path = self._folder_numbers.get(parent)
        if path is None:
            raise (NotADirectory if parent in self._generations or parent in self._blob_numbers else NoSuchEntry)
        if path[0] == "blobs":
            number = inode.of_hash(b"blob", f"{path[1]}:".encode() + name)
            if number not in self._blob_numbers:
                raise NoSuchEntry
            return self._blob_attributes(number, self._blob_numbers[number])
        child = self._folders[path].get(name)
        if child is None:
            raise NoSuchEntry
        if isinstance(child, tuple):
            return self._folder_attributes(child)
        return replaced(self._shown_at(child).root(), None, VOLATILE)

    def listdir(self, ino: int) -> Sequence[tuple[bytes, Attributes]]:
        """A snapshot of a directory."""
        if inode.is_of_an_image(ino):
            return super().listdir(ino)
        self.refresh()
        if ino == inode.ROOT:
            return self._root_listing()
        if ino == BLOBS:
            paths = sorted(path for path in self._folder_numbers.values() if path[0] == "blobs")
            return [(path[1].encode(), self._folder_attributes(path)) for path in paths]
        path = self._folder_numbers.get(ino)
        if path is None:
            raise NoSuchEntry
        if path[0] == "blobs":
            mine = sorted(
                (blob, number) for number, blob in self._blob_numbers.items() if blob.startswith(f"{path[1]}:")
            )
            return [(digest.encoded(blob).encode(), self._blob_attributes(number, blob)) for blob, number in mine]
        # To list an image is not to look into it: a root's attributes are asked for when somebody does.
        return [
            (
                name,
                self._folder_attributes(child)
                if isinstance(child, tuple)
                else Attributes(self._shown_at(child).root_ino, _DIRECTORY, valid=0.0),
            )
            for name, child in self._folders[path].items()
        ]

    def _root_listing(self) -> list[tuple[bytes, Attributes]]:
        found = [(layout.LAYOUT_FILE.encode(), self.getattr(OCI_LAYOUT))]
        found += [
            (name.encode(), self.getattr(self._document_numbers[name]))
            for name in (layout.INDEX_FILE, layout.MANIFEST_FILE)
        ]
        found.append((b"blobs", self.getattr(BLOBS)))
        found += [(path[0].encode(), self._folder_attributes(path)) for path in self._tops]
        return found

    def _folder_attributes(self, path: Path) -> Attributes:
        number = self._number_of(path)
        if number not in self._folder_numbers:
            raise NoSuchEntry
        return Attributes(number, _DIRECTORY, valid=VOLATILE)

    def _shown_at(self, root: Root) -> ImageTree | LayerView:
        tree = self.images.tree(root.slot)
        return tree if root.layer is None else LayerView(tree, root.layer)

    def xattrs(self, ino: int) -> Mapping[bytes, bytes]:
        """The extended attributes of an inode."""
        return super().xattrs(ino) if inode.is_of_an_image(ino) else {}

    def open(self, ino: int) -> OpenFile:
        """Open a regular file for reading."""
        if inode.is_of_an_image(ino):
            return super().open(ino)
        if ino == OCI_LAYOUT:
            return Document(layout.OCI_LAYOUT)
        if ino in self._generations:
            return Document(self._generations[ino])
        blob = self._blob_numbers.get(ino)
        if blob is None:
            raise IsADirectory if ino in self._folder_numbers or ino in (inode.ROOT, BLOBS) else NoSuchEntry
        made = self.images.current.documents.get(blob)
        if made is not None:
            return Document(made)
        return self._opened(BlobFile(self.images.store, blob, self._blob_attributes(ino, blob).size), ino)


def _layers(current: Snapshot) -> Iterator[tuple[bytes, Root]]:
    """Every layer of the shown trees in its place, those that stand on the same layers once."""
    known: dict[str, tuple[Digest, ...]] = {}
    for image in current.images:
        for tree in image.trees:
            diff_ids = tuple(diff_id for diff_id, _ in tree.manifest.layers)
            for position, diff_id in enumerate(diff_ids):
                stack = diff_ids[: position + 1]
                name = f"{position + 1}-{digest.encoded(diff_id)[:_SHORT]}"
                if known.setdefault(name, stack) != stack:
                    # The same layer in the same place, on others: its chain ID tells it apart.
                    name = f"{name}-{digest.encoded(chain_ids(stack)[-1])[:_SHORT]}"
                    if name in known:
                        continue
                    known[name] = stack
                yield name.encode(), Root(tree.slot, position)


def _in_order(path: Path, children: dict[bytes, Path | Root]) -> list[tuple[bytes, Path | Root]]:
    if path == ("layers",):
        return sorted(children.items(), key=lambda child: (int(child[0].partition(b"-")[0]), child[0]))
    return sorted(children.items())


def _file(ino: int, size: int, valid: float) -> Attributes:
    return Attributes(ino, _FILE, size=size, blocks=(size + 511) // 512, valid=valid)
