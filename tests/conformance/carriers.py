"""The tools that images make round trips through: each loads an archive where it has nothing yet, and writes another.

Where a tool writes one image at a time, images go by themselves, or all into the folder of one layout. What they do
here is what those of Debian 12 do: ctr 1.6, docker 20.10, podman 4.3, skopeo 1.9, buildah 1.28, umoci 0.4.
"""

import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .archives import member
from .conftest import Docker, Skopeo, empty_buildah, empty_containerd, empty_podman, run


@dataclass(frozen=True)
class Baggage:
    """What a tool is to load, where it is to write it, and a folder for what it keeps meanwhile."""

    archive: Path
    written: Path
    folder: Path
    request: pytest.FixtureRequest

    def need(self, program: str) -> str:
        return self.request.getfixturevalue("need")(program)

    def references(self) -> Iterator[tuple[str | None, str | None]]:
        """Of each entry of the index what finds it in a layout, and the name that it has in full."""
        for entry in json.loads(member(self.archive, "index.json"))["manifests"]:
            notes = entry.get("annotations", {})
            yield notes.get("org.opencontainers.image.ref.name"), notes.get("io.containerd.image.name")

    def tags(self) -> list[list[str]]:
        """The names of each image in docker's list."""
        return [entry["RepoTags"] or [] for entry in json.loads(member(self.archive, "manifest.json"))]


def ctr(baggage: Baggage) -> None:
    with empty_containerd(*baggage.request.getfixturevalue("_containerd")) as client:
        options = ["--all-platforms", "--no-unpack"]
        client("images", "import", *options, baggage.archive)
        if not client.images():  # it forgets what has no name, unless it may name it
            client("images", "import", *options, "--digests", "--base-name", "localhost/trips", baggage.archive)
        client("images", "export", "--all-platforms", baggage.written, *client.images())


def docker(baggage: Baggage) -> None:
    tool: Docker = baggage.request.getfixturevalue("_dockerd")
    try:
        tool("load", "--quiet", "--input", baggage.archive)
        tool("save", "--output", baggage.written, *_names_or_ids(tool))
    finally:
        tool.clear()


def podman_oci(baggage: Baggage) -> None:
    with empty_podman(baggage.need, baggage.folder) as tool:
        tool("load", "--quiet", "--input", baggage.archive)
        tool("save", "--quiet", "--format", "oci-archive", "--output", baggage.written, *_names_or_ids(tool))


def podman_docker(baggage: Baggage) -> None:
    with empty_podman(baggage.need, baggage.folder) as tool:
        tool("load", "--quiet", "--input", baggage.archive)
        options = ["--format", "docker-archive", "--multi-image-archive", "--output", baggage.written]
        tool("save", "--quiet", *options, *_names_or_ids(tool))


def _names_or_ids(tool: Docker) -> list[str]:
    """Every name that docker or podman has, and the ID of each image without one."""
    ids = list(dict.fromkeys(tool("images", "--quiet", "--no-trunc").split()))
    images = json.loads(tool("image", "inspect", *ids))
    return [name for image in images for name in image["RepoTags"] or image["RepoDigests"][:1] or [image["Id"]]]


def skopeo_oci(baggage: Baggage) -> None:
    tool = Skopeo(baggage.need("skopeo"), baggage.folder)
    for reference, name in baggage.references():
        source = f"oci-archive:{baggage.archive}" + (f":{reference}" if reference else "")
        tool.copy(source, _named("oci", baggage, name), "--all", "--preserve-digests")


def skopeo_docker(baggage: Baggage) -> None:
    tool = Skopeo(baggage.need("skopeo"), baggage.folder)
    for position, (first, *others) in enumerate(names or [""] for names in baggage.tags()):
        source = f"docker-archive:{baggage.archive}:{first or f'@{position}'}"
        tool.copy(source, _named("docker-archive", baggage, first), *(f"--additional-tag={each}" for each in others))


def buildah_oci(baggage: Baggage) -> None:
    with empty_buildah(baggage.need, baggage.folder) as tool:
        for reference, _ in baggage.references():
            tool("pull", "--quiet", f"oci-archive:{baggage.archive}" + (f":{reference}" if reference else ""))
        _push_all(tool, "oci", baggage)


def buildah_docker(baggage: Baggage) -> None:
    with empty_buildah(baggage.need, baggage.folder) as tool:
        for position, names in enumerate(baggage.tags()):
            for name in names or [f"@{position}"]:
                tool("pull", "--quiet", f"docker-archive:{baggage.archive}:{name}")
        _push_all(tool, "docker-archive", baggage)


def _push_all(tool: Docker, form: str, baggage: Baggage) -> None:
    for image in json.loads(tool("images", "--json")):
        for name in image["names"] or [None]:
            tool("push", "--quiet", image["id"], _named(form, baggage, name))


def _named(form: str, baggage: Baggage, name: str | None) -> str:
    """Where skopeo and buildah are to write an image, with its name if it has one."""
    return f"{form}:{baggage.written}" + (f":{name}" if name else "")


def umoci(baggage: Baggage) -> None:
    """What umoci has is a layout's folder: it unpacks each image, tags it anew and tidies up."""
    program, layout = baggage.need("umoci"), baggage.written
    with tarfile.open(baggage.archive) as archive:
        archive.extractall(layout, filter="data")
    (layout / "manifest.json").unlink()  # it is docker's
    for tag in run(program, "list", "--layout", layout).split():
        run(program, "unpack", "--image", f"{layout}:{tag}", baggage.folder / "bundle")
        shutil.rmtree(baggage.folder / "bundle")
        run(program, "tag", "--image", f"{layout}:{tag}", tag)
    run(program, "gc", "--layout", layout)


# What they can carry


@dataclass(frozen=True)
class Everything:
    """The image comes back as it was, byte for byte."""

    names: tuple[str, ...] | None = None  # instead of those that the image had


@dataclass(frozen=True)
class Content:
    """The configuration and the layers' content for the host's platform come back, in a manifest of the tool's own."""

    names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Layers:
    """The layers' content for the host's platform comes back, with a configuration of the tool's own."""

    names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Refused:
    """The tool ends with an error, and says so with these words."""

    saying: str


Outcome = Everything | Content | Layers | Refused


@dataclass(frozen=True)
class Carrier:
    """A tool and a format, what becomes of each kind of image, and whether several go into one archive."""

    through: Callable[[Baggage], None]
    mostly: Outcome
    together: bool
    otherwise: dict[str, Outcome] = field(default_factory=dict)
    alone: frozenset[str] = frozenset()  # kinds that go by themselves where the others go together

    def outcome(self, kind: str) -> Outcome:
        return self.otherwise.get(kind, self.mostly)


NO_NAME = ("{digest}",)

CARRIERS = {
    "ctr": Carrier(
        ctr,
        Everything(),
        together=True,
        alone=frozenset(["dangling"]),
        otherwise={"dangling": Everything(names=("localhost/trips@{digest}",))},
    ),
    # It knows one platform, tags as the only names, and no manifests.
    "docker": Carrier(
        docker,
        Content(),
        together=True,
        otherwise={
            "digest": Content(names=NO_NAME),
            # 20.10 knows gzip, bzip2 and xz; zstd came with 23.0.
            "zstd": Refused("ApplyLayer"),
        },
    ),
    # It takes the host's platform, keeps layers uncompressed, and compresses them with a gzip of its own.
    "podman oci-archive": Carrier(
        podman_oci,
        Content(),
        together=False,
        otherwise={
            # What comes with docker's types gets a new configuration for OCI's.
            "docker-manifest": Layers(),
            "docker-list": Layers(),
            # Of an index with several entries it takes none, so it goes by docker's list, which is of docker's types;
            # and it writes one name only, the last one that it got.
            "names": Layers(names=("quay.io/trips/b:third",)),
        },
    ),
    "podman docker-archive": Carrier(
        podman_docker,
        Content(),
        together=True,
        otherwise={"digest": Content(names=NO_NAME)},
    ),
    "skopeo oci": Carrier(
        skopeo_oci,
        Everything(),
        together=True,
        alone=frozenset(["dangling"]),
        otherwise={
            "nested": Refused("Unexpectedly received a manifest list instead of a manifest for a single image"),
            # By a tag it finds entries of OCI's types only.
            "docker-manifest": Refused("no descriptor found for reference"),
            "docker-list": Refused("no descriptor found for reference"),
        },
    ),
    "skopeo docker-archive": Carrier(
        skopeo_docker,
        Content(),
        together=False,
        otherwise={"digest": Content(names=NO_NAME)},
    ),
    # As podman; and as skopeo where it looks for a tag.
    "buildah oci": Carrier(
        buildah_oci,
        Content(),
        together=True,
        alone=frozenset(["dangling"]),
        otherwise={
            "docker-manifest": Refused("no descriptor found for reference"),
            "docker-list": Refused("no descriptor found for reference"),
        },
    ),
    "buildah docker-archive": Carrier(
        buildah_docker,
        Content(),
        together=False,
        otherwise={
            "digest": Content(names=NO_NAME),
            "names": Refused("docker-archive doesn't support modifying existing images"),
        },
    ),
    "umoci": Carrier(
        umoci,
        Everything(),
        together=True,
        otherwise={
            "zstd": Refused("blob is not correct mediatype"),
            # It knows no platforms, so an index of several is as a name that several images have.
            "platforms": Refused("tag is ambiguous"),
            "nested": Refused("tag is ambiguous"),
            "docker-manifest": Refused("not implemented"),
            "docker-list": Refused("not implemented"),
        },
    ),
}
"""The tools, each with the form in which it writes."""
