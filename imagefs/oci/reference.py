"""Image names: docker's reference grammar, by the library that ports the distribution project's parser."""

import re
from collections.abc import Iterable
from contextlib import suppress

from imagefs import digest
from imagefs.digest import Digest
from imagefs.errors import AmbiguousImage, ImageNotFound, InvalidReference

DEFAULT_TAG = "latest"

_LONGEST = 1024
"""More characters than any name has: a repository has at most 255, a tag 128, a digest 136."""

_BARE_TAG = re.compile(r"[\w][\w.-]{0,127}", re.ASCII)
_NOT_IN_A_PATH = re.compile(r"[^a-z0-9._-]+")
_SEPARATORS = re.compile(r"[._-]{2,}")
_HEX = re.compile(r"[0-9a-f]{4,128}")
_ENDINGS = (".tar", ".gz", ".tgz", ".zst", ".zstd", ".oci", ".docker", ".oci-archive", ".docker-archive")


def normalize(text: str) -> str:
    """The full form of a name: `busybox` is `docker.io/library/busybox:latest`.

    A name with a digest keeps it and gets no tag. Raises `InvalidReference`.
    """
    # Loading it takes as long as a tenth of a mount does, and only names that a person or an archive gives need it.
    from docker_image import reference as grammar

    if len(text) > _LONGEST or any(
        letter.isspace() for letter in text
    ):  # the library's expressions let a last newline pass
        raise InvalidReference(f"{text[:160]!r} is not an image name")
    try:
        parsed = grammar.Reference.parse_normalized_named(text)
    except Exception as error:
        raise InvalidReference(f"{text[:160]!r} is not an image name: {error}") from None
    name, tag, content = parsed["name"], parsed.get("tag"), parsed.get("digest")
    if content:
        return f"{name}@{digest.parse(content)}"
    return f"{name}:{tag or DEFAULT_TAG}"


def of_image(text: str, content: Digest) -> str | None:
    """The full form of a name that an archive gives to an image with this digest. Raises `InvalidReference`.

    A digest in it gives way to the image's own, which another tool may have numbered otherwise. A digest alone, as
    containerd names images for kubernetes after their configurations, is no name: None.
    """
    with suppress(InvalidReference):
        digest.parse(text)
        return None
    name = normalize(text)
    return f"{repository(name)}@{content}" if "@" in name else name


def is_dangling(name: str) -> bool:
    """Whether a name in a store is that of an image without one: its digest. Names that are normalised have a slash."""
    return "/" not in name


def familiar(name: str) -> str:
    """A normalised name as docker shows it: `busybox:latest` for `docker.io/library/busybox:latest`."""
    for prefix in ("docker.io/library/", "docker.io/"):
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def repository(name: str) -> str:
    """A normalised name without its tag or digest."""
    name = name.partition("@")[0]
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name


def tag(name: str) -> str | None:
    """The tag of a name in a store, None where it has none."""
    if "@" in name or is_dangling(name):
        return None
    head, colon, tail = name.rpartition(":")
    return tail if colon and "/" not in tail and head else None


def is_bare_tag(text: str) -> bool:
    """Whether an annotation holds no more than a tag."""
    return _BARE_TAG.fullmatch(text) is not None


def prefix_of_file(file_name: str | None) -> str:
    """The name prefix for the images of an archive: `localhost/` and the file's name without its endings."""
    stem = (file_name or "import").rsplit("/", 1)[-1].lower()
    while ending := next((each for each in _ENDINGS if stem.endswith(each) and stem != each), None):
        stem = stem[: -len(ending)]
    stem = _SEPARATORS.sub("-", _NOT_IN_A_PATH.sub("-", stem)).strip("._-")
    return f"localhost/{stem or 'import'}"


def check_prefix(prefix: str) -> str:
    """A prefix that a user gave, as it will stand in names. Raises `InvalidReference`."""
    full = normalize(prefix)
    if "@" in full or full != f"{repository(full)}:{DEFAULT_TAG}" or prefix.endswith(f":{DEFAULT_TAG}"):
        raise InvalidReference(f"{prefix!r} is not a name without tag or digest")
    return repository(full)


def find(text: str, digests_by_name: dict[str, str]) -> str:
    """The one name in the store that a user means by `text`.

    In this order: the exact name; its normalised form; an unambiguous end of a name, beginning at a
    slash, with or without the tag `latest`; an unambiguous digest prefix. Raises `ImageNotFound`,
    `AmbiguousImage`.
    """
    if text in digests_by_name:
        return text
    try:
        full = normalize(text)
    except InvalidReference:
        full = text
    if full in digests_by_name:
        return full
    last = text.rsplit("/", 1)[-1]
    ends = [text] if ":" in last or "@" in last else [f"{text}:{DEFAULT_TAG}"]
    found = [name for name in digests_by_name if any(name.endswith(f"/{end}") for end in ends)]
    if not found:
        encoded = text.removeprefix("sha256:")
        if _HEX.fullmatch(encoded):
            found = [name for name, content in digests_by_name.items() if content.partition(":")[2].startswith(encoded)]
            if len({digests_by_name[name] for name in found}) == 1:
                return min(found)  # several names of one image mean the same
    if not found:
        raise ImageNotFound(text)
    if len(found) > 1:
        raise AmbiguousImage(text, found)
    return found[0]


def find_all(text: str, digests_by_name: dict[str, str]) -> list[str]:
    """The names in the store that a user means by `text` where all tags of a name can be meant, as by docker save.

    Without a tag or a digest: all tags of the exact repository, else of the one whose name ends so; all its digests
    where it has no tags. Anything else is as in `find`. A digest, or a prefix of one, or a name with the digest of one
    of its tags, is answered by the digest, which is no name. Raises `ImageNotFound`, `AmbiguousImage`.
    """
    last = text.rsplit("/", 1)[-1]
    if ":" not in last and "@" not in text:
        found = _tags_of(text, digests_by_name)
        if found:
            return found
    try:
        name = find(text, digests_by_name)
    except ImageNotFound:
        stem, at, content = text.partition("@")
        if at and content in {digests_by_name[each] for each in _tags_of(stem, digests_by_name)}:
            return [content]
        raise
    content = digests_by_name[name]
    encoded = text.removeprefix("sha256:")
    return [content] if _HEX.fullmatch(encoded) and content.partition(":")[2].startswith(encoded) else [name]


def _tags_of(text: str, names: Iterable[str]) -> list[str]:
    """The names of one repository, those by digest if no other. Raises `AmbiguousImage` where several have this end."""
    by_repository: dict[str, list[str]] = {}
    for name in sorted(names):
        if not is_dangling(name):
            by_repository.setdefault(repository(name), []).append(name)
    by_repository = {
        each: [name for name in found if tag(name) is not None] or found for each, found in by_repository.items()
    }
    with suppress(InvalidReference):
        full = repository(normalize(text))
        if full in by_repository:
            return by_repository[full]
    found = [each for each in by_repository if each.endswith(f"/{text}")]
    if len(found) > 1:
        raise AmbiguousImage(text, found)
    return by_repository[found[0]] if found else []
