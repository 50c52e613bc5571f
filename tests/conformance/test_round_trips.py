"""Images go round: out of a tool, through imagefs, into the same tool where it has nothing yet, and back to imagefs.

Each tool loads what was made here and writes it: the first archive. imagefs imports that and exports it; the tool
loads the export and writes its second archive, which imagefs imports and exports again. The tool's two archives have
to say the same, and imagefs' two have to be equal byte for byte. What an image then still has of what it was made of,
the table in `carriers` says: tools that give images manifests of their own keep configurations and layers.
"""

import functools
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.inside import InsideImagefs

from .archives import Image, file_digests, oci_images, said_by
from .carriers import CARRIERS, Baggage, Carrier, Content, Everything, Layers, Refused
from .conftest import empty_containerd, mounted, run
from .kinds import KINDS, archive_of, reference_of

pytestmark = [pytest.mark.peer, pytest.mark.fuse, pytest.mark.timeout(300)]


def party_of(carrier: Carrier, kind: str) -> tuple[str, ...]:
    """The kinds that travel in one archive with a kind, itself included."""
    if not carrier.together or kind in carrier.alone:
        return (kind,)
    willing = [each for each in KINDS if not isinstance(carrier.outcome(each), Refused)]
    return tuple(each for each in willing if each not in carrier.alone)


PARTIES = list(
    dict.fromkeys(
        (tool, party_of(carrier, kind))
        for tool, carrier in CARRIERS.items()
        for kind in KINDS
        if not isinstance(carrier.outcome(kind), Refused)
    )
)
CONTENT = re.compile(r"blobs/.+|(.+/)?(layer|[0-9a-f]{64})\.tar|[0-9a-f]{64}\.json")
CELLS = [(tool, kind) for tool in CARRIERS for kind in KINDS]


@dataclass(frozen=True)
class Trip:
    """Where the archives of one trip are."""

    store: Path  # of imagefs, half-way
    first: Path  # the tool's
    exported: Path  # by imagefs
    second: Path  # the tool's
    again: Path  # by imagefs


Travel = Callable[[str, tuple[str, ...]], Trip]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("trips")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def carry(folder, request) -> Callable[[str, Path, Path], None]:
    """`carry(tool, archive, written)`: the tool loads an archive where it has nothing yet, and writes one."""

    def through(tool: str, archive: Path, written: Path) -> None:
        own = folder / "tool"
        own.mkdir()
        try:
            CARRIERS[tool].through(Baggage(archive, written, own, request))
        finally:
            shutil.rmtree(own)

    return through


@pytest.fixture(scope="module")
def travel(folder, carry) -> Travel:
    """A trip, made when it is first asked for."""

    @functools.cache
    def trip(tool: str, kinds: tuple[str, ...]) -> Trip:
        place = Path(tempfile.mkdtemp(dir=folder))
        made = archive_of(kinds).write(place / "made.tar")
        done = Trip(place / "store", *(place / name for name in ("first", "exported.tar", "second", "again.tar")))
        carry(tool, made, done.first)
        through_imagefs(done.store, done.first, done.exported)
        carry(tool, done.exported, done.second)
        through_imagefs(place / "other-store", done.second, done.again)
        return done

    return trip


def through_imagefs(store: Path, archive: Path, exported: Path) -> None:
    """Import an archive into a new store, and export all of it."""
    imagefs = InsideImagefs(store)
    names = imagefs("import", "-q", archive).lines
    imagefs("export", "-o", exported, *names)


@pytest.fixture(scope="module")
def made(folder) -> Callable[[str], Path]:
    """The archive of one kind alone."""

    @functools.cache
    def archive(kind: str) -> Path:
        return archive_of([kind]).write(folder / f"{kind}.tar")

    return archive


def ids(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else value[0] if len(value) == 1 else "together"


@pytest.mark.parametrize(("tool", "party"), PARTIES, ids=ids)
def test_what_went_round_is_equal(travel, tool, party):
    trip = travel(tool, party)
    assert said_by(trip.first) == said_by(trip.second)
    run("cmp", trip.exported, trip.again)
    written = content_digests(trip.first)
    assert written and written <= content_digests(trip.exported)


def content_digests(archive: Path) -> set[str]:
    """Of an archive in OCI's form or docker's the digests of all that tools take from it by its digest."""
    return {digest for name, digest in file_digests(archive).items() if CONTENT.fullmatch(name)}


@pytest.mark.parametrize(("tool", "party"), [each for each in PARTIES if len(each[1]) > 1], ids=ids)
def test_a_mount_of_it_is_the_export(travel, tool, party, scratch):
    trip = travel(tool, party)
    with mounted(trip.store, scratch / "mnt", "--view", "layout") as layout:
        run("tar", "-C", layout, "-cf", scratch / "layout.tar", ".")
    assert file_digests(scratch / "layout.tar") == file_digests(trip.exported)


@pytest.mark.parametrize(("tool", "kind"), CELLS)
def test_an_image_comes_back(travel, made, carry, scratch, tool, kind):
    outcome = CARRIERS[tool].outcome(kind)
    if isinstance(outcome, Refused):
        with pytest.raises(AssertionError, match=re.escape(outcome.saying)):
            carry(tool, made(kind), scratch / "written")
        return
    trip = travel(tool, party_of(CARRIERS[tool], kind))
    sent = next(iter(oci_images(made(kind)).values()))
    back = {name: image for name, image in oci_images(trip.exported).items() if is_of(outcome, image, sent)}
    (digest,) = {image.digest for image in back.values()}
    names = [name.format(digest=digest) for name in outcome.names or KINDS[kind][1]]
    assert {name: image.tag for name, image in back.items()} == {name: reference_of(name) for name in names}
    if isinstance(outcome, Everything):
        blobs = {name for name in file_digests(made(kind)) if name.startswith("blobs/")}
        for archive in (trip.first, trip.exported, trip.second):
            assert blobs <= file_digests(archive).keys()


def is_of(outcome: Everything | Content | Layers, image: Image, sent: Image) -> bool:
    """Whether an image is the one that was sent, as far as the tool keeps it."""
    if isinstance(outcome, Everything):
        return (image.digest, image.contents, image.layers) == (sent.digest, sent.contents, sent.layers)
    if isinstance(outcome, Content):
        return image.contents == {"amd64": sent.contents["amd64"]}
    return [each.diff_ids for each in image.contents.values()] == [sent.contents["amd64"].diff_ids]


def test_ctr_forgets_an_image_without_a_name(_containerd, made):
    """So it is asked to name it on its trip."""
    with empty_containerd(*_containerd) as client:
        client("images", "import", "--no-unpack", made("dangling"))
        assert client.images() == {}


@pytest.mark.parametrize("tool", ["skopeo docker-archive", "buildah docker-archive"])
def test_a_docker_archive_takes_one_image_of_some_tools(carry, scratch, tool):
    several = archive_of(["gzip", "port"]).write(scratch / "several.tar")
    with pytest.raises(AssertionError, match="docker-archive doesn't support modifying existing images"):
        carry(tool, several, scratch / "written")


def test_an_oci_archive_takes_one_image_of_podman(carry, scratch):
    several = archive_of(["gzip", "port"]).write(scratch / "several.tar")
    carry("podman oci-archive", several, scratch / "written")
    (image,) = oci_images(scratch / "written").values()
    assert any(is_of(Layers(), image, each) for each in oci_images(several).values())
