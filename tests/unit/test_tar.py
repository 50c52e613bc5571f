import base64
import io
import itertools
import os
import shutil
import subprocess
import tarfile

import pytest
from support.archives import (
    block_device,
    character_device,
    directory,
    fifo,
    file,
    hardlink,
    layer,
    symlink,
)
from support.headers import extended, header, octal, padded, pax, pax_record

from imagefs.errors import ArchiveError, Truncated
from imagefs.streams import tar
from imagefs.streams.chunks import ChunkReader
from imagefs.streams.tarsparse import MAX_SPARSE_SEGMENTS

END = bytes(1024)
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT}


def read(data: bytes, piece: int = 1 << 20) -> list[tuple[tar.Member, bytes]]:
    """All members with the bytes that are stored of them."""
    source = ChunkReader(data[start : start + piece] for start in range(0, len(data), piece))
    return [(member, b"".join(source.take(member.stored))) for member in tar.read_members(source)]


def one(data: bytes) -> tar.Member:
    ((member, _),) = read(data)
    return member


def expanded(member: tar.Member, stored: bytes) -> bytes:
    """A file's content, with the holes of a sparse one."""
    if member.sparse is None:
        return stored
    content, position = bytearray(member.size), 0
    for offset, length in member.sparse:
        content[offset : offset + length] = stored[position : position + length]
        position += length
    assert position == len(stored) and len(content) == member.size
    return bytes(content)


# -- what tarfile writes

EVERY_TYPE = (
    directory("d/", mode=0o1777, uid=3, gid=4),
    file("d/empty", mode=0o4755),
    file("d/text", b"content" * 100, mode=0o600, uid=1000, gid=1001, mtime=12345),
    file("d/block", b"x" * 512),
    symlink("d/link", "../text"),
    hardlink("d/hard", "d/text"),
    character_device("d/null", 1, 3, mode=0o666),
    block_device("d/sda", 8, 1),
    fifo("d/fifo"),
)


@pytest.mark.parametrize("piece", [1, 511, 513, 1 << 20])
@pytest.mark.parametrize("form", FORMATS)
def test_every_type_of_member(form, piece):
    data = layer(*EVERY_TYPE, format=FORMATS[form])
    found = read(data, piece)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        expected = archive.getmembers()
    assert [member.name.decode() for member, _ in found] == [entry.name for entry in EVERY_TYPE]
    for (member, content), info, entry in zip(found, expected, EVERY_TYPE, strict=True):
        assert member.type == info.type
        assert (member.mode, member.uid, member.gid) == (info.mode, info.uid, info.gid)
        assert member.size == member.stored == info.size
        assert member.mtime_ns == info.mtime * 1_000_000_000
        assert member.link.decode() == info.linkname
        assert member.offset == info.offset_data
        assert content == entry.data
        assert member.sparse is None
    devices = [(member.device_major, member.device_minor) for member, _ in found if member.type in b"34"]
    assert devices == [(1, 3), (8, 1)]


@pytest.mark.parametrize("form", FORMATS)
def test_an_empty_archive_has_no_members(form):
    assert read(layer(format=FORMATS[form])) == []
    assert read(b"") == []


def test_ustar_prefix():
    name = "/".join(["folder" * 5] * 7) + "/file"
    assert len(name) > 200
    data = layer(file(name, b"1"), format=tarfile.USTAR_FORMAT)
    assert name.startswith(data[345:500].rstrip(b"\0").decode()) and data[345]  # it is in the prefix field indeed
    assert one(data).name == name.encode()


def test_ustar_name_of_exactly_100_bytes():
    name = "n" * 100
    assert one(layer(file(name), format=tarfile.USTAR_FORMAT)).name == name.encode()
    assert one(layer(symlink("l", name), format=tarfile.USTAR_FORMAT)).link == name.encode()


def test_schilling_prefix_ends_before_the_times():
    tail = octal(0, 8) * 2 + b"prefix".ljust(131, b"\0") + b"00000000001 00000000002 "
    block = header(b"name", tail=tail.ljust(508 - 329, b"\0") + b"tar\0")
    assert one(block + END).name == b"prefix/name"


@pytest.mark.parametrize("magic", [b"ustar  \0", bytes(8)], ids=["gnu", "v7"])
def test_only_posix_headers_have_a_prefix(magic):
    # GNU tar has the access time there.
    block = header(b"name", magic=magic, tail=octal(0, 8) * 2 + b"13371337133\0")
    assert one(block + END).name == b"name"


@pytest.mark.parametrize("form", ["pax", "gnu"])
@pytest.mark.parametrize("length", [101, 255, 256, 512, 513, 3000])
def test_long_names_and_links(form, length):
    name, target = "d/" + "n" * (length - 2), "t" * length
    for entry in (symlink(name, target), hardlink(name, target)):
        member = one(layer(entry, format=FORMATS[form]))
        assert member.name == name.encode()
        assert member.link == target.encode()


@pytest.mark.parametrize("form", FORMATS)
def test_names_that_are_not_utf_8(form):
    entry = symlink(b"caf\xe9".decode("utf-8", "surrogateescape"), b"\xff\xfe".decode("utf-8", "surrogateescape"))
    member = one(layer(entry, format=FORMATS[form]))
    assert member.name == b"caf\xe9"
    assert member.link == b"\xff\xfe"


@pytest.mark.parametrize("form", FORMATS)
def test_old_contiguous_and_v7_types_are_regular_files(form):
    info = file("a", b"12").info()
    for flag in (tarfile.AREGTYPE, tarfile.CONTTYPE):
        info.type = flag
        block = info.tobuf(FORMATS[form])
        assert one(block + padded(b"12") + END).type == tar.REGULAR


def test_a_v7_name_with_a_slash_is_a_directory():
    assert one(header(b"d/", b"\0", magic=b"") + END).type == tar.DIRECTORY
    assert one(header(b"d", b"\0", magic=b"") + END).type == tar.REGULAR


def test_unknown_types_keep_their_flag_and_content():
    ((member, content), (after, _)) = read(header(b"a", b"Q", size=3) + padded(b"abc") + header(b"b") + END)
    assert (member.type, content, after.name) == (b"Q", b"abc", b"b")


@pytest.mark.parametrize("flag", [b"1", b"2", b"3", b"4", b"5", b"6"])
def test_a_size_of_what_has_no_data_is_ignored(flag):
    ((member, _), (after, _)) = read(header(b"a", flag, size=1000, link=b"x") + header(b"b") + END)
    assert (member.size, member.stored, after.name) == (0, 0, b"b")


# -- numbers


def test_base_256_numbers():
    big = 1 << 40
    info = file("a").info()
    info.uid, info.gid, info.mtime = big, big + 1, big + 2
    info.size = 9 << 30  # only the header counts here
    member = next(tar.read_members(ChunkReader([info.tobuf(tarfile.GNU_FORMAT)])))
    assert (member.uid, member.gid, member.mtime_ns) == (big, big + 1, (big + 2) * 1_000_000_000)
    assert member.size == member.stored == 9 << 30


def test_base_256_time_before_1970():
    assert one(layer(file("a", mtime=-86400), format=tarfile.GNU_FORMAT)).mtime_ns == -86400 * 1_000_000_000


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"0000644\0", 0o644),
        (b"   644 \0", 0o644),
        (b"644\0junk", 0o644),
        (b"  644\0\0\0", 0o644),
        (b"00000644", 0o644),
        (bytes(8), 0),
        (b"        ", 0),
    ],
)
def test_octal_fields_of_every_writer(field, value):
    assert one(header(mode=field) + END).mode == value


@pytest.mark.parametrize(
    "field", [b"0000648\0", b"0x00644\0", b"+000644\0", b"00_0644\0", b"64 4\0\0\0\0", b"abcdefg\0"]
)
def test_fields_that_are_no_number_are_refused(field):
    with pytest.raises(ArchiveError):
        read(header(mode=field) + END)


def test_a_negative_size_is_refused():
    with pytest.raises(ArchiveError, match="negative size"):
        read(header(size=b"\xff" * 12) + END)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.5", 1_500_000_000),
        ("1600000000.123456789", 1_600_000_000_123_456_789),
        ("1600000000.1234567891", 1_600_000_000_123_456_789),
        ("0.000000001", 1),
        ("12", 12_000_000_000),
        ("12.", 12_000_000_000),
        ("-1", -1_000_000_000),
        ("-1.5", -1_500_000_000),
        ("-0.25", -250_000_000),
        ("-0.0000000001", -1),
        ("-86400.000000001", -86_400_000_000_001),
        ("253402300800", 253_402_300_800_000_000_000),
    ],
)
def test_pax_times_to_the_nanosecond(text, expected):
    assert one(layer(file("a", pax={"mtime": text}))).mtime_ns == expected


@pytest.mark.parametrize("text", [b"abc", b"1.5.5", b"1e9", b"--1", b".", b"-", b"1_0", b" 1", b"9" * 40])
def test_pax_times_that_are_none(text):
    with pytest.raises(ArchiveError, match="time"):
        read(pax({b"mtime": text}) + header() + END)


# -- PAX headers


def test_pax_numbers_win_over_the_header():
    data = pax({b"size": b"5", b"uid": b"70000000", b"gid": b"80000000"}) + header() + padded(b"12345") + END
    ((member, content),) = read(data)
    assert (member.uid, member.gid, member.size, content) == (70_000_000, 80_000_000, 5, b"12345")


def test_pax_path_and_linkpath_win_over_the_header():
    member = one(pax({b"path": b"new\xff", b"linkpath": b"target"}) + header(b"old", b"2", link=b"x") + END)
    assert (member.name, member.link) == (b"new\xff", b"target")


def test_pax_headers_count_for_the_next_member_only():
    first, second = (member for member, _ in read(pax({b"path": b"long"}) + header(b"a") + header(b"b") + END))
    assert (first.name, second.name) == (b"long", b"b")


def test_global_headers_count_until_they_are_overridden():
    data = (
        pax({b"uid": b"7", b"gid": b"8", b"comment": b"made by a test"}, b"g")
        + header(b"a")
        + pax({b"uid": b"9"})
        + header(b"b")
        + header(b"c")
        + pax({b"uid": b"10"}, b"g")
        + header(b"d")
        + END
    )
    assert [(m.name, m.uid, m.gid) for m, _ in read(data)] == [(b"a", 7, 8), (b"b", 9, 8), (b"c", 7, 8), (b"d", 10, 8)]


def test_an_empty_value_unsets_a_global_one():
    data = pax({b"uid": b"7"}, b"g") + pax({b"uid": b""}) + header(b"a", uid=3) + header(b"b", uid=3) + END
    assert [member.uid for member, _ in read(data)] == [3, 7]


def test_tarfiles_global_header():
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "x" * 700}) as out:
        out.addfile(file("a", b"1").info(), io.BytesIO(b"1"))
    ((member, content),) = read(output.getvalue())
    assert (member.name, content) == (b"a", b"1")


@pytest.mark.parametrize(
    "payload",
    [
        b"path=x\n",
        b"8 path=x\n",  # one byte too few
        b"11 path=x\n",  # one byte too many
        b"99 path=x\n",
        b"0 path=x\n",
        b"-8 path=x\n",
        b"8 pathx\n",
        b"5 =x\n",
        b"9 path=x ",
        pax_record(b"uid", b"12x"),
        pax_record(b"size", b"-1"),
        pax_record(b"gid", b"1" * 100),
    ],
)
def test_broken_pax_headers_are_refused(payload):
    with pytest.raises(ArchiveError):
        read(extended(payload) + header() + END)


def test_a_pax_value_may_hold_line_ends_and_equals_signs():
    assert one(pax({b"path": b"a=b\nc\n"}) + header() + END).name == b"a=b\nc\n"


@pytest.mark.parametrize("flag", [b"x", b"g", b"L", b"K"])
def test_an_oversize_extended_header_is_refused_before_it_is_read(flag):
    with pytest.raises(ArchiveError, match="extended tar header"):
        read(header(b"p", flag, size=tar.MAX_EXTENDED_HEADER + 1) + END)


@pytest.mark.parametrize("flag", [b"x", b"g"])
def test_extended_headers_that_are_too_large_together_are_refused(flag):
    def headers(count: int, size: int) -> bytes:
        return b"".join(pax({b"SCHILY.xattr.user.%d" % number: b"v" * size}, flag) for number in range(count))

    assert len(one(headers(10, 1000) + header() + END).xattrs) == 10
    with pytest.raises(ArchiveError, match="in all"):
        read(headers(40, tar.MAX_EXTENDED_HEADER // 20) + header() + END)


def test_sparse_maps_that_are_too_large_together_are_refused():
    points = pax_record(b"GNU.sparse.offset", b"12345") * 30_000
    assert len(points) < tar.MAX_EXTENDED_HEADER
    with pytest.raises(ArchiveError, match="in all"):
        read(extended(points) * 4 + header() + END)


def test_an_extended_header_of_the_largest_size():
    value = b"v" * (tar.MAX_EXTENDED_HEADER - 30)
    data = pax({b"SCHILY.xattr.user.a": value[:-10]}) + header() + END
    assert one(data).xattrs == ((b"user.a", value[:-10]),)


def test_gnu_and_pax_headers_before_one_member():
    long_name, long_link = extended(b"gnu-name\0", b"L"), extended(b"gnu-link\0", b"K")
    member = one(long_name + pax({b"uid": b"5"}) + long_link + header(b"a", b"2") + END)
    assert (member.name, member.link, member.uid) == (b"gnu-name", b"gnu-link", 5)


# -- extended attributes


def test_schily_xattrs_with_nul_bytes():
    values = {
        "user.text": b"v",
        "user.nul": b"a\0b\0",
        "security.capability": b"\x01\0\0\x02\xff\xfe",
        "user.lines": b"1\n2=3\n",
    }
    member = one(layer(file("a", xattrs=values)))
    assert dict(member.xattrs) == {name.encode(): value for name, value in values.items()}
    assert list(member.xattrs) == sorted(member.xattrs)


def test_an_empty_xattr_is_kept():
    assert one(pax({b"SCHILY.xattr.user.empty": b""}) + header() + END).xattrs == ((b"user.empty", b""),)


def test_libarchive_xattrs():
    value = b"\0\xff binary"
    encoded = base64.b64encode(value)
    for text in (encoded, encoded.rstrip(b"=")):
        member = one(pax({b"LIBARCHIVE.xattr.user.a%3Db%25": text}) + header() + END)
        assert member.xattrs == ((b"user.a=b%", value),)


def test_both_forms_of_one_xattr_are_one():
    records = {b"LIBARCHIVE.xattr.user.a": base64.b64encode(b"one"), b"SCHILY.xattr.user.a": b"one"}
    for order in itertools.permutations(records.items()):
        assert one(pax(dict(order)) + header() + END).xattrs == ((b"user.a", b"one"),)


def test_a_broken_libarchive_xattr_is_refused():
    with pytest.raises(ArchiveError, match="xattr"):
        read(pax({b"LIBARCHIVE.xattr.user.a": b"!!!!"}) + header() + END)


# -- sparse files


def make_sparse(path, pieces, size) -> bytes:
    with path.open("wb") as out:
        for offset, data in pieces:
            out.seek(offset)
            out.write(data)
        out.truncate(size)
    return path.read_bytes()


@pytest.mark.skipif(shutil.which("tar") is None, reason="needs GNU tar")
@pytest.mark.parametrize("pieces", [0, 1, 3, 4, 5, 30, 60])
@pytest.mark.parametrize(
    "options",
    [["gnu"], ["posix", "0.0"], ["posix", "0.1"], ["posix", "1.0"]],
    ids=["gnu", "pax-0.0", "pax-0.1", "pax-1.0"],
)
@pytest.mark.parametrize("ending", ["hole", "data"])
def test_sparse_files_as_gnu_tar_writes_them(tmp_path, options, pieces, ending):
    chunk = 65536
    placed = [((2 * number + 1) * chunk, bytes([65 + number % 26]) * 5000) for number in range(pieces)]
    size = (2 * pieces + 2) * chunk + 777 if ending == "hole" or not placed else placed[-1][0] + 5000
    content = make_sparse(tmp_path / "sparse", placed, size)
    (tmp_path / "after").write_bytes(b"after")
    command = ["tar", "--sparse", "--hole-detection=raw", f"--format={options[0]}"]
    if options[1:]:
        command.append(f"--sparse-version={options[1]}")
    command += ["-C", str(tmp_path), "-cf", str(tmp_path / "out.tar"), "sparse", "after"]
    subprocess.run(command, check=True, capture_output=True)
    data = (tmp_path / "out.tar").read_bytes()
    for piece in (1 << 20, 700):
        (member, stored), (after, rest) = read(data, piece)
        assert member.name == b"sparse"
        assert member.type == tar.REGULAR
        assert member.sparse is not None
        assert member.size == len(content)
        assert member.stored < len(content)
        assert expanded(member, stored) == content
        assert data[member.offset : member.offset + member.stored] == stored
        assert (after.name, rest) == (b"after", b"after")


def test_a_sparse_file_that_nobody_reads_is_passed_over():
    map_block = padded(b"1\n0\n3\n")
    records = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.realsize": b"10"}
    records[b"GNU.sparse.name"] = b"real"
    data = pax(records) + header(size=len(map_block) + 3) + map_block + padded(b"abc") + header(b"b") + END
    first, second = tar.read_members(ChunkReader([data]))
    assert (first.name, first.size, first.sparse) == (b"real", 10, ((0, 3),))
    assert (second.name, second.size, second.sparse) == (b"b", 0, None)


@pytest.mark.parametrize(
    "sparse_map",
    [b"10,5,0,5", b"0,5,3,5", b"0,5,95,6", b"0,5", b"0,10,5", b"0,11", b"x,10", b"0,-10", b""],
    ids=["order", "overlap", "beyond", "short", "odd", "long", "text", "negative", "empty"],
)
def test_sparse_maps_that_do_not_fit_are_refused(sparse_map):
    records = {b"GNU.sparse.size": b"100", b"GNU.sparse.map": sparse_map}
    if not sparse_map:
        records = {b"GNU.sparse.numblocks": b"1"}
    with pytest.raises(ArchiveError):
        read(pax(records) + header(size=10) + padded(b"0123456789") + END)


def test_a_sparse_map_of_many_segments_is_refused_before_it_is_read():
    records = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.realsize": b"10"}
    with pytest.raises(ArchiveError, match="segments"):
        read(pax(records) + header(size=512) + padded(b"%d\n" % (MAX_SPARSE_SEGMENTS + 1)) + END)


# -- broken archives


def test_a_bad_checksum_is_refused():
    good = header(b"name")
    for position in (0, 100, 150, 300):
        bad = bytearray(good)
        bad[position] ^= 1
        with pytest.raises(ArchiveError, match="no tar header at byte 512"):
            read(header(b"first") + bytes(bad) + END)


def test_signed_checksums_of_old_writers():
    name = b"caf\xe9\xff"
    unsigned = header(name)
    total = int(unsigned[148:154], 8) - 2 * 256
    assert one(header(name, checksum=b"%06o\0 " % total) + END).name == name


@pytest.mark.parametrize("flag", [b"x", b"L"])
def test_a_bad_checksum_of_an_extended_header_is_refused(flag):
    bad = bytearray(header(b"p", flag, size=10))
    bad[0] ^= 1
    with pytest.raises(ArchiveError, match="no tar header"):
        read(bytes(bad) + bytes(512) + header() + END)


def test_truncated_inside_a_header():
    data = layer(file("a", b"1" * 600))
    for end in (1, 100, 511):
        with pytest.raises(Truncated):
            read(data[:end])
    with pytest.raises(Truncated):
        read(data[: 512 + 1024 + 50])


def test_truncated_inside_content_names_the_member():
    data = header(b"the/name", size=600) + b"1" * 599
    with pytest.raises(Truncated) as raised:
        list(tar.read_members(ChunkReader([data])))
    assert raised.value.member == "the/name"


def test_truncated_inside_or_after_an_extended_header():
    data = pax({b"path": b"x" * 600})
    for end in (512, 700, 1023, len(data)):
        with pytest.raises(Truncated):
            read(data[:end])
    with pytest.raises(Truncated):
        read(data + END)


def test_an_end_without_the_mark_is_taken():
    # Some writers stop after the last content, even without its padding.
    data = header(b"a", size=3) + b"abc"
    assert [(member.name, content) for member, content in read(data)] == [(b"a", b"abc")]
    assert [member.name for member, _ in read(padded(data) + header(b"b"))] == [b"a", b"b"]


def test_what_follows_the_end_mark_is_not_read():
    source = ChunkReader([header(b"a") + END + header(b"b")])
    assert [member.name for member in tar.read_members(source)] == [b"a"]
    assert len(b"".join(source.rest())) >= 512


@pytest.mark.parametrize("form", FORMATS)
def test_looks_like_tar(form):
    data = layer(file("a", b"x"), format=FORMATS[form])
    assert tar.looks_like_tar(data)
    assert tar.looks_like_tar(data[:512])
    assert not tar.looks_like_tar(data[:511])
    assert tar.looks_like_tar(bytes(512))
    assert not tar.looks_like_tar(b"")
    assert not tar.looks_like_tar(b'{"schemaVersion":2}'.ljust(512))
    assert not tar.looks_like_tar(os.urandom(512))


def test_content_that_the_reader_leaves_is_passed_over():
    data = layer(file("a", b"x" * 2000), file("b", b"y" * 3), file("c"))
    source = ChunkReader([data])
    taken = []
    for member in tar.read_members(source):
        taken.append((member.name, b"".join(source.take(min(member.stored, 2)))))
    assert taken == [(b"a", b"xx"), (b"b", b"yy"), (b"c", b"")]
