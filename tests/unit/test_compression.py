import bz2
import gzip
import lzma
import random
import struct
import zlib

import pytest
import zstandard

from imagefs.errors import ArchiveError, Truncated
from imagefs.streams import compression
from imagefs.streams.chunks import CHUNK
from imagefs.streams.compression import Compression, detect, detect_around_archive, uncompress

TEXT = b"".join(b"line %d of the file\n" % number for number in range(3000))
NOISE = random.Random(1).randbytes(300_000)


@pytest.fixture(params=["isal", "zlib"])
def inflate(request, monkeypatch):
    """Run with both implementations of inflate."""
    if request.param == "zlib":
        monkeypatch.setattr(compression, "isal_zlib", None)
    elif compression.isal_zlib is None:
        pytest.skip("isal is not installed")
    return request.param


def pieces(data: bytes, size: int = 1 << 20) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def run(data: bytes, kind: Compression, size: int = 1 << 20) -> bytes:
    return b"".join(uncompress(pieces(data, size), kind))


def gunzip(data: bytes, size: int = 1 << 20) -> bytes:
    return run(data, Compression.GZIP, size)


def unzstd(data: bytes, size: int = 1 << 20) -> bytes:
    return run(data, Compression.ZSTD, size)


# -- telling


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (gzip.compress(b"x")[:4], Compression.GZIP),
        (zstandard.compress(b"x")[:4], Compression.ZSTD),
        (b"\x50\x2a\x4d\x18", Compression.ZSTD),
        (b"\x5f\x2a\x4d\x18", Compression.ZSTD),
        (b"\x60\x2a\x4d\x18", Compression.NONE),
        (b"\x1f\x8b", Compression.NONE),
        (b"\x1f\x8b\x07", Compression.NONE),
        (b"\x28\xb5\x2f", Compression.NONE),
        (b"", Compression.NONE),
        (bytes(512), Compression.NONE),
    ],
)
def test_detect(head, kind):
    assert detect(head) is kind


def test_uncompressed_data_passes_through():
    assert list(uncompress([b"a", b"b"], Compression.NONE)) == [b"a", b"b"]


# -- gzip


@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
@pytest.mark.parametrize("data", [b"", b"x", TEXT], ids=["empty", "byte", "text"])
def test_gzip_in_chunks_of_any_size(inflate, data, size):
    assert gunzip(gzip.compress(data), size) == data


def test_gzip_of_data_that_does_not_compress(inflate):
    assert gunzip(gzip.compress(NOISE), 4096) == NOISE


@pytest.mark.parametrize("size", [1, 13, 1 << 20])
def test_gzip_members_follow_each_other(inflate, size):
    data = gzip.compress(b"first ") + gzip.compress(b"") + gzip.compress(TEXT) + gzip.compress(b"last")
    assert gunzip(data, size) == b"first " + TEXT + b"last"


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
def test_gzip_zero_padding_is_passed_over(inflate, size):
    assert gunzip(gzip.compress(TEXT) + bytes(1000), size) == TEXT
    assert gunzip(gzip.compress(b"a") + bytes(9) + gzip.compress(b"b") + bytes(3), size) == b"ab"


def test_gzip_header_fields(inflate):
    # FEXTRA, FNAME, FCOMMENT and FHCRC (RFC 1952, 2.3.1)
    header = b"\x1f\x8b\x08\x1e" + bytes(4) + b"\x00\xff" + b"\x04\x00abcd" + b"name\0" + b"comment\0"
    header += struct.pack("<H", zlib.crc32(header) & 0xFFFF)
    deflater = zlib.compressobj(wbits=-15)
    body = deflater.compress(TEXT) + deflater.flush()
    assert gunzip(header + body + struct.pack("<II", zlib.crc32(TEXT), len(TEXT)), 11) == TEXT


def test_gzip_pieces_are_bounded(inflate):
    data = bytes(20 << 20)
    lengths = [len(piece) for piece in uncompress([gzip.compress(data)], Compression.GZIP)]
    assert sum(lengths) == len(data)
    assert max(lengths) <= CHUNK


@pytest.mark.parametrize("size", [5, 1 << 20])
def test_gzip_truncated_anywhere(inflate, size):
    data = gzip.compress(TEXT[:2000])
    for end in [1, 2, 3, 9, 10, 11, *range(12, len(data), 17), *range(len(data) - 9, len(data))]:
        with pytest.raises(Truncated):
            gunzip(data[:end], size)


def test_gzip_truncated_in_a_second_member(inflate):
    first, second = gzip.compress(TEXT), gzip.compress(b"more")
    for end in range(1, len(second)):
        with pytest.raises(Truncated):
            gunzip(first + second[:end])


def test_gzip_corrupted(inflate):
    good = gzip.compress(TEXT)
    wrong_sum = good[:-8] + bytes([good[-8] ^ 1]) + good[-7:]
    wrong_length = good[:-1] + bytes([good[-1] ^ 1])
    wrong_block = good[:10] + b"\x07" + good[11:]  # block type 3 does not exist
    for data in (wrong_sum, wrong_length, wrong_block):
        with pytest.raises(ArchiveError, match="gzip"):
            gunzip(data)


def test_gzip_followed_by_something_else(inflate):
    with pytest.raises(ArchiveError, match="gzip"):
        gunzip(gzip.compress(TEXT) + b"not gzip at all, and long enough to tell")


def test_gzip_never_gives_wrong_bytes_for_a_flipped_one(inflate):
    good = gzip.compress(TEXT)
    for position in range(10, len(good), max(1, len(good) // 150)):
        bad = bytearray(good)
        bad[position] ^= 0x55
        with pytest.raises(ArchiveError):
            gunzip(bytes(bad))


# -- zstd

SKIPPABLE = b"\x5a\x2a\x4d\x18" + struct.pack("<I", 9) + b"skip this"


def zstd(data: bytes, **options: object) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(data)


def streamed(data: bytes, **options: object) -> bytes:
    """A frame without its content size, as a streaming writer makes it."""
    compressor = zstandard.ZstdCompressor(**options).compressobj()
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
@pytest.mark.parametrize(
    "compressed",
    [
        (b"", zstd(b"")),
        (b"x", zstd(b"x")),
        (TEXT, zstd(TEXT)),
        (TEXT, zstd(TEXT, write_checksum=True)),
        (TEXT, streamed(TEXT)),
        (TEXT, streamed(TEXT, write_checksum=True)),
        (bytes(500_000), zstd(bytes(500_000))),  # run-length blocks
        (NOISE, zstd(NOISE, write_checksum=True)),  # raw blocks
    ],
    ids=["empty", "byte", "text", "checksum", "streamed", "streamed+checksum", "zeros", "noise"],
)
def test_zstd_in_chunks_of_any_size(compressed, size):
    data, frame = compressed
    if size == 1 and len(frame) > 100_000:
        frame, data = zstd(NOISE[:5000]), NOISE[:5000]
    assert unzstd(frame, size) == data


@pytest.mark.parametrize("size", [1, 10, 1 << 20])
def test_zstd_frames_follow_each_other(size):
    data = SKIPPABLE + zstd(b"first ") + SKIPPABLE + zstd(b"") + streamed(TEXT) + zstd(b"last") + SKIPPABLE
    assert unzstd(data, size) == b"first " + TEXT + b"last"


def test_zstd_skippable_frames_alone_hold_nothing():
    assert unzstd(SKIPPABLE * 3) == b""
    assert unzstd(b"\x50\x2a\x4d\x18\0\0\0\0") == b""


def test_zstd_pieces_are_bounded():
    data = bytes(20 << 20)
    lengths = [len(piece) for piece in uncompress([zstd(data)], Compression.ZSTD)]
    assert sum(lengths) == len(data)
    assert max(lengths) <= CHUNK


@pytest.mark.parametrize("make", [zstd, streamed], ids=["sized", "streamed"])
@pytest.mark.parametrize("checksum", [False, True])
def test_zstd_truncated_anywhere(make, checksum):
    data = make(TEXT[:1500], write_checksum=checksum)
    for end in range(1, len(data)):
        with pytest.raises(Truncated):
            unzstd(data[:end])


def test_zstd_truncated_between_blocks():
    # Several blocks: the reader must see that the last one is missing.
    compressor = zstandard.ZstdCompressor().compressobj()
    head = compressor.compress(TEXT) + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    whole = head + compressor.compress(NOISE[:1000]) + compressor.flush()
    assert unzstd(whole) == TEXT + NOISE[:1000]
    with pytest.raises(Truncated):
        unzstd(head)


@pytest.mark.parametrize("end", range(1, len(SKIPPABLE)))
def test_zstd_truncated_in_a_skippable_frame(end):
    with pytest.raises(Truncated):
        unzstd(zstd(TEXT) + SKIPPABLE[:end])


def test_zstd_truncated_in_a_second_frame():
    second = zstd(TEXT, write_checksum=True)
    for end in [1, 2, 3, 4, 5, 6, 9, 12, len(second) // 2, len(second) - 5, len(second) - 4, len(second) - 1]:
        with pytest.raises(Truncated):
            unzstd(zstd(b"first") + second[:end])


def test_zstd_corrupted():
    good = zstd(TEXT, write_checksum=True)
    with pytest.raises(ArchiveError, match="zstd"):
        unzstd(good[:-1] + bytes([good[-1] ^ 1]))
    reserved = bytearray(zstd(NOISE[:1000]))
    header = len(reserved) - 1000 - 3
    reserved[header] |= 0b110  # block type 3 is reserved
    with pytest.raises(ArchiveError, match="zstd"):
        unzstd(bytes(reserved))


def test_zstd_followed_by_something_else():
    with pytest.raises(ArchiveError, match="zstd"):
        unzstd(zstd(TEXT) + b"not zstd")


def test_zstd_window_is_bounded():
    # A frame header that asks for a window of 2 GiB (RFC 8878, 3.1.1.1.2): memory stays bounded.
    frame = b"\x28\xb5\x2f\xfd" + bytes([0x00, 21 << 3]) + b"\x01\x00\x00"
    with pytest.raises(ArchiveError, match="zstd"):
        unzstd(frame)


# -- xz and bzip2, around archives


OUTER = {Compression.XZ: lzma.compress, Compression.BZIP2: bz2.compress}


@pytest.mark.parametrize("kind", OUTER)
def test_they_are_told_around_archives_and_not_in_layers(kind):
    head = OUTER[kind](b"x")[:6]
    assert detect_around_archive(head) is kind
    assert detect(head) is Compression.NONE
    assert detect_around_archive(gzip.compress(b"x")) is Compression.GZIP


@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
@pytest.mark.parametrize("data", [b"", b"x", TEXT], ids=["empty", "byte", "text"])
@pytest.mark.parametrize("kind", OUTER)
def test_streams_in_chunks_of_any_size(kind, data, size):
    assert run(OUTER[kind](data), kind, size) == data


@pytest.mark.parametrize("kind", OUTER)
def test_one_stream_after_another_with_zeros_between(kind):
    pack = OUTER[kind]
    assert run(pack(TEXT) + bytes(8) + pack(NOISE) + pack(b"") * 2000 + pack(b"end") + bytes(4), kind, 4096) == (
        TEXT + NOISE + b"end"
    )


@pytest.mark.parametrize("kind", OUTER)
def test_much_from_little_comes_in_pieces(kind):
    pieces_out = list(uncompress([OUTER[kind](bytes(20 * CHUNK))], kind))
    assert max(map(len, pieces_out)) <= CHUNK
    assert sum(map(len, pieces_out)) == 20 * CHUNK


@pytest.mark.parametrize("kind", OUTER)
@pytest.mark.parametrize("cut", [1, 7, 20])
def test_streams_that_end_early(kind, cut):
    with pytest.raises(ArchiveError, match=kind.value):
        run(OUTER[kind](NOISE)[:-cut], kind)


@pytest.mark.parametrize("kind", OUTER)
def test_streams_that_are_broken_or_followed_by_something_else(kind):
    data = OUTER[kind](NOISE)
    for broken in (data[:5000] + b"broken" + data[5006:], data + b"something else"):
        with pytest.raises(ArchiveError, match=f"broken {kind.value} data"):
            run(broken, kind)


def test_an_xz_stream_that_wants_too_much_memory():
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 512 << 20}]
    with pytest.raises(ArchiveError, match="broken xz data"):
        run(lzma.compress(b"x", filters=filters), Compression.XZ)
