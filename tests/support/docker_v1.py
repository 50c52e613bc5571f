"""Archives as docker wrote them up to 1.9: a folder for each layer, `repositories`, and no digest anywhere."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from support.archives import TarEntry, directory, file, layer


def image_id(text: str) -> str:
    """An ID as docker drew them at random, but the same for the same text."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class V1Archive:
    """An archive in the making.

    >>> archive = V1Archive()
    >>> base = archive.add("base", layer(file("a")))
    >>> archive.add("top", layer(file("b")), parent=base, author="someone")
    >>> archive.repositories = {"app": {"1": image_id("top")}}
    """

    folders: dict[str, list[TarEntry]] = field(default_factory=dict)
    repositories: Mapping[str, Mapping[str, str]] | None = None
    extra: list[TarEntry] = field(default_factory=list)

    def add(self, text: str, blob: bytes | None, *, parent: str | None = None, **more: Any) -> str:
        """An image with its layer, or with none; answers its ID. `more` goes into its `json`."""
        image = image_id(text)
        document = {
            "id": image,
            **({"parent": parent} if parent is not None else {}),
            "created": "2015-10-13T21:19:18.674353812Z",
            "container_config": {"Hostname": "x", "Cmd": ["/bin/sh", "-c", f"#(nop) ADD {text} in / && true"]},
            "docker_version": "1.9.1",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"], "Volumes": None},
            "architecture": "amd64",
            "os": "linux",
            "Size": len(blob or b""),
            **more,
        }
        kept = {key: value for key, value in document.items() if value is not ...}
        entries = [directory(image), file(f"{image}/VERSION", b"1.0")]
        entries.append(file(f"{image}/json", json.dumps(kept).encode()))
        if blob is not None:
            entries.append(file(f"{image}/layer.tar", blob))
        self.folders[image] = entries
        return image

    def bytes(self, order: Callable[[list[TarEntry]], Iterable[TarEntry]] = list, prefix: str = "") -> bytes:
        """The archive; `order` sorts its members, `prefix` goes before each name."""
        members = [entry for folder in sorted(self.folders) for entry in self.folders[folder]] + self.extra
        if self.repositories is not None:
            members.append(file("repositories", json.dumps(self.repositories).encode()))
        return layer(*(TarEntry(**{**vars(entry), "name": prefix + entry.name}) for entry in order(members)))
