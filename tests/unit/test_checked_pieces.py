"""Checking the pieces of an open layer, each at its first read."""

import logging
import os

import pytest
from support.archives import OciArchive, digest_of, file, layer
from support.command import Imagefs
from support.store import bring

from imagefs import Store
from imagefs.fuse.errnos import errno_of
from imagefs.layers import pieces
from imagefs.layers.pieces import PIECE, PieceHashes
from imagefs.tree.openlayers import Layers

TAR = layer(file("a", os.urandom(PIECE)), file("b", os.urandom(2 * PIECE + 77)))
DIFF_ID = digest_of(TAR)


@pytest.mark.parametrize("chunk", [1000, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 10 * PIECE])
def test_pieces_are_the_same_however_the_tar_arrives(chunk):
    hashes = PieceHashes()
    for start in range(0, len(TAR), chunk):
        hashes.update(TAR[start : start + chunk])
    found = hashes.finish()
    assert pieces.count(found) == -(-len(TAR) // PIECE)
    for number in range(pieces.count(found)):
        piece = TAR[number * PIECE : (number + 1) * PIECE]
        assert pieces.is_piece(piece, number, found)
        assert not pieces.is_piece(piece[:-1] + bytes([piece[-1] ^ 1]), number, found)
    assert not pieces.is_piece(b"", pieces.count(found), found)


def test_a_tar_of_whole_pieces_has_no_more():
    hashes = PieceHashes()
    hashes.update(bytes(2 * PIECE))
    assert pieces.count(hashes.finish()) == 2
    assert PieceHashes().finish() == b""


@pytest.fixture(params=["gzip", "the blob itself"])
def opened(request, tmp_path):
    """A store with one layer, that layer open with and without verifying, and the file with its tar."""
    from support.archives import gzip_data

    imagefs = Imagefs(tmp_path / "store")
    archive = OciArchive()
    blob = gzip_data(TAR) if request.param == "gzip" else TAR
    archive.add_image([blob], name="a:1")
    bring(imagefs, archive)
    with Store(imagefs.store) as store:
        path = store.layers.tar(DIFF_ID) if request.param == "gzip" else store.blobs.path(DIFF_ID)
        path.chmod(0o644)
        checked = Layers(store, verify=True).open(DIFF_ID, digest_of(blob))
        yield checked, Layers(store).open(DIFF_ID, digest_of(blob)), path


def flip(path, position):
    with path.open("r+b") as out:
        out.seek(position)
        (byte,) = out.read(1)
        out.seek(position)
        out.write(bytes([byte ^ 4]))


def test_what_is_whole_is_read(opened):
    layer, _, _ = opened
    assert layer.pread_cached(10, 5) is None, "nobody has checked it yet"
    assert layer.pread(10, 5) == TAR[5:15]
    assert layer.pread_cached(10, 5) == TAR[5:15]
    assert layer.pread(PIECE, PIECE // 2) == TAR[PIECE // 2 : PIECE // 2 + PIECE]
    assert layer.pread(PIECE, len(TAR) - 10) == TAR[-10:]
    assert layer.pread(10, len(TAR)) == b""


def test_a_flipped_bit_is_an_error_in_its_piece_only(opened, caplog):
    layer, plain, path = opened
    flip(path, PIECE + 5)
    assert layer.pread(PIECE, 0) == TAR[:PIECE]
    for _ in range(2):
        with pytest.raises(OSError, match=f"{DIFF_ID}: the layer's data is damaged between byte {PIECE} and") as caught:
            layer.pread(1, 2 * PIECE - 1)
        assert layer.pread_cached(1, 2 * PIECE - 1) is None
    with pytest.raises(OSError, match="damaged"):
        layer.pread(2, PIECE - 1)
    assert layer.pread(10, 2 * PIECE) == TAR[2 * PIECE : 2 * PIECE + 10]
    assert plain.pread(1, 2 * PIECE - 1) == TAR[2 * PIECE - 1 : 2 * PIECE]
    with caplog.at_level(logging.ERROR):
        errno_of(caught.value, "read")
    assert DIFF_ID in caplog.text
    assert str(PIECE) in caplog.text


def test_a_tar_that_is_cut_short(opened):
    layer, _, path = opened
    os.truncate(path, PIECE + 10)
    assert layer.pread(10, 0) == TAR[:10]
    with pytest.raises(OSError, match=f"cut short at byte {PIECE + 10}"):
        layer.pread(5, PIECE)
