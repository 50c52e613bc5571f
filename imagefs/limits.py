"""How much an archive may ask for: bounds that let every real image through, and stop what was made to do harm.

What grows with an archive is time and disk, never memory; these bounds keep time and disk in proportion to it. Of what
a stream expands to there are two: an absolute one, and a ratio, for zeros alone compress a thousandfold with gzip and
far more with zstd. Real layers of nothing else exist, such as that of a `useradd` with a large number, which makes a
sparse `lastlog` of some gigabytes; so the ratio counts only beyond `ratio_from`.
"""

import threading
from collections.abc import Iterable, Iterator

import msgspec

from imagefs.errors import LimitExceeded

UNLIMITED = 1 << 62
"""A bound that nothing reaches."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The most of each that an import takes. Sizes are in bytes.

    `json_size` and `json_depth` are of one JSON document. `manifests` are those of one image, and the images of one
    archive; `layers` are those of one image. `members` are those of an archive, `name_size` is the longest name or
    link of one, `names_size` all names that are kept, `holes_size` all holes of sparse ones. `entries` are those of a
    layer, with the folders that they imply; `path_size` is the longest name or link of one, `paths_size` all of them;
    `xattr_size` are the extended attributes of one, `xattrs_size` those of all. `layer_size` is what a layer expands
    to, `total_size` what all of them do, and what compression around the archive does. Neither of these may be more
    than `ratio` times what it came as, where it is more than `ratio_from`.
    """

    json_size: int = 8 << 20
    json_depth: int = 100
    manifests: int = 10_000
    layers: int = 256
    members: int = 10_000_000
    name_size: int = 4096
    names_size: int = 16 << 20
    holes_size: int = 1 << 30
    entries: int = 10_000_000
    path_size: int = 1 << 20
    paths_size: int = 2 << 30
    xattr_size: int = 1 << 20
    xattrs_size: int = 512 << 20
    layer_size: int = 256 << 30
    total_size: int = 1 << 40
    ratio: int = 200
    ratio_from: int = 4 << 30

    def check(self, bound: str, found: int, what: str, *, member: str | None = None) -> None:
        """Raise `LimitExceeded` where so many of what `what` names are more than a bound allows."""
        most = getattr(self, bound)
        if found > most:
            raise self._error(bound, f"{found} {what}, more than {most}", member)

    def exceeded(self, bound: str, what: str, *, member: str | None = None) -> LimitExceeded:
        """The error that there are more than a bound allows of what `what` names."""
        return self._error(bound, f"more than {getattr(self, bound)} {what}", member)

    def _error(self, bound: str, problem: str, member: str | None) -> LimitExceeded:
        liftable = getattr(self, bound) < CEILINGS.get(bound, UNLIMITED)
        return LimitExceeded(problem, flag_name(bound), liftable=liftable, member=member)

    def for_known(self, size: int, entries: int) -> "Limits":
        """The same for a layer that was taken in before, of so many bytes and entries: it may be what it was."""
        return msgspec.structs.replace(
            self,
            layer_size=max(self.layer_size, size),
            ratio_from=max(self.ratio_from, size),
            entries=max(self.entries, 2 * entries),
            paths_size=max(self.paths_size, size),
            xattrs_size=max(self.xattrs_size, size),
        )


DEFAULTS = Limits()
"""The bounds where nobody asks for others."""

CEILINGS = {"json_size": 64 << 20, "json_depth": 200, "manifests": 10_000, "layers": 256}
"""The bounds that cannot be lifted without end: mounts and exports, too, read no more than that."""


def flag_name(bound: str) -> str:
    """A bound as `--limit` names it."""
    return bound.replace("_", "-")


class Expansion:
    """What one stream expands to, counted against a bound for its size and against the ratio.

    `whole` counts this and other streams together; they may be read in several threads.
    """

    def __init__(self, limits: Limits, bound: str, *, whole: "Expansion | None" = None) -> None:
        self._limits, self._bound, self._whole = limits, bound, whole
        self._came = 0
        self._size = 0
        self._lock = threading.Lock()

    def counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The stream as it comes."""
        for chunk in chunks:
            self._add(len(chunk), 0)
            yield chunk

    def checked(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """What it expands to. Raises `LimitExceeded` before it is too much."""
        for chunk in chunks:
            self._add(0, len(chunk))
            yield chunk

    def _add(self, more_came: int, more: int) -> None:
        with self._lock:
            self._came += more_came
            self._size += more
            came, expanded = self._came, self._size
        if more:
            limits = self._limits
            limits.check(self._bound, expanded, "bytes uncompressed")
            if expanded > limits.ratio_from and expanded > limits.ratio * came:
                raise limits.exceeded("ratio", f"times as many bytes uncompressed as compressed, {expanded} for {came}")
        if self._whole is not None:
            self._whole._add(more_came, more)
