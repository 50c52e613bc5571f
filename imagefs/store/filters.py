"""Choosing images by conditions, as docker's `--filter` has them: what `images` lists and `prune` removes.

Conditions of different kinds all have to hold. Of several references, names or platforms one has to match; several
labels and dates all have to.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from imagefs.errors import ImagefsError, InvalidFilter, InvalidReference
from imagefs.oci import configuration, moments, platform, reference
from imagefs.oci.model import Platform
from imagefs.store.catalog import ImageRecord
from imagefs.store.status import ImageStatus, statuses
from imagefs.store.store import Store

_LETTER = r"(?:[^\\\]-]|\\.)"
_PATTERN = re.compile(rf"(?:[^\[\\]|\\.|\[\^?(?:{_LETTER}(?:-{_LETTER})?)+\])*", re.DOTALL)
"""What Go's path.Match takes for a pattern."""

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class LabelTest(msgspec.Struct, frozen=True):
    """A label that has to be there, with this value unless that is None; or, where it is `unwanted`, must not be."""

    key: str
    value: str | None
    unwanted: bool

    def holds(self, labels: dict[str, str]) -> bool:
        """Whether labels are as they have to be."""
        found = self.key in labels and self.value in (None, labels[self.key])
        return found != self.unwanted


class Filters(msgspec.Struct, frozen=True):
    """Conditions for images, as `parse` makes them. Without any, all images are chosen."""

    references: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    labels: tuple[LabelTest, ...] = ()
    platforms: tuple[Platform, ...] = ()
    before: tuple[str, ...] = ()
    since: tuple[str, ...] = ()
    until: tuple[datetime, ...] = ()
    dangling: bool | None = None
    complete: bool | None = None

    def select(self, store: Store, records: Sequence[ImageRecord]) -> list[ImageRecord]:
        """Those of some images that the conditions hold for. Raises what `choose` does."""
        if self == Filters():
            return list(records)
        return [image.record for image in self.choose(store, statuses(store, records))]

    def choose(self, store: Store, images: Iterable[ImageStatus]) -> list[ImageStatus]:
        """The same of images that were looked at already.

        Raises `ImageNotFound` and `AmbiguousImage` for an image to compare with, `InvalidReference` where that one
        does not say when it was made.
        """
        tests = list(self._tests(store))
        return [image for image in images if all(test(image) for test in tests)]

    def _tests(self, store: Store) -> Iterable[Callable[[ImageStatus], bool]]:
        """The cheap ones first."""
        if self.dangling is not None:
            yield lambda image: image.record.dangling == self.dangling
        if self.complete is not None:
            yield lambda image: image.complete == self.complete
        if self.names:
            yield lambda image: not {image.record.name, reference.familiar(image.record.name)}.isdisjoint(self.names)
        if self.references:
            matches = _matcher(self.references)
            yield lambda image: not image.record.dangling and any(map(matches, _forms(image.record.name)))
        earliest = min([*self.until, *(_created(store, each) for each in self.before)], default=None)
        if earliest is not None:
            yield lambda image: image.created_at is not None and image.created_at < earliest
        latest = max((_created(store, each) for each in self.since), default=None)
        if latest is not None:
            yield lambda image: image.created_at is not None and image.created_at > latest
        if self.platforms:
            yield self._serves
        if self.labels:
            yield lambda image: any(all(test.holds(each) for test in self.labels) for each in _labels(store, image))

    def _serves(self, image: ImageStatus) -> bool:
        return bool(platform.choose(self.platforms, [each.platform for each in image.manifests if each.is_image]))


def parse(texts: Sequence[str]) -> Filters:
    """Conditions from `KEY=VALUE` each. Raises `InvalidFilter`."""
    found: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key, value = key.strip().lower(), value.strip()
        if not equals or not value:
            raise InvalidFilter(f"{text[:160]!r} is not KEY=VALUE")
        if key not in _KEYS:
            raise InvalidFilter(f"{key[:80]!r} is no condition; there are {', '.join(sorted(_KEYS))}")
        if key == "reference" and not _PATTERN.fullmatch(value):
            raise InvalidFilter(f"{value[:160]!r} is no pattern")
        if key in _LABELS and value.startswith("="):
            raise InvalidFilter(f"{text[:160]!r}: a label has a name")
        found.setdefault(key, []).append(value)
    now = datetime.now(UTC)
    return Filters(
        references=tuple(found.get("reference", ())),
        names=tuple(found.get("name", ())),
        labels=tuple(_label(value, unwanted=key == "label!") for key in _LABELS for value in found.get(key, ())),
        platforms=tuple(_platform(value) for value in found.get("platform", ())),
        before=tuple(found.get("before", ())),
        since=tuple(found.get("since", ())),
        until=tuple(moments.meant(value, now) for value in found.get("until", ())),
        dangling=_boolean("dangling", found),
        complete=_boolean("complete", found),
    )


_LABELS = ("label", "label!")
_KEYS = frozenset(["reference", "name", *_LABELS, "platform", "before", "since", "until", "dangling", "complete"])


def _boolean(key: str, found: dict[str, list[str]]) -> bool | None:
    values = {_BOOLEANS.get(value.lower()) for value in found.get(key, ())}
    if None in values or len(values) > 1:
        raise InvalidFilter(f"{key} is either true or false, not {' and '.join(found[key])[:160]!r}")
    return values.pop() if values else None


def _label(text: str, *, unwanted: bool) -> LabelTest:
    key, equals, value = text.partition("=")
    return LabelTest(key, value if equals else None, unwanted)


def _platform(text: str) -> Platform:
    try:
        return platform.parse(text)
    except InvalidReference as error:
        raise InvalidFilter(str(error)) from None


def _matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Docker's patterns are those of Go's path.Match: `*` and `?` stop at slashes, and there are `[...]`."""
    from wcmatch import glob  # only few listings are for a pattern

    flags = glob.DOTGLOB | glob.FORCEUNIX
    expressions = [each for pattern in patterns for each in glob.translate(pattern, flags=flags)[0]]
    match = re.compile("|".join(expressions)).match
    return lambda text: match(text) is not None


def _forms(name: str) -> list[str]:
    """A name as patterns may mean it: docker's short form and the full one, each with its tag or digest and without."""
    whole = reference.repository(name)
    return [reference.familiar(name), reference.familiar(whole), name, whole]


def _created(store: Store, text: str) -> datetime:
    """When the image that a user means was made."""
    (image,) = statuses(store, [store.find_image(text)])
    if image.created_at is None:
        raise InvalidReference(f"{text}: it does not say when it was made")
    return image.created_at


def _labels(store: Store, image: ImageStatus) -> Iterable[dict[str, str]]:
    """The labels of each platform: those that its configuration has, and over them those of the name in the store."""
    configs = [each.manifest.config.digest for each in image.manifests if each.config is not None]
    for config in configs:
        with suppress(ImagefsError, OSError):  # gone since it was looked at
            told = configuration.labels(configuration.values(store.blobs.read(config)))
            yield {**told, **image.labels}
    if not configs:
        yield dict(image.labels)
