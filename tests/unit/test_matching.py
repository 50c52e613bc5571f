"""The globs of `imagefs find`."""

import os

import pytest

from imagefs.browse.matching import matcher


def matches(pattern: bytes, path: bytes) -> bool:
    return matcher(os.fsdecode(pattern))(path, path.rpartition(b"/")[2])


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        (b"*.conf", b"/etc/a.conf"),
        (b"*", b"/etc/.hidden"),
        (b"?at", b"/bin/cat"),
        (b"[!a]b", b"/x/cb"),
        (b"{cat,dog}", b"/x/dog"),
        (b"/etc/*", b"/etc/a"),
        (b"etc/*", b"/etc/a"),
        (b"/etc/**", b"/etc/a/b"),
        (b"**/x", b"/x"),
        (b"**/x", b"/a/b/x"),
        (b"*/x", b"/a/x"),
        (b"/etc/**/*.d", b"/etc/x.d"),
        (b"/{etc,usr/lib}/p*", b"/usr/lib/p"),
        (b"{/etc,/usr}/*", b"/usr/a"),
        (b"caf\xe9*", b"/x/caf\xe9\xff"),
        (b"caf?", b"/caf\xe9"),
        (b"caf?", "/café".encode()),
        ("caf[éè]".encode(), "/café".encode()),
        (b"*", b"/a\nb"),
        (b"!a", b"/!a"),
        (b"~", b"/~"),
        (b"a|b", b"/a|b"),
        (b"a\\*", b"/a*"),
        (b"[", b"/["),
    ],
)
def test_matches(pattern, path):
    assert matches(pattern, path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        (b"*.conf", b"/etc.conf/a"),
        (b"/etc/*", b"/etc/a/b"),
        (b"/etc/**", b"/etc"),
        (b"*/x", b"/x"),
        (b"/a[/]b", b"/a/b"),
        (b"/a?b", b"/a/b"),
        (b"A", b"/a"),
        (b"!a", b"/b"),
        (b"a\\*", b"/ab"),
        (b"@(a|b)", b"/a"),
        (b"", b"/a"),
        (b"/", b"/a"),
    ],
)
def test_does_not_match(pattern, path):
    assert not matches(pattern, path)


def test_too_many_alternatives():
    with pytest.raises(ValueError, match="limit"):
        matcher("{1..100000}")
