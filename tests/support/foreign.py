"""What the cases of foreign archives are made of."""

import io
import json
import tarfile

from support.archives import AMD64, TarEntry, digest_of, file, layer, uncompressed

LOW = layer(file("low", b"1" * 3000))
HIGH = layer(file("high", b"2" * 3000))
EMPTY = layer()

Image = tuple[str, list[str]]
"""The start of a name and the diff IDs behind it."""

Case = tuple[bytes, list[Image]]
"""An archive, and the images that have to come of it, by name."""


def image(name: str, *layers: bytes) -> Image:
    return name, [digest_of(uncompressed(each)) for each in layers]


def hexadecimal(blob: bytes) -> str:
    return digest_of(blob)[7:]


def config(*layers: bytes, **more: object) -> bytes:
    diff_ids = [digest_of(uncompressed(each)) for each in layers]
    return json.dumps({**AMD64, "rootfs": {"type": "layers", "diff_ids": diff_ids}, **more}).encode()


def docker(
    names: list[str],
    layers: list[bytes],
    tags: list[str] | None = None,
    *,
    config_name: str | None = None,
    **entry: object,
) -> list[TarEntry]:
    """The members of a docker archive with layers of these names, in this order: layers, configuration, manifest."""
    data = config(*layers)
    config_name = config_name or f"{digest_of(data)[7:]}.json"
    members = [file(name, blob) for name, blob in dict(zip(names, layers, strict=True)).items()]
    listed = [{"Config": config_name, "RepoTags": tags, "Layers": names, **entry}]
    return [*members, file(config_name, data), file("manifest.json", json.dumps(listed).encode())]


def members_of(archive: bytes) -> list[TarEntry]:
    """The regular files of an archive."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return [file(each.name, opened.extractfile(each).read()) for each in opened if each.isfile()]
