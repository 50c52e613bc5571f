import itertools

import pytest
from support.layers import IndexMaker, make_index

from imagefs.layers.index import LayerIndex


@pytest.fixture
def index_of(tmp_path) -> IndexMaker:
    """Index a layer's tar; every index is closed at the end of the test."""
    opened: list[LayerIndex] = []
    numbers = itertools.count()

    def make(tar: bytes) -> LayerIndex:
        index = make_index(tmp_path / f"{next(numbers)}.sqlite", tar)
        opened.append(index)
        return index

    yield make
    for index in opened:
        index.close()
