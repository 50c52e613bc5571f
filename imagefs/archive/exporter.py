"""What an exporter is, which there are, and what can be asked of an export."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

from imagefs.archive.plugins import Formats
from imagefs.errors import ImagefsError
from imagefs.limits import DEFAULTS, Limits
from imagefs.store.selection import Selection
from imagefs.store.store import Store

GROUP = "imagefs.exporters"
"""The entry point group by which other packages plug in exporters: a callable that makes one."""


class ExportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a user asks of an export.

    Of `platforms`, each the best match goes out, None is for what is complete in the store; with `all_platforms`,
    all that an index lists has to be. With `skip_missing`, an index or manifest goes out as it is, with what is there
    of its content: also a part of what one manifest needs, for `import --skip-missing` takes that, and nobody has to
    bring it twice. With `skip_non_distributable`, layers with a foreign media type stay behind. `base` are images of
    the store, archives or folders with OCI layouts whose blobs are left out; `limits` are for what such an archive may
    ask for. Raises `ImagefsError` for `platforms` that are none, or together with `all_platforms`.
    """

    platforms: tuple[str, ...] | None = None
    all_platforms: bool = False
    skip_missing: bool = False
    skip_non_distributable: bool = False
    base: tuple[str, ...] = ()
    limits: Limits = DEFAULTS

    def __post_init__(self) -> None:
        if self.platforms is not None and not self.platforms:
            raise ImagefsError("no platform is named")
        if self.platforms is not None and self.all_platforms:
            raise ImagefsError("either some platforms are exported, or all")


class ExportedImage(msgspec.Struct, frozen=True):
    """A name that goes into an archive, or for an image without one its digest, and the part of the image that does."""

    name: str
    selection: Selection


class WritableStream(Protocol):
    """What is needed of a binary file to write an archive: it is never sought."""

    def write(self, data: bytes, /) -> object:
        """Write all of `data`."""


@runtime_checkable
class Exporter(Protocol):
    """One archive format."""

    def run(self, store: Store, images: Sequence[ExportedImage], stream: WritableStream) -> None:
        """Write images, which are sorted by name, to the stream, front to back.

        Nothing that they need is collected while this runs. Raises `ContentMissing` where a blob is damaged, or the
        format cannot hold an image.
        """


EXPORTERS = Formats(
    GROUP,
    {
        "oci+docker": "imagefs.archive.written:LayoutExporter",
        "oci": "imagefs.archive.written:OciExporter",
        "docker": "imagefs.archive.written:DockerExporter",
    },
)
"""The formats that can be asked for by name."""


def make_exporter(name: str) -> Exporter:
    """The exporter that has a name. Raises `ImagefsError` for a name that nothing has."""
    exporter: Exporter = EXPORTERS.factory(name)()
    return exporter
