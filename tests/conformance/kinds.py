"""The kinds of images that go on round trips: small ones, each with something at which a tool may stumble."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from support.archives import AMD64, ARM64, OciArchive, directory, file, gzip_data, layer, whiteout, zstd_data

Json = dict[str, Any]

DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def _manifest(
    archive: OciArchive,
    word: str,
    platform: Mapping[str, str] = AMD64,
    compress: Callable[[bytes], bytes] = gzip_data,
) -> Json:
    """A manifest of two layers, of which the upper one removes something; the word makes it unlike any other."""
    text = f"{word} {platform['architecture']}".encode()
    lower = layer(directory("etc"), file("etc/gone", b"1"), file("etc/word", text))
    upper = layer(whiteout("etc/gone"), file("etc/words", text * 500))
    created = "2024-05-06T07:08:09Z"
    more = {"created": created, "config": {"Cmd": ["/bin/sh"]}, "history": [{"created": created}] * 2}
    return archive.add_manifest([compress(lower), compress(upper)], platform, **more)


def _plain(archive: OciArchive, word: str) -> Json:
    return _manifest(archive, word, compress=bytes)


def _zstd(archive: OciArchive, word: str) -> Json:
    return _manifest(archive, word, compress=zstd_data)


def _platforms(archive: OciArchive, word: str) -> Json:
    """What buildx makes: each platform has an attestation beside it."""
    images = [_manifest(archive, word), _manifest(archive, word, ARM64)]
    return archive.add_nested([*images, *(_attestation(archive, image) for image in images)])


def _attestation(archive: OciArchive, image: Json) -> Json:
    statement = b'{"_type":"https://in-toto.io/Statement/v0.1","subject":"%s"}' % image["digest"].encode()
    unknown = {"architecture": "unknown", "os": "unknown"}
    document = _taken_out(archive, archive.add_manifest([statement], unknown))
    document["layers"][0]["mediaType"] = "application/vnd.in-toto+json"
    about = {"vnd.docker.reference.digest": image["digest"], "vnd.docker.reference.type": "attestation-manifest"}
    return archive.add_document(document, document["mediaType"], platform=unknown, annotations=about)


def _taken_out(archive: OciArchive, descriptor: Json) -> Json:
    """A document that is to be put in again with changes."""
    return json.loads(archive.blobs.pop(descriptor["digest"]))


def _nested(archive: OciArchive, word: str) -> Json:
    """crane index append --flatten=false."""
    return archive.add_nested([_manifest(archive, word), archive.add_nested([_manifest(archive, word, ARM64)])])


def _docker_manifest(archive: OciArchive, word: str, platform: Mapping[str, str] = AMD64) -> Json:
    document = _taken_out(archive, _manifest(archive, word, platform))
    document["mediaType"] = DOCKER_MANIFEST
    document["config"]["mediaType"] = DOCKER_CONFIG
    for each in document["layers"]:
        each["mediaType"] = DOCKER_LAYER
    return archive.add_document(document, DOCKER_MANIFEST, platform=dict(platform))


def _docker_list(archive: OciArchive, word: str) -> Json:
    manifests = [_docker_manifest(archive, word, platform) for platform in (AMD64, ARM64)]
    return archive.add_document({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": manifests}, DOCKER_LIST)


# Every tag is there once: skopeo finds images by the tag alone.
KINDS: dict[str, tuple[Callable[[OciArchive, str], Json], tuple[str, ...]]] = {
    "plain": (_plain, ("docker.io/trips/a:plain",)),
    "gzip": (_manifest, ("docker.io/trips/a:gzip",)),
    "zstd": (_zstd, ("docker.io/trips/a:zstd",)),
    "platforms": (_platforms, ("docker.io/trips/a:platforms",)),
    "nested": (_nested, ("docker.io/trips/a:nested",)),
    "docker-manifest": (_docker_manifest, ("docker.io/trips/a:docker-manifest",)),
    "docker-list": (_docker_list, ("docker.io/trips/a:docker-list",)),
    "names": (_manifest, ("docker.io/trips/a:first", "docker.io/trips/a:second", "quay.io/trips/b:third")),
    "port": (_manifest, ("localhost:5000/trips/a:port",)),
    "digest": (_manifest, ("quay.io/trips/a@{digest}",)),
    "dangling": (_manifest, ("{digest}",)),
}
"""What makes each kind, and its names, in which `{digest}` stands for the image's own digest."""


def archive_of(kinds: Iterable[str]) -> OciArchive:
    """An archive of some kinds, with the `manifest.json` that docker needs."""
    archive = OciArchive()
    entries = []
    for kind in kinds:
        make, names = KINDS[kind]
        target = make(archive, kind)
        target.pop("platform", None)  # tools that name images do not say it in the archive's own index
        tags = []
        for name in (name.format(digest=target["digest"]) for name in names):
            archive.name(target, reference_of(name), name if "/" in name else None)
            if "/" in name and "@" not in name:
                tags.append(name)
        manifest = _first_manifest(archive, target)
        config, *layers = (f"blobs/{each['digest'].replace(':', '/')}" for each in manifest)
        entries.append({"Config": config, "RepoTags": tags or None, "Layers": layers})
    archive.extra["manifest.json"] = json.dumps(entries).encode()
    return archive


def reference_of(name: str) -> str | None:
    """What finds an image in a layout: the tag of its name, the whole name where that has a digest, or nothing."""
    if "/" not in name:
        return None
    return name if "@" in name else name.rpartition(":")[2]


def _first_manifest(archive: OciArchive, target: Json) -> list[Json]:
    """The configuration and the layers of an image's first platform."""
    document = json.loads(archive.blobs[target["digest"]])
    if "manifests" in document:
        return _first_manifest(archive, document["manifests"][0])
    return [document["config"], *document["layers"]]
