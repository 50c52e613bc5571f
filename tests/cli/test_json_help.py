"""What `--json` prints of images has the members that `--help` names."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.archives import AMD64, ARM64, OciArchive, file, gzip_layer
from support.inside import InsideImagefs
from support.store import bring

FREE = ("config", "labels")
"""Members with what an image or a user put there."""


@pytest.fixture
def imagefs(tmp_path) -> InsideImagefs:
    imagefs = InsideImagefs(tmp_path / "store")
    archive = OciArchive()
    manifests = [archive.add_manifest([gzip_layer(file("a"))], platform) for platform in (AMD64, ARM64)]
    archive.add_index(manifests, name="app:1")
    bring(imagefs, archive)
    return imagefs


def keys(value: Any) -> Iterator[str]:
    """The names of all members, also of those in others."""
    for each in value if isinstance(value, list) else []:
        yield from keys(each)
    for key, each in value.items() if isinstance(value, dict) else []:
        yield key
        if key not in FREE:
            yield from keys(each)


@pytest.mark.parametrize("command", [["images"], ["check"], ["usage", "app:1"], ["inspect", "app:1"]])
def test_each_member_is_named(imagefs, command):
    told = imagefs(command[0], "--help").out.replace(",", " ").replace(".", " ").replace(":", " ").split()
    found = set(keys(json.loads(imagefs(*command, "--json").out)))
    assert len(found) > 8
    assert found <= set(told)
