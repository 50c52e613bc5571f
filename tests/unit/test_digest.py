import hashlib

import pytest

from imagefs import digest
from imagefs.errors import InvalidReference

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("name", ["sha256", "sha384", "sha512"])
def test_of_bytes_agrees_with_hashlib(name):
    content = digest.of_bytes(b"content", name)
    assert content == f"{name}:{hashlib.new(name, b'content').hexdigest()}"
    assert digest.parse(content) == content
    assert (digest.algorithm(content), digest.encoded(content)) == tuple(content.split(":"))


def test_a_hash_takes_content_in_pieces():
    content = digest.hasher()
    for piece in (b"con", b"", memoryview(b"tent")):
        content.update(piece)
    assert digest.of_hash(content) == digest.of_bytes(b"content")


def test_the_digest_of_nothing():
    assert digest.of_bytes(b"") == f"sha256:{EMPTY}"


def test_join():
    assert digest.join("sha256", EMPTY) == f"sha256:{EMPTY}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "sha256",
        "sha256:",
        EMPTY,
        f"sha256:{EMPTY[:-1]}",
        f"sha256:{EMPTY}0",
        f"sha256:{EMPTY.upper()}",
        f"SHA256:{EMPTY}",
        f"sha512:{EMPTY}",
        f"md5:{EMPTY[:32]}",
        f"sha256:{EMPTY[:-1]}g",
        f"sha256:{EMPTY[:-1]}\n",
        f"sha256:{EMPTY}\n",
        f"sha256:../{EMPTY[3:]}",
        f"sha256:{EMPTY[:-1]}\N{FULLWIDTH DIGIT ONE}",
        f" sha256:{EMPTY}",
        f"sha256:{EMPTY[:32]}:{EMPTY[33:]}",
    ],
)
def test_what_is_no_digest_is_refused(text):
    with pytest.raises(InvalidReference, match="not a digest"):
        digest.parse(text)


def test_a_long_text_is_cut_in_the_message():
    with pytest.raises(InvalidReference) as raised:
        digest.parse("x" * 100_000)
    assert len(str(raised.value)) < 300


def test_a_path_cannot_be_smuggled_in():
    with pytest.raises(InvalidReference):
        digest.join("sha256", "../../etc/passwd")
    with pytest.raises(InvalidReference):
        digest.join("..", EMPTY)
