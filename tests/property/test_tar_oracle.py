"""The tar parser equals `tarfile`, which writes and reads random archives of all its formats."""

import io
import tarfile

from hypothesis import given, settings
from hypothesis import strategies as st
from support.archives import TarEntry, layer

from imagefs.streams.chunks import ChunkReader
from imagefs.streams.tar import Member, read_members

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
LINKS, DEVICES = [tarfile.LNKTYPE, tarfile.SYMTYPE], [tarfile.CHRTYPE, tarfile.BLKTYPE]
TYPES = [tarfile.REGTYPE, *LINKS, tarfile.DIRTYPE, tarfile.FIFOTYPE, *DEVICES]

# Short and long names, of ASCII, of other letters, and of bytes that are no UTF-8.
letters = st.sampled_from(["a", "b", "Z", ".", "-", " ", "=", "\n", "é", "日", "\udcff", "\udc80"])
parts = st.one_of(
    st.text(letters, min_size=1, max_size=12),
    st.sampled_from(["n" * 99, "n" * 100, "n" * 101, "m" * 155, "é" * 100, "long" * 150]),
)
names = st.lists(parts, min_size=1, max_size=5).map("/".join)


@st.composite
def entries(draw: st.DrawFn, form: int) -> TarEntry:
    kind = draw(st.sampled_from(TYPES))
    ids = st.integers(0, 0o7777777)
    times: st.SearchStrategy[float] = st.integers(0, 0o77777777777)
    if form == tarfile.GNU_FORMAT:
        ids |= st.integers(0, (1 << 56) - 1)
        times |= st.integers(-(1 << 40), 1 << 60)
    if form == tarfile.PAX_FORMAT:
        ids |= st.integers(0, 1 << 60)
        # Quarters of seconds: `tarfile` answers floats.
        times |= st.integers(-(1 << 40), 1 << 40).map(lambda quarters: quarters / 4)
    return TarEntry(
        draw(names),
        kind,
        data=draw(st.binary(max_size=1200)) if kind == tarfile.REGTYPE else b"",
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(ids),
        gid=draw(ids),
        mtime=draw(times),
        link=draw(names) if kind in LINKS else "",
        device=(draw(st.integers(0, 4095)), draw(st.integers(0, 0o7777777))) if kind in DEVICES else (0, 0),
        xattrs=draw(st.dictionaries(st.sampled_from(["user.a", "user.b"]), st.binary(min_size=1, max_size=50)))
        if form == tarfile.PAX_FORMAT
        else {},
    )


def fits(entry: TarEntry, form: int) -> bool:
    """Whether the format can hold the entry at all: ustar has no long names."""
    try:
        entry.info().tobuf(form, "utf-8", "surrogateescape")
    except ValueError:
        return False
    return True


@st.composite
def archives(draw: st.DrawFn) -> tuple[int, list[TarEntry]]:
    """A format and what to write in it."""
    form = draw(st.sampled_from(FORMATS))
    return form, [each for each in draw(st.lists(entries(form), max_size=8)) if fits(each, form)]


def as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def without_slash(member: Member) -> bytes:
    return member.name.rstrip(b"/") if member.type == tarfile.DIRTYPE else member.name


@settings(max_examples=400, deadline=None)
@given(archive=archives(), piece=st.sampled_from([100, 512, 4096, 1 << 20]))
def test_every_member_is_as_tarfile_reads_it(archive, piece):
    form, chosen = archive
    data = layer(*chosen, format=form)
    source = ChunkReader(data[start : start + piece] for start in range(0, len(data), piece))
    found = [(member, b"".join(source.take(member.stored))) for member in read_members(source)]
    with tarfile.open(fileobj=io.BytesIO(data), encoding="utf-8", errors="surrogateescape") as oracle:
        expected = oracle.getmembers()
        assert len(found) == len(expected) == len(chosen)
        for (member, content), info, entry in zip(found, expected, chosen, strict=True):
            assert without_slash(member) == as_bytes(info.name)
            assert member.type == info.type
            assert member.mode == info.mode
            assert (member.uid, member.gid) == (info.uid, info.gid)
            assert member.size == member.stored == info.size
            assert member.mtime_ns == int(info.mtime * 4) * 250_000_000
            assert member.link == as_bytes(info.linkname)
            assert (member.device_major, member.device_minor) == (info.devmajor, info.devminor)
            assert member.offset == info.offset_data
            assert content == entry.data
            assert data[member.offset : member.offset + member.size] == entry.data
            assert dict(member.xattrs) == {name.encode(): value for name, value in entry.xattrs.items()}


@settings(max_examples=200, deadline=None)
@given(archive=archives(), piece=st.sampled_from([100, 512, 1 << 20]))
def test_members_are_the_same_when_nobody_reads_their_content(archive, piece):
    form, chosen = archive
    data = layer(*chosen, format=form)
    source = ChunkReader(data[start : start + piece] for start in range(0, len(data), piece))
    whole = ChunkReader([data])
    read = []
    for member in read_members(whole):
        assert len(b"".join(whole.take(member.stored))) == member.stored
        read.append(member)
    assert list(read_members(source)) == read
