"""What asks for more than a bound allows: one line that names the archive, what is wrong and the flag, and no trace."""

import gzip
import json
import lzma
from collections.abc import Callable

import pytest
from support.archives import (
    OciArchive,
    digest_of,
    docker_archive,
    file,
    gzip_data,
    layer,
    symlink,
    zstd_data,
)
from support.command import Imagefs
from support.docker_v1 import V1Archive
from support.headers import header, pax
from support.inside import InsideImagefs

from imagefs import Store
from imagefs.errors import LimitExceeded
from imagefs.limits import Limits

ZEROS = layer(file("zeros", bytes(3 << 20)))


@pytest.fixture
def imagefs(tmp_path):
    return InsideImagefs(tmp_path / "store")


def with_layers(*layers: bytes) -> bytes:
    archive = OciArchive()
    archive.add_image(layers, name="app:1")
    return archive.bytes()


def with_config(data: bytes) -> bytes:
    archive = OciArchive()
    image = archive.add_manifest([])
    document = json.loads(archive.blobs.pop(image["digest"]))
    document["config"] |= {"digest": archive.add_blob(data), "size": len(data)}
    archive.name(archive.add_document(document, document["mediaType"]), name="app:1")
    return archive.bytes()


def nested(depth: int) -> bytes:
    return b'{"os":"linux","architecture":"amd64","deep":' + b"[" * depth + b"]" * depth + b"}"


def index_of(count: int) -> bytes:
    archive = OciArchive()
    made = [archive.add_manifest([layer(file(str(number)))]) for number in range(count)]
    archive.add_index(made, name="app:1")
    return archive.bytes()


def sparse_member() -> bytes:
    entry = file("blobs/zeros", b"1" * 512, pax={"GNU.sparse.map": "0,512", "GNU.sparse.size": str(1 << 20)})
    return layer(file("oci-layout", b"{}"), file("index.json", b"{}"), entry)


def long_name(size: int) -> bytes:
    return layer(file("oci-layout", b"{}"), file("blobs/" + "n" * size, b""))


# An archive, a bound that it breaks and how it is told, and one that it does not break.
CASES: dict[str, tuple[Callable[[], bytes], str, str, str]] = {
    "a large index": (lambda: index_of(9), "json-size=1000", "bytes of a document", "json-size=1MiB"),
    "a large configuration": (
        lambda: with_config(nested(1) + b" " * 9000), "json-size=2K", "bytes of a document", "json-size=10000"
    ),
    "deep JSON": (lambda: with_config(nested(101)), "json-depth=100", "102 values in each other", "json-depth=102"),
    "manifests": (lambda: index_of(3), "manifests=2", "3 manifests, more than 2", "manifests=3"),
    "layers": (lambda: with_layers(*[layer(file("a"))] * 3), "layers=2", "3 layers, more than 2", "layers=3"),
    "docker's layers": (
        lambda: docker_archive([([layer(file("a"))] * 3, ["app:1"])]), "layers=2", "3 layers of an image", "layers=3"
    ),
    "docker's images": (
        lambda: docker_archive([([layer(file("a"))], ["a:1", "a:2", "b:1"])]), "manifests=2", "3 images", "manifests=3"
    ),
    "members": (lambda: with_layers(layer(file("a"))), "members=4", "5 members, more than 4", "members=5"),
    "entries": (
        lambda: with_layers(layer(*map(file, "abcd"))), "entries=3", "more than 3 entries", "entries=4"
    ),
    "implied folders": (
        lambda: with_layers(layer(file("a/b/c/d/e"), file("f"))), "entries=4", "more than 4 entries", "entries=7"
    ),
    "a path": (
        lambda: with_layers(layer(file("n" * 90 + "/" + "n" * 90))), "path-size=180", "more than 180", "path-size=181"
    ),
    "paths": (
        lambda: with_layers(layer(file("n" * 90), file("m" * 90))), "paths-size=179", "more than 179", "paths-size=180"
    ),
    "extended attributes": (
        lambda: with_layers(layer(file("a", xattrs={"user.a": b"v" * 500}))),
        "xattr-size=505", "a: 506 bytes of extended attributes", "xattr-size=506",
    ),
    "all extended attributes": (
        lambda: with_layers(layer(*(file(name, xattrs={"user.a": b"v" * 500}) for name in "abc"))),
        "xattrs-size=1517", "1518 bytes of extended attributes in all", "xattrs-size=1518",
    ),
    "a gzip layer": (lambda: with_layers(gzip_data(ZEROS)), "layer-size=2MiB", "bytes uncompressed", "layer-size=4MiB"),
    "a zstd layer": (lambda: with_layers(zstd_data(ZEROS)), "layer-size=2MiB", "bytes uncompressed", "layer-size=4MiB"),
    "a plain layer": (lambda: with_layers(ZEROS), "layer-size=2MiB", "bytes uncompressed", "layer-size=4MiB"),
    "the ratio of a layer": (
        lambda: with_layers(gzip_data(ZEROS)), "ratio-from=1MiB", "more than 200 times", "ratio-from=4MiB"
    ),
    "all layers": (
        lambda: with_layers(*(gzip_data(layer(file(name, bytes(3 << 20)))) for name in "abc")),
        "total-size=8MiB", "bytes uncompressed, more than", "total-size=16MiB",
    ),
    "gzip around the archive": (
        lambda: gzip.compress(with_layers(ZEROS)), "total-size=2MiB", "bytes uncompressed", "total-size=16MiB"
    ),
    "xz around the archive": (
        lambda: lzma.compress(with_layers(ZEROS)), "ratio-from=2MiB", "more than 200 times", "ratio-from=16MiB"
    ),
}  # fmt: skip


def flags(*limits: str) -> list[str]:
    return [each for limit in limits for each in ("--limit", limit)]


@pytest.mark.parametrize("case", CASES)
def test_what_breaks_a_bound_is_refused_and_leaves_nothing(imagefs, tmp_path, case):
    make, broken, told, kept = CASES[case]
    path = tmp_path / "archive.tar"
    path.write_bytes(make())
    result = imagefs("import", "-q", *flags(broken), path, check=False)
    assert result.status == 1, case
    (line,) = result.err.splitlines()
    assert line.startswith(f"imagefs: {path}: ")
    assert told in line
    bound = "ratio" if told.startswith("more than 200 times") else broken.partition("=")[0]
    assert f"(--limit {bound}=... of import and export raises it)" in line
    assert imagefs.files() == []
    imagefs("import", "-q", *flags(kept), path)
    assert imagefs("check").status == 0


def test_holes_of_an_archive(imagefs, tmp_path):
    path = tmp_path / "archive.tar"
    path.write_bytes(sparse_member())
    result = imagefs("import", "-q", *flags("holes-size=1000"), path, check=False)
    assert (result.status, "bytes of holes, more than 1000" in result.err) == (1, True)


@pytest.mark.parametrize(("size", "limits"), [(5000, []), (60, ["name-size=50"])])
def test_names_of_members(imagefs, tmp_path, size, limits):
    path = tmp_path / "archive.tar"
    path.write_bytes(long_name(size))
    result = imagefs("import", "-q", *flags(*limits), path, check=False)
    assert (result.status, "bytes of a member's name or link" in result.err) == (1, True)


def test_all_names_of_members(imagefs, tmp_path):
    archive = OciArchive()
    archive.add_image([layer(file("a"))])
    path = archive.write(tmp_path / "archive.tar")
    result = imagefs("import", "-q", *flags("names-size=500"), path, check=False)
    assert (result.status, "bytes of names of members, more than 500" in result.err) == (1, True)


def test_a_layer_that_is_unpacked_at_its_first_use(imagefs, tmp_path):
    blob, tight = gzip_data(ZEROS), Limits(ratio_from=1 << 20)
    path = tmp_path / "archive.tar"
    path.write_bytes(with_layers(blob))
    imagefs("import", "-q", "--no-unpack", path)
    before = imagefs.files()
    with Store(imagefs.store) as store:
        with pytest.raises(LimitExceeded, match="more than 200 times"):
            store.unpack_blob(digest_of(blob), digest_of(ZEROS), tight)
        assert imagefs.files() == before
        store.unpack_blob(digest_of(blob), digest_of(ZEROS))
        store.layers.take_out(digest_of(ZEROS), tmp_path / "trash")
        store.unpack_blob(digest_of(blob), digest_of(ZEROS), tight)  # what it was once, it may be again
        assert digest_of(ZEROS) in store.layers


def test_an_archive_that_is_a_base(imagefs, tmp_path):
    path = tmp_path / "archive.tar"
    path.write_bytes(gzip.compress(with_layers(ZEROS)))
    imagefs("import", "-q", path)
    ask = ("export", "app:1", "-o", tmp_path / "out.tar", "--base", path)
    result = imagefs(*ask, *flags("total-size=2MiB"), check=False)
    assert (result.status, "bytes uncompressed, more than 2097152" in result.err) == (1, True)
    assert not (tmp_path / "out.tar").exists()
    imagefs(*ask)


def test_an_image_of_a_chain_of_images(imagefs, tmp_path):
    archive = V1Archive()
    parent = None
    for number in range(3):
        parent = archive.add(str(number), layer(file(str(number))), parent=parent)
    path = tmp_path / "archive.tar"
    path.write_bytes(archive.bytes())
    result = imagefs("import", "-q", *flags("layers=2"), path, check=False)
    assert (result.status, "3 images on each other, more than 2" in result.err) == (1, True)
    assert imagefs.files() == []
    imagefs("import", "-q", *flags("layers=3"), path)


def test_more_values_than_a_document_may_have(imagefs, tmp_path):
    path = tmp_path / "archive.tar"
    path.write_bytes(with_config(b'{"os":"linux","architecture":"amd64","x":[' + b"[]," * 1_000_000 + b"0]}"))
    result = imagefs("import", "-q", path, check=False)
    assert (result.status, "a document of more than 1000000 values" in result.err) == (1, True)
    assert imagefs.files() == []


def deep(number: int) -> bytes:
    return pax({b"path": b"%d/" % number + b"a/" * 2000 + b"f"}) + header()


def over_links(number: int) -> bytes:
    return pax({b"path": b"l0/%d/f" % number}) + header()


LINKS = [
    pax({b"linkpath": b"x/../" * 800 + b"l%d" % (number + 1)}) + header(b"l%d" % number, b"2") for number in range(30)
]
LAYERS = {
    "folders that paths imply": ([deep(number) for number in range(60)], "files and folders for"),
    "links on the way": ([*LINKS, *map(over_links, range(60))], "lead over too many links"),
    "extended headers": ([pax({b"path": b"x"})] * 65, "more than 64 extended tar headers in a row"),
    "records for all members": (
        [pax({b"comment": b"c" * 40_000}, b"g"), pax({b"other": b"c" * 40_000}, b"g")],
        "more than 65536 bytes",
    ),
}


@pytest.mark.parametrize("case", LAYERS)
def test_layers_that_would_take_for_ever(imagefs, monkeypatch, case):
    monkeypatch.setattr("imagefs.layers.scan.IMPLIED", 10_000)
    monkeypatch.setattr("imagefs.layers.scan.STEPS", 10_000)
    parts, told = LAYERS[case]
    result = imagefs("import", "-q", "-", stdin=with_layers(b"".join(parts) + header() + bytes(1024)), check=False)
    assert (result.status, told in result.err) == (1, True), result.err
    assert imagefs.files() == []


def test_a_configuration_that_many_manifests_share(imagefs, monkeypatch):
    monkeypatch.setattr("imagefs.store.bounded.MAX_READ", 5000)
    result = imagefs("import", "-q", "-", stdin=index_of(3))
    assert result.status == 0
    result = imagefs("import", "-q", "-", stdin=index_of(9), check=False)
    assert (result.status, "documents of more than 5000 bytes in all" in result.err) == (1, True)


def test_a_name_that_no_member_can_have(imagefs):
    document = json.dumps([{"Config": "a/" * 1_000_000, "Layers": []}]).encode()
    result = imagefs("load", "-q", stdin=layer(file("manifest.json", document), symlink("b", "c")), check=False)
    assert result.status == 1
    assert "the archive does not have it" in result.err
    assert len(result.err) < 2000


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ("nonsense=1", "none of json-size"),
        ("layer-size", "no amount"),
        ("layer-size=-1", "no amount"),
        ("layer-size=1.5GiB", "no amount"),
        ("json-size=1T", "67108864 at the most"),
        ("layers=257", "256 at the most"),
    ],
)
def test_limits_that_cannot_be(tmp_path, limit, told):
    result = Imagefs(tmp_path / "store")("import", "--limit", limit, "-", check=False)
    assert result.status == 2
    assert told in " ".join(result.err.split())
