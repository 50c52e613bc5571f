"""What the targets begin with: small and well formed, of every kind."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path

import zstandard
from support.archives import file, hardlink, layer, symlink
from support.layers import make_index

from fuzz.mutation import fix_checksums
from fuzz.whole import BASE, TOP
from imagefs.digest import Digest

DIGEST = Digest("sha256:" + "0123456789abcdef" * 4)

_TEXTS = (
    "busybox", "docker.io/library/app:1", "app@" + DIGEST, "localhost:5000/a/b_c.d-e__f:Tag.1-x", DIGEST, "0123456789",
    "linux/arm64/v8", "arm", "windows/amd64", "2024-05-06T07:08:09.123456789Z", "36h", "1h30m1.5s", "1714979289.5",
    "2024-05-06", "dangling=true", "label!=a=b", "reference=*/app:?[ab]", "until=10m", "platform=linux/386",
    "before=app", "app:1@linux-arm64-v8#2:/etc/passwd", "app:/a", "/x:y", "app#1", "complete=0", "name=x",
)  # fmt: skip


@cache
def indexes() -> list[bytes]:
    """Files of layer indexes."""
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for number, data in enumerate((BASE, TOP, *tars())):
            path = Path(folder) / str(number)
            with closing(make_index(path, data)):
                found.append(path.read_bytes())
        return found


@cache
def tars() -> list[bytes]:
    """Layers in every format, with sparse files in every form."""
    entries = [
        file("d/" + "n" * 120, b"1" * 600, mtime=-1.5, uid=1 << 22),
        symlink("l", "m" * 130),
        hardlink("h", "d/x"),
    ]
    made = [layer(*entries, format=form) for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]
    made.append(layer(file("s", b"1" * 1024, pax={"GNU.sparse.map": "0,512,9000,512", "GNU.sparse.size": "10000"})))
    new = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "3000", "GNU.sparse.name": "t"}
    made.append(layer(file("t", b"1\n2000\n512\n".ljust(512, b"\0") + b"1" * 512, pax=new)))
    old = bytearray(tarfile.TarInfo("o").tobuf(tarfile.GNU_FORMAT))
    old[156:157] = b"S"
    old[124:136] = b"%011o\0" % 512
    old[386:410] = b"%011o\0%011o\0" % (0, 512)
    old[483:495] = b"%011o\0" % 5000
    made.append(fix_checksums(bytes(old) + b"1" * 512 + bytes(1024)))
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", pax_headers={"comment": "c", "SCHILY.xattr.user.g": "1"}) as archive:
        archive.addfile(file("g").info())
    return [*made, output.getvalue()]


def of(target: str) -> list[bytes]:
    """The seeds of a target."""
    if target in ("tar", "layer"):
        return [bytes([head]) + data for data in (BASE, TOP, *tars()) for head in (1, 255)]
    if target == "json":
        return _documents()
    if target == "text":
        return [text.encode() for text in _TEXTS]
    if target == "compression":
        kinds = (gzip.compress, bz2.compress, lzma.compress, zstandard.compress)
        return [bytes([head]) + compress(BASE) for compress in kinds for head in (0, 250)]
    return [bytes(8), bytes(range(64)), bytes(range(255, 0, -3)) * 2]


def _documents() -> list[bytes]:
    descriptor = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": DIGEST, "size": 3}
    platform = {"architecture": "arm", "os": "linux", "variant": "v7", "os.version": "1"}
    step = {"created": "2024-05-06T07:08:09Z", "created_by": 'RUN "x"', "empty_layer": True}
    all_of_them = [
        {"schemaVersion": 2, "manifests": [{**descriptor, "platform": platform, "annotations": {"a": "b"}}]},
        {"schemaVersion": 2, "config": descriptor, "layers": [descriptor] * 2, "subject": descriptor},
        {**platform, "created": "2024-05-06T07:08:09Z", "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
         "history": [step], "config": {"Labels": {"a": "b"}, "Env": ["A=B"]}},
        [{"Config": "a.json", "RepoTags": ["a:1"], "Layers": ["a/layer.tar"], "LayerSources": {DIGEST: descriptor}}],
        {"id": "x", "parent": "y", "container_config": {"Cmd": ["a"]}, "author": "<&>"},
        {"schemaVersion": 1, "fsLayers": [{"blobSum": DIGEST}]},
        {"imageLayoutVersion": "1.0.0"},
    ]  # fmt: skip
    return [json.dumps(each).encode() for each in all_of_them]
