"""Archives that overlap, whose files tell what has to be in them."""

import gzip
import hashlib
import random
from collections.abc import Sequence
from pathlib import Path

from ociwriter import LAYER, Json, Layer, Layout, image_config, write_docker_archive

LAYERS = 10
FILES = 12
PLATFORM = {"os": "linux", "architecture": "amd64"}


def content(path: str) -> bytes:
    """What is in the file at a path such as `layer3/file7`: its size, too, follows from the path."""
    seed = hashlib.sha256(path.encode()).digest()
    repeated = int.from_bytes(seed[:2], "big") * (8 if seed[2] < 20 else 1)
    return (path.encode() + b"\n" + seed) * (repeated // 40)


def make_archives(folder: Path, count: int, chance: random.Random) -> list[Path]:
    """OCI and docker archives, each with images of some of the same layers, some with the layers uncompressed."""
    layers = [_layer(folder, number) for number in range(LAYERS)]
    return [_archive(folder, number, layers, chance) for number in range(count)]


def _layer(folder: Path, number: int) -> Layer:
    with Layer(folder / f"layer{number}.tar") as layer:
        layer.directory(f"layer{number}")
        for position in range(FILES):
            path = f"layer{number}/file{position}"
            layer.file(path, content(path))
    return layer


def _archive(folder: Path, number: int, layers: Sequence[Layer], chance: random.Random) -> Path:
    path = folder / f"archive{number}.tar"
    chosen = chance.sample(layers, chance.randint(2, 4))
    if number % 3 == 2:
        write_docker_archive(path, f"stress/docker{number}:1", image_config(PLATFORM, chosen), chosen)
        return path
    layout = Layout(folder / f"layout{number}")
    images = []
    for tag in range(2):
        config = image_config(PLATFORM, chosen, command=[f"{number}.{tag}"])
        descriptor = layout.add_image(config, [_blob(layout, layer, chance) for layer in chosen])
        name = f"docker.io/stress/oci{number}:{tag}"
        images.append({**descriptor, "annotations": {"io.containerd.image.name": name}})
        chosen = chance.sample(layers, chance.randint(2, 4))
    layout.write(path, images)
    return path


def _blob(layout: Layout, layer: Layer, chance: random.Random) -> Json:
    data = layer.path.read_bytes()
    if chance.random() < 0.3:
        return layout.add(data, LAYER)
    # Two levels, and so two blobs of one layer.
    return layout.add(gzip.compress(data, chance.choice([1, 6]), mtime=0), f"{LAYER}+gzip")
