"""Files that are open in layers."""

import random

from support.layers import FakeLayer

from imagefs.layers.entry import Entry
from imagefs.tree.openlayers import LayerFile


class FakeView:
    """An index that knows the pieces of one sparse file."""

    def __init__(self, pieces):
        self.pieces = pieces

    def segments(self, node):
        return self.pieces


def opened(size, pieces, tar):
    values = dict.fromkeys(Entry.__struct_fields__, 0) | {"size": size, "sparse": 1}
    return LayerFile(FakeLayer(tar, None, "layer", 0), FakeView(pieces), Entry(**values))


def test_every_part_of_a_sparse_file():
    chance = random.Random(1)
    tar = bytes(range(1, 256)) * 4
    for _ in range(200):
        content, pieces, position = bytearray(), [], 0
        for _ in range(chance.randrange(6)):
            content += bytes(chance.randrange(4))
            length = chance.randrange(4)
            pieces.append((len(content), length, position))
            content += tar[position : position + length]
            position += length + 1
        content += bytes(chance.randrange(4))
        pieces = list({piece[0]: piece for piece in pieces}.values())  # as the index has them: one at a place
        sparse = opened(len(content), pieces, tar)
        for start in range(len(content) + 1):
            for size in range(len(content) + 2 - start):
                assert sparse.read(start, size) == content[start : start + size]


def test_a_read_looks_at_its_own_pieces_only():
    class Pieces(list):
        looked_at = 0

        def __getitem__(self, number):
            self.looked_at += 1
            return super().__getitem__(number)

        def __iter__(self):
            for piece in super().__iter__():
                self.looked_at += 1
                yield piece

    pieces = Pieces((2 * number, 1, number) for number in range(10_000))
    sparse = opened(20_000, pieces, b"x" * 10_000)
    assert sparse.read(0, 2) == b"x\0"
    pieces.looked_at = 0
    assert sparse.read(10_000, 4) == b"x\0x\0"
    assert pieces.looked_at < 10
