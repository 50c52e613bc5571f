import pytest

from imagefs.errors import AmbiguousImage, ImageNotFound, InvalidReference
from imagefs.oci import reference

A, B, C = ("sha256:" + letter * 64 for letter in "abc")


# -- normalisation


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.35", "docker.io/library/busybox:1.35"),
        ("library/busybox", "docker.io/library/busybox:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest"),
        ("index.docker.io/library/busybox", "docker.io/library/busybox:latest"),
        ("foo/bar", "docker.io/foo/bar:latest"),
        ("localhost/foo", "localhost/foo:latest"),
        ("localhost:5000/foo", "localhost:5000/foo:latest"),
        ("localhost:5000/foo:1", "localhost:5000/foo:1"),
        ("ghcr.io/a/b/c:T_1.0-x", "ghcr.io/a/b/c:T_1.0-x"),
        (f"busybox@{A}", f"docker.io/library/busybox@{A}"),
        (f"ghcr.io/a/b:1@{A}", f"ghcr.io/a/b@{A}"),
    ],
)
def test_normalize(text, name):
    assert reference.normalize(text) == name
    assert reference.normalize(name) == name


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "UPPER", "a:b:c", "x/", "/x", "x//y", " x", "x y", "x:-a", "x:" + "t" * 129, "x@sha256:12", "-x",
        "a" * 64, "x\n", "x:1\n", "../x", "x/../y", "x\0", "é", f"x@md5:{'a' * 32}", "x" * 300,
    ],
)  # fmt: skip
def test_what_is_no_name_is_refused(text):
    with pytest.raises(InvalidReference):
        reference.normalize(text)


@pytest.mark.parametrize(
    ("name", "repository", "tag"),
    [
        ("docker.io/library/busybox:1", "docker.io/library/busybox", "1"),
        ("localhost:5000/a:1", "localhost:5000/a", "1"),
        ("localhost:5000/a", "localhost:5000/a", None),
        (f"localhost/a@{A}", "localhost/a", None),
        (f"localhost:5000/a@{A}", "localhost:5000/a", None),
    ],
)
def test_parts_of_a_name(name, repository, tag):
    assert reference.repository(name) == repository
    assert reference.tag(name) == tag


@pytest.mark.parametrize("text", ["latest", "1.0", "_x", "A-b_c.d", "t" * 128])
def test_bare_tags(text):
    assert reference.is_bare_tag(text)


@pytest.mark.parametrize("text", ["", "a:b", "a/b", "-a", ".a", "t" * 129, "a b", "a\n", "é", f"x@{A}"])
def test_what_is_no_bare_tag(text):
    assert not reference.is_bare_tag(text)


# -- prefixes


@pytest.mark.parametrize(
    ("file_name", "prefix"),
    [
        (None, "localhost/import"),
        ("", "localhost/import"),
        ("debian-12.oci.tar", "localhost/debian-12"),
        ("/some/where/debian-12.tar.gz", "localhost/debian-12"),
        ("image.tgz", "localhost/image"),
        ("image.docker.tar.zst", "localhost/image"),
        ("image.oci-archive", "localhost/image"),
        ("image", "localhost/image"),
        ("debian-12.5", "localhost/debian-12.5"),
        ("Foo Bar_1.tar", "localhost/foo-bar_1"),
        ("__x__.tar", "localhost/x"),
        ("a...b.tar", "localhost/a-b"),
        ("日本.tar", "localhost/import"),
        ("...", "localhost/import"),
    ],
)
def test_prefix_of_file(file_name, prefix):
    assert reference.prefix_of_file(file_name) == prefix


@pytest.mark.parametrize(
    "file_name",
    [
        "x.tar", ".tar", "-.tar", "_._", "a.-b", "A" * 64, "f" * 64, "a@b:c", "a b", "é.tar", "x.tar.tar", "." * 50,
        "1", "_", "a" * 250 + ".tar",
    ],
)  # fmt: skip
def test_every_files_prefix_makes_valid_names(file_name):
    prefix = reference.prefix_of_file(file_name)
    assert reference.check_prefix(prefix) == prefix
    assert reference.normalize(f"{prefix}:1.0") == f"{prefix}:1.0"


def test_a_prefix_that_a_user_gives_is_normalised():
    assert reference.check_prefix("foo") == "docker.io/library/foo"
    assert reference.check_prefix("foo/bar") == "docker.io/foo/bar"
    assert reference.check_prefix("localhost:5000/foo") == "localhost:5000/foo"


@pytest.mark.parametrize("prefix", ["", "foo:latest", "foo:1", f"foo@{A}", "FOO", "foo/"])
def test_prefixes_with_a_tag_or_digest_are_refused(prefix):
    with pytest.raises(InvalidReference):
        reference.check_prefix(prefix)


# -- finding

STORE = {
    "docker.io/library/busybox:latest": A,
    "docker.io/library/busybox:1.35": A,
    "localhost/debian-12:12": B,
    "localhost/debian-12:latest": C,
    "localhost/team/tool:latest": C,
    "quay.io/other/tool:latest": B,
    f"localhost/import@{B}": B,
}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("docker.io/library/busybox:1.35", "docker.io/library/busybox:1.35"),
        ("busybox:1.35", "docker.io/library/busybox:1.35"),
        ("busybox", "docker.io/library/busybox:latest"),
        ("library/busybox", "docker.io/library/busybox:latest"),
        ("debian-12:12", "localhost/debian-12:12"),
        ("debian-12", "localhost/debian-12:latest"),
        ("localhost/debian-12", "localhost/debian-12:latest"),
        ("team/tool", "localhost/team/tool:latest"),
        ("other/tool:latest", "quay.io/other/tool:latest"),
        (f"localhost/import@{B}", f"localhost/import@{B}"),
        (f"import@{B}", f"localhost/import@{B}"),
    ],
)
def test_find(text, name):
    assert reference.find(text, STORE) == name


@pytest.mark.parametrize(
    "text", ["box", "ebian-12:12", "debian-12:1", "debian", "tool:1", "", "/", "no/such:thing", ":latest"]
)
def test_find_takes_whole_names_only(text):
    with pytest.raises(ImageNotFound) as raised:
        reference.find(text, STORE)
    assert raised.value.reference == text


def test_find_names_the_candidates_of_an_ambiguous_name():
    with pytest.raises(AmbiguousImage) as raised:
        reference.find("tool", STORE)
    assert sorted(raised.value.candidates) == ["localhost/team/tool:latest", "quay.io/other/tool:latest"]


def test_a_name_that_docker_would_mean_comes_before_an_end():
    store = {"docker.io/library/tool:latest": A, "localhost/tool:latest": B}
    assert reference.find("tool", store) == "docker.io/library/tool:latest"


@pytest.mark.parametrize("text", ["aaaa", "a" * 12, "a" * 64, "sha256:aaaa", A])
def test_find_by_digest_prefix(text):
    # Two names of one image mean the same: the first of them is answered.
    assert reference.find(text, STORE) == "docker.io/library/busybox:1.35"


def test_a_digest_prefix_of_two_images_is_ambiguous():
    store = {"localhost/a:1": "sha256:" + "ab" * 32, "localhost/b:1": "sha256:" + "abab" + "c" * 60}
    with pytest.raises(AmbiguousImage):
        reference.find("abab", store)
    assert reference.find("ababc", store) == "localhost/b:1"
    assert reference.find("ababa", store) == "localhost/a:1"


@pytest.mark.parametrize("text", ["aaa", "sha256:", "dddd", "sha256:aaaag", "AAAA"])
def test_what_is_no_digest_prefix(text):
    with pytest.raises(ImageNotFound):
        reference.find(text, STORE)


def test_a_name_comes_before_a_digest_prefix():
    assert reference.find("aaaa", {"localhost/aaaa:latest": B, "localhost/x:1": A}) == "localhost/aaaa:latest"


def test_nothing_is_found_in_an_empty_store():
    with pytest.raises(ImageNotFound):
        reference.find("busybox", {})


TAGGED = {
    "docker.io/library/app:1": A,
    "docker.io/library/app:2": B,
    f"docker.io/library/app@{B}": B,
    "localhost/app:3": B,
    "localhost:5000/team/tool:1": A,
    "quay.io/team/tool:1": B,
    A: A,
}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("app", ["docker.io/library/app:1", "docker.io/library/app:2"]),
        ("localhost/app", ["localhost/app:3"]),
        ("app:1", ["docker.io/library/app:1"]),
        ("localhost:5000/team/tool", ["localhost:5000/team/tool:1"]),
        (f"app@{B}", [f"docker.io/library/app@{B}"]),
        (f"quay.io/team/tool@{B}", [B]),
        (f"app@{A}", [A]),
        (A, [A]),
        ("aaaaaa", [A]),
        ("sha256:aaaaaa", [A]),
        (B[7:20], [B]),
    ],
)
def test_find_all(text, names):
    assert reference.find_all(text, TAGGED) == names


def test_find_all_of_a_repository_that_two_have():
    with pytest.raises(AmbiguousImage) as raised:
        reference.find_all("tool", TAGGED)
    assert sorted(raised.value.candidates) == ["localhost:5000/team/tool", "quay.io/team/tool"]


@pytest.mark.parametrize("text", ["nothing", "pp", "app:4", f"app@sha256:{'d' * 64}", "APP", "", "/", ":1", "@"])
def test_find_all_of_nothing(text):
    with pytest.raises(ImageNotFound):
        reference.find_all(text, TAGGED)
