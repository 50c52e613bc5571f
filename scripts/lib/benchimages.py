"""The images that `scripts/bench` measures with: the big one in its forms, and what goes to one extreme each."""

import random
import tarfile
from collections.abc import Callable
from pathlib import Path

from debs import Apt, Deb, host_architecture
from ocireader import OneImage
from ociwriter import Json, Layer, Layout, image_config, write_docker_archive
from recipes import named, packages_layer, platform

CHAIN = 100
LARGE = 256 << 20
MANY = 1000
TIMES = 10

# cap_net_raw+ep, in revision 2 of the kernel's format.
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")


def bench(directory: Path, cache: Path, work: Path) -> None:
    """The images of scripts/bench, about 2 GB of archives; those that are there are kept."""
    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / "plain.docker.tar").exists():
        _big_archives(directory, cache, work)
    big = directory / "gzip.oci.tar"
    images: dict[str, Callable[[], list[Layer]]] = {
        "chain100": lambda: _chain_layers(work),
        "flat100": lambda: _flat_layers(work),
        "wide": lambda: _wide_layers(work),
        "large": lambda: _large_layers(work),
        "ten": lambda: _ten_times_layers(big, work),
    }
    for name, make in images.items():
        archive = directory / f"{name}.oci.tar"
        if not archive.exists():
            _one_image(archive, make(), work)
    if not (directory / "capable.oci.tar").exists():
        _capable(directory / "capable.oci.tar", big, work)
    if not (directory / "many.oci.tar").exists():
        _many(directory / "many.oci.tar", work)


def _one_image(archive: Path, layers: list[Layer], work: Path) -> None:
    name = archive.name.removesuffix(".oci.tar")
    layout = Layout(work / name)
    config = image_config(platform(host_architecture()), layers)
    # What is random does not get smaller, and gzip would try for long.
    compression = "zstd" if name == "large" else "gzip"
    image = layout.add_image(config, [layout.add_layer(layer, compression) for layer in layers])
    layout.write(archive, [named(image, name)])


def _big_archives(directory: Path, cache: Path, work: Path) -> None:
    # About 40,000 files and 800 MB: Debian itself, then documentation and code in large and in small files.
    apt = Apt(cache, host_architecture())
    layers: list[Layer] = []
    installed: list[Deb] = []
    for names in ((), ("curl", "git", "python3", "vim"), ("golang-src", "libboost-dev"), ("g++",)):
        debs = [deb for deb in apt.closure("?essential", *names) if deb not in installed]
        layers.append(packages_layer(work / f"big{len(layers)}.tar", debs, installed))
        installed += debs

    config = image_config(platform(host_architecture()), layers)
    for compression in ("gzip", "zstd"):
        layout = Layout(work / compression)
        image = layout.add_image(config, [layout.add_layer(layer, compression) for layer in layers])
        layout.write(directory / f"{compression}.oci.tar", [named(image, "big")])
    # The last one, which tells that all are there.
    write_docker_archive(directory / "plain.docker.tar", "localhost/plain:big", config, layers)


def _chain_layers(work: Path) -> list[Layer]:
    """Every layer has a directory of its own and changes one that all share."""
    layers = []
    for number in range(CHAIN):
        with Layer(work / f"chain{number}.tar") as layer:
            layer.directory("shared")
            layer.file("shared/latest", b"%d\n" % number)
            layer.file(f"shared/{number}", b"%d\n" % number)
            if number % 10 == 9:
                layer.whiteout(f"shared/{number - 5}")
            _own_files(layer, number)
        layers.append(layer)
    return layers


def _flat_layers(work: Path) -> list[Layer]:
    """What the chain comes to, in one layer."""
    with Layer(work / "flat.tar") as layer:
        layer.directory("shared")
        layer.file("shared/latest", b"%d\n" % (CHAIN - 1))
        for number in range(CHAIN):
            if number % 10 != 4:
                layer.file(f"shared/{number}", b"%d\n" % number)
        for number in range(CHAIN):
            _own_files(layer, number)
    return [layer]


def _own_files(layer: Layer, number: int) -> None:
    layer.directory(f"own-{number}")
    for file in range(20):
        layer.file(f"own-{number}/{file}", b"%d of %d\n" % (file, number))


def _wide_layers(work: Path) -> list[Layer]:
    with Layer(work / "wide.tar") as layer:
        layer.directory("wide")
        for number in range(100_000):
            layer.file(f"wide/{number:06}")
    return [layer]


def _large_layers(work: Path) -> list[Layer]:
    with Layer(work / "large.tar") as layer:
        numbers = random.Random(1)
        layer.file("large", b"".join(numbers.randbytes(1 << 20) for _ in range(LARGE >> 20)))
    return [layer]


def _ten_times_layers(big: Path, work: Path) -> list[Layer]:
    """The big image's names ten times over; its files are empty, for nobody reads them."""
    layers = []
    for number, blob in enumerate(OneImage(big).layers()):
        with blob.stream() as packed, tarfile.open(fileobj=packed, mode="r|gz") as tar:
            entries = list(tar)
        with Layer(work / f"ten{number}.tar") as layer:
            for copy in range(TIMES):
                if not number:
                    layer.directory(f"{copy}")
                for entry in entries:
                    layer.copy(_moved(entry, f"{copy}"))
        layers.append(layer)
    return layers


def _moved(entry: tarfile.TarInfo, directory: str) -> tarfile.TarInfo:
    moved = tarfile.TarInfo(f"{directory}/{entry.name}")
    moved.type, moved.mode, moved.mtime = entry.type, entry.mode, entry.mtime
    moved.uid, moved.gid = entry.uid, entry.gid
    moved.linkname = f"{directory}/{entry.linkname}" if entry.islnk() else entry.linkname
    return moved


def _capable(archive: Path, big: Path, work: Path) -> None:
    """The big image with one file more, in a layer of its own, which has a capability."""
    with Layer(work / "capable.tar") as layer:
        layer.file("usr/bin/capable", b"#!/bin/sh\n", 0o755, xattrs={"security.capability": CAPABILITY})
    layout = Layout(work / "capable")
    image = OneImage(big)
    layers = [layout.add(blob.read(), blob.media_type) for blob in image.layers()]
    config = image.config()
    config["rootfs"]["diff_ids"].append(layer.diff_id)
    manifest = layout.add_image(config, [*layers, layout.add_layer(layer, "gzip")])
    layout.write(archive, [named(manifest, "big")])


def _many(archive: Path, work: Path) -> None:
    """A thousand services of one to three layers: some on one of ten bases, some with one of fifty runtimes on it."""
    layout = Layout(work / "many")
    made: dict[str, tuple[Layer, Json]] = {}

    def layer(name: str, files: int) -> tuple[Layer, Json]:
        if name not in made:
            with Layer(work / "many.tar") as layer:
                layer.directory("srv")
                layer.directory(f"srv/{name}")
                for file in range(files):
                    layer.file(f"srv/{name}/{file}", f"{file} of {name}\n".encode() * 20)
            made[name] = layer, layout.add_layer(layer, "gzip")
            layer.path.unlink()
        return made[name]

    images = []
    for number in range(MANY):
        layers = [layer(f"base-{number % 10}", 200)]
        if number % 3:
            layers.append(layer(f"runtime-{number % 50}", 40))
        if number % 4:
            layers.append(layer(f"service-{number}", 5))
        config = image_config(platform(host_architecture()), [each for each, _ in layers], [f"/srv/{number}"])
        image = layout.add_image(config, [descriptor for _, descriptor in layers])
        images.append(named(image, "1.0", f"registry.example.com/services/service-{number:03}:1.0"))
    layout.write(archive, images)
