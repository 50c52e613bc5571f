import itertools

import pytest

from imagefs.errors import StoreError
from imagefs.tree import inode

SLOTS, LAYERS, NODES, NUMBERS = 1 << 24, 1 << 8, 1 << 28, 1 << 32


@pytest.mark.parametrize("slot", [0, 1, 77, SLOTS - 1])
@pytest.mark.parametrize("layer", [0, 1, LAYERS - 1])
@pytest.mark.parametrize("node", [1, 2, NODES - 1])
def test_tree_numbers_come_apart_again(slot, layer, node):
    number = inode.of_tree(slot, layer, node)
    assert inode.kind(number) == inode.TREE
    assert inode.tree_parts(number) == inode.TreeInode(slot, layer, node)


@pytest.mark.parametrize("layer_number", [0, 1, NUMBERS - 1])
@pytest.mark.parametrize("node", [1, NODES - 1])
def test_layer_numbers_come_apart_again(layer_number, node):
    number = inode.of_layer(layer_number, node)
    assert inode.kind(number) == inode.LAYER
    assert inode.layer_parts(number) == (layer_number, node)


def test_all_numbers_fit_63_bits_and_differ():
    corners = list(itertools.product([0, 1, SLOTS - 1], [0, 1, LAYERS - 1], [1, 2, NODES - 1]))
    numbers = [inode.of_tree(*each) for each in corners]
    numbers += [inode.of_layer(*each) for each in itertools.product([0, 1, NUMBERS - 1], [1, 2, NODES - 1])]
    numbers += [inode.of_hash(b"blob", b"%d" % each) for each in range(1000)]
    numbers.append(inode.ROOT)
    assert len(set(numbers)) == len(numbers)
    assert all(0 < number < 1 << 63 for number in numbers)


def test_hashed_numbers_are_of_their_kind_and_constant():
    assert inode.kind(inode.of_hash(b"a")) == inode.HASHED
    assert inode.of_hash(b"a", b"b") == inode.of_hash(b"a", b"b")
    assert inode.of_hash(b"a", b"b") != inode.of_hash(b"ab")
    assert inode.of_hash(b"a", b"b") != inode.of_hash(b"b", b"a")


def test_the_root_is_fixed():
    assert inode.kind(inode.ROOT) == inode.FIXED


@pytest.mark.parametrize("parts", [(SLOTS, 0, 1), (0, LAYERS, 1), (0, 0, NODES), (-1, 0, 1), (0, -1, 1), (0, 0, -1)])
def test_tree_numbers_out_of_range_are_refused(parts):
    with pytest.raises(StoreError, match="out of range"):
        inode.of_tree(*parts)


@pytest.mark.parametrize("parts", [(NUMBERS, 1), (0, NODES), (-1, 1), (0, -1)])
def test_layer_numbers_out_of_range_are_refused(parts):
    with pytest.raises(StoreError, match="out of range"):
        inode.of_layer(*parts)
