"""The rows about bringing archives in."""

import io
import itertools
import tarfile
from collections.abc import Callable
from pathlib import Path

from bench import baselines, peers
from bench.figures import AtMost, Faster, Group, Limit, Measure, Noted, Row
from bench.machine import folder, imagefs, is_mounted, run, seconds, warm
from bench.workplace import Workplace
from imagefs.layers.builder import IndexBuilder
from imagefs.layers.scan import scan
from imagefs.streams.chunks import ChunkReader

_CHUNK = 1 << 20


def groups(place: Workplace) -> list[Group]:
    """All of them, measured in archives that are in the page cache."""
    return [
        _first_listing(place),
        *(_import(place, compression) for compression in ("gzip", "zstd")),
        _import_plain(place),
        _import_again(place),
        _memory(place),
        _index(place),
    ]


def _first_listing(place: Workplace) -> Group:
    archive = place.archive("gzip.oci")

    def ours() -> float:
        name = f"gzip:{place.image('gzip').tag}"
        warm(archive)
        with folder(place.fresh()) as work:

            def first_listing() -> None:
                imagefs(work, "import", "-q", archive)
                imagefs(work, "mount", "--view", "rootfs", name, place.mountpoint)
                run("ls", place.mountpoint)

            try:
                return seconds(first_listing)
            finally:
                if is_mounted(place.mountpoint):
                    imagefs(work, "umount", place.mountpoint)

    measure = Measure("imagefs", ours)
    what = "import + mount + first ls, gzip layers"
    others = {
        "ctr images import + mount": lambda: peers.ctr(archive, place.image("gzip").tag, place.fresh()),
        "umoci unpack": lambda: peers.umoci(place.layout("gzip"), place.image("gzip").tag, place.fresh()),
        "podman load + image mount": lambda: peers.podman(archive, place.fresh()),
    }
    rows = [
        Row(what, measure, Faster(8), name, (Measure(name, _after_warming(archive, take), most_rounds=2),))
        for name, take in others.items()
    ]
    return Group("first-ls", tuple(rows))


def _after_warming(archive: Path, take: Callable[[], float]) -> Callable[[], float]:
    def warmed() -> float:
        warm(archive)
        return take()

    return warmed


def _new_import(place: Workplace, archive: Path) -> float:
    warm(archive)
    with folder(place.folder / "import") as store:
        return seconds(lambda: imagefs(store, "import", "-q", archive))


def _import(place: Workplace, compression: str) -> Group:
    archive = place.archive(f"{compression}.oci")
    inflater = "isal" if compression == "gzip" else "zstandard"

    def inflate() -> float:
        warm(archive)
        return baselines.inflate_and_hash(place.image(compression).layers())

    def write() -> float:
        return baselines.write_and_sync(place.image(compression).layers(), place.folder / "written")

    row = Row(
        f"import, {compression} layers",
        Measure("imagefs", lambda: _new_import(place, archive)),
        AtMost(1.0, 1.3) if compression == "gzip" else AtMost(1.2),
        f"larger of: {inflater} + both sha256, one thread; write + sync",
        (
            Measure(f"{inflater} + both sha256", inflate),
            Measure("write + sync", write),
        ),
    )
    return Group(f"import-{compression}", (row,))


def _import_plain(place: Workplace) -> Group:
    archive = place.archive("plain.docker")
    row = Row(
        "import, plain layers (docker save)",
        Measure("imagefs", lambda: _new_import(place, archive)),
        AtMost(1.3),
        "openssl dgst, then cp + sync",
        (
            Measure("openssl dgst", _after_warming(archive, lambda: baselines.openssl(archive))),
            Measure("cp + sync", lambda: baselines.copy_and_sync(archive, place.folder / "copied")),
        ),
        sum,
    )
    return Group("import-plain", (row,))


def _import_again(place: Workplace) -> Group:
    rows = (*_again(place, "docker", "plain.docker"), *_again(place, "OCI", "gzip.oci"))
    return Group("import-again", rows, repeats=2)


def _again(place: Workplace, form: str, name: str) -> tuple[Row, Row]:
    archive = place.archive(name)

    def again() -> float:
        store = place.stored(name).store
        warm(archive)
        return seconds(lambda: imagefs(store, "import", "-q", archive))

    def written() -> float:
        return _written_again(place, place.stored(name).store, archive)

    openssl = Measure(f"openssl dgst, {form}", _after_warming(archive, lambda: baselines.openssl(archive)))
    return (
        Row(f"import again, {form} form", Measure(form, again), AtMost(1.2), "openssl dgst", (openssl,)),
        # Leases are written, and that is all.
        Row(
            f"written by importing again, {form} form", Measure(f"{form}, written", written), Limit(1, "MB"), unit="MB"
        ),
    )


def _written_again(place: Workplace, store: Path, archive: Path) -> float:
    before = _content(store)
    costs = place.watched_import(store, archive)
    if _content(store) != before:
        raise ValueError("content that was there was written anew")
    return costs.written / 1e6


def _content(store: Path) -> set[tuple[str, int, int, int]]:
    found = set()
    for path in itertools.chain(*((store / part).rglob("*") for part in ("blobs", "layers"))):
        status = path.stat()
        if path.is_file():
            found.add((str(path), status.st_size, status.st_mtime_ns, status.st_ino))
    return found


def _memory(place: Workplace) -> Group:
    # Measured while the stores are made that other rows use.
    def peak(content: str, name: str) -> Row:
        measure = Measure(content, lambda: place.stored(name).imports[0].peak / 1e6, most_rounds=1)
        return Row(f"peak memory of an import, {content}", measure, Limit(200, "MB"), unit="MB")

    archives = {
        "gzip layers": "gzip.oci",
        "zstd layers": "zstd.oci",
        "plain layers": "plain.docker",
        "400 k files": "ten.oci",
        "1,000 images": "many.oci",
    }
    return Group("import-memory", tuple(peak(content, name) for content, name in archives.items()))


def _index(place: Workplace) -> Group:
    def ours() -> Noted:
        data = place.tree_tar("gzip").read_bytes()
        # In pieces, as they come from inflate, which makes them.
        chunks = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
        nodes = 0

        def work() -> None:
            nonlocal nodes
            nodes = scan(ChunkReader(chunks), IndexBuilder(where / "index.sqlite")).nodes

        with folder(place.folder / "index") as where:
            taken = seconds(work)
        return Noted(taken, f"imagefs: {nodes / taken / 1e3:.0f} k files a second")

    def with_tarfile() -> Noted:
        data = place.tree_tar("gzip").read_bytes()
        members = 0

        def work() -> None:
            nonlocal members
            with tarfile.open(fileobj=io.BytesIO(data), mode="r|") as tar:
                for _ in tar:
                    members += 1
                    # It keeps all of them, for a later look.
                    tar.members = []  # type: ignore[attr-defined]

        taken = seconds(work)
        return Noted(taken, f"tarfile: {members / taken / 1e3:.0f} k members a second")

    row = Row(
        "index of the members, warm",
        Measure("imagefs", ours),
        Faster(4),
        "tarfile, streaming the same tar",
        (Measure("tarfile", with_tarfile),),
    )
    return Group("index", (row,), repeats=3)
