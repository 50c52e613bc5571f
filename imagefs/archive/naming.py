"""The names that images get for those which an archive gives them, or for none: what `ImportOptions` ask for."""

from collections.abc import Iterable

from imagefs.archive.importer import ImportOptions
from imagefs.errors import ArchiveError, InvalidReference
from imagefs.oci import reference
from imagefs.oci.model import Descriptor
from imagefs.store.naming import check_labels


class Names:
    """The names of the images of one archive, as they are found in it; `file_name` is the archive's, if it has one.

    Raises `InvalidReference` for options that cannot be had.
    """

    def __init__(self, options: ImportOptions, file_name: str | None) -> None:
        self._options = options
        check_labels(options.labels or {})
        self._given = None if options.prefix is None else reference.check_prefix(options.prefix)
        self._prefix = self._given or reference.prefix_of_file(file_name)
        self.index_name = None if options.index_name is None else reference.normalize(options.index_name)
        if self.index_name is not None and reference.tag(self.index_name) is None:
            raise InvalidReference(f"{options.index_name!r} is not a name that an index can have")

    def of_tag(self, tag: str) -> str:
        """The name of an image of which the archive tells the tag alone."""
        return f"{self._prefix}:{tag}"

    def of_index(self, target: Descriptor) -> dict[str, Descriptor]:
        """The names of the whole index, for which one was asked."""
        if self.index_name is None:
            return {}
        by_digest = f"{self._given or reference.repository(self.index_name)}@{target.digest}"
        return {self.index_name: target} | ({by_digest: target} if self._options.digests else {})

    def choose(self, found: Iterable[tuple[str | None, Descriptor]]) -> dict[str, Descriptor]:
        """The names of what was found: full names as they are, None for images that have none.

        With a prefix that was asked for, names that do not begin with it are left out; where there are to be names by
        digest, such images get that one. Raises `ArchiveError` where nothing is left.
        """
        chosen: dict[str, Descriptor] = {}
        others = set()
        for name, target in found:
            if name is not None and self._given is not None and not _begins_with(name, self._given):
                others.add(name)
                if not self._options.digests:
                    continue
                name = None
            if name is not None:
                chosen[name] = target
            if self._options.digests and not (name is not None and self._options.skip_digest_for_named):
                base = self._given or (self._prefix if name is None else reference.repository(name))
                chosen[f"{base}@{target.digest}"] = target
            elif name is None and self._given is not None:
                chosen[f"{self._given}@{target.digest}"] = target
            elif name is None and self.index_name is None:
                chosen[target.digest] = target
        if others and not chosen and self.index_name is None:
            raise ArchiveError(f"no image in it has a name that begins with {self._given}, only {_listed(others)}")
        # An image that has a name, too, is not dangling.
        named = {target.digest for name, target in chosen.items() if not reference.is_dangling(name)}
        return {
            name: target
            for name, target in chosen.items()
            if not (reference.is_dangling(name) and target.digest in named)
        }


def _begins_with(name: str, prefix: str) -> bool:
    """Whether a name is the prefix with a tag, a digest or a further part of a path."""
    return name.startswith((f"{prefix}:", f"{prefix}@", f"{prefix}/"))


def _listed(names: Iterable[str]) -> str:
    some = sorted(names)
    return ", ".join(some[:5]) + (f" and {len(some) - 5} others" if len(some) > 5 else "")
