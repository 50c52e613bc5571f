"""Inode numbers: arithmetic in 63 bits, no table. The same in every process and after every remount.

    kind  3 bits   which of the forms below
    FIXED          a number of the namespace's own: 1 is the root of the mount
    TREE           slot 24 | layer 8 | node 28     something in an image's tree
    LAYER          layer number 32 | node 28       a file that every image with this layer shares
    HASHED         60 bits of a hash               blobs by digest, folders of names, generations of index.json
    VIEW           slot 24 | layer 8 | node 28     the same node in the view of its layer alone; node 0 is a whiteout

A slot is one binding of a name and a platform to a manifest. So a directory has one number and one path, and a
number means one thing for ever. `layer` is the position in the image's chain, 0 the lowest; in the LAYER form it
is the layer's number in the store. `node` is the row in the layer's index.
"""

import hashlib

import msgspec

from imagefs.errors import StoreError

FIXED, TREE, LAYER, HASHED, VIEW = range(5)

_WITH_SLOT = frozenset([TREE, VIEW])
_OF_IMAGES = frozenset([TREE, LAYER, VIEW])

ROOT = 1
"""The number of the root of a mount."""

_KIND_SHIFT = 60
_NODE_BITS, _LAYER_BITS, _SLOT_BITS, _NUMBER_BITS = 28, 8, 24, 32
_NODE_MASK = (1 << _NODE_BITS) - 1
_LAYER_MASK = (1 << _LAYER_BITS) - 1
_HASH_MASK = (1 << _KIND_SHIFT) - 1


class TreeInode(msgspec.Struct, frozen=True):
    """The parts of a number of the TREE or the VIEW form."""

    slot: int
    layer: int
    node: int


def kind(number: int) -> int:
    """Which form a number has."""
    return number >> _KIND_SHIFT


def has_slot(number: int) -> bool:
    """Whether it is of the TREE or the VIEW form."""
    return number >> _KIND_SHIFT in _WITH_SLOT


def is_of_an_image(number: int) -> bool:
    """Whether it is something in an image's tree or layers, and not the namespace's own."""
    return number >> _KIND_SHIFT in _OF_IMAGES


def of_tree(slot: int, layer: int, node: int) -> int:
    """The number of a node in an image's tree. Raises `StoreError` where a part does not fit."""
    return TREE << _KIND_SHIFT | _slotted(slot, layer, node)


def of_view(slot: int, layer: int, node: int) -> int:
    """The number of a node in the view of one layer. Raises `StoreError` where a part does not fit."""
    return VIEW << _KIND_SHIFT | _slotted(slot, layer, node)


def _slotted(slot: int, layer: int, node: int) -> int:
    if slot >> _SLOT_BITS or layer >> _LAYER_BITS or node >> _NODE_BITS:
        raise StoreError(f"no inode number for slot {slot}, layer {layer}, node {node}: out of range")
    return slot << (_LAYER_BITS + _NODE_BITS) | layer << _NODE_BITS | node


def tree_parts(number: int) -> TreeInode:
    """The parts of a number of the TREE or the VIEW form."""
    return TreeInode(slot_of(number), *place_of(number))


def slot_of(number: int) -> int:
    """The slot in a number of the TREE or the VIEW form."""
    return number >> (_LAYER_BITS + _NODE_BITS) & ((1 << _SLOT_BITS) - 1)


def place_of(number: int) -> tuple[int, int]:
    """(position in the chain, node) of a number of the TREE or the VIEW form."""
    return number >> _NODE_BITS & _LAYER_MASK, number & _NODE_MASK


def of_layer(layer_number: int, node: int) -> int:
    """The number of a file that images share. Raises `StoreError` where a part does not fit."""
    if layer_number >> _NUMBER_BITS or node >> _NODE_BITS:
        raise StoreError(f"no inode number for layer number {layer_number}, node {node}: out of range")
    return LAYER << _KIND_SHIFT | layer_number << _NODE_BITS | node


def layer_parts(number: int) -> tuple[int, int]:
    """(layer number, node) of a number of the LAYER form."""
    return number >> _NODE_BITS & ((1 << _NUMBER_BITS) - 1), number & _NODE_MASK


def of_hash(*parts: bytes) -> int:
    """The number of something that is known by what it is: equal parts, equal number."""
    content = hashlib.sha256(b"\0".join(parts)).digest()
    return HASHED << _KIND_SHIFT | int.from_bytes(content[:8], "big") & _HASH_MASK
