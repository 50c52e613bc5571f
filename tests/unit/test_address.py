"""What a user types to mean an image or a path in one."""

import pytest

from imagefs.browse.address import Address, parse
from imagefs.errors import InvalidReference


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("busybox", Address("busybox")),
        ("busybox:etc", Address("busybox:etc")),
        ("busybox:/etc", Address("busybox", path=b"/etc")),
        ("busybox:/", Address("busybox", path=b"/")),
        ("busybox:etc/passwd", Address("busybox", path=b"/etc/passwd")),
        ("busybox:1.35:/etc/a:b", Address("busybox:1.35", path=b"/etc/a:b")),
        ("busybox:1.35:etc", Address("busybox:1.35", path=b"/etc")),
        ("busybox:1.35:a:b", Address("busybox:1.35", path=b"/a:b")),
        ("localhost:5000/me/app", Address("localhost:5000/me/app")),
        ("localhost:5000/me/app:1:/x", Address("localhost:5000/me/app:1", path=b"/x")),
        ("localhost:5000/me/app:1:x", Address("localhost:5000/me/app:1", path=b"/x")),
        ("app:1@linux-arm64-v8:/x", Address("app:1", "linux-arm64-v8", path=b"/x")),
        ("app:1@linux-arm64-v8:x", Address("app:1", "linux-arm64-v8", path=b"/x")),
        ("app:1#2", Address("app:1", layers=2)),
        ("app:1#0:/x", Address("app:1", layers=0, path=b"/x")),
        ("app:1#0:x", Address("app:1", layers=0, path=b"/x")),
        ("app:1@linux-amd64#12:/#1", Address("app:1", "linux-amd64", 12, b"/#1")),
        (f"app@sha256:{'0' * 64}", Address(f"app@sha256:{'0' * 64}")),
        (f"app@sha256:{'0' * 64}:/x", Address(f"app@sha256:{'0' * 64}", path=b"/x")),
        (f"app@sha256:{'0' * 64}:x", Address(f"app@sha256:{'0' * 64}", path=b"/x")),
        ("sha256:0123", Address("sha256:0123")),
        ("0123abcd:/x", Address("0123abcd", path=b"/x")),
        ("Not A Name", Address("Not A Name")),
        ("app:1:/caf\udce9", Address("app:1", path=b"/caf\xe9")),
    ],
)
def test_addresses(text, address):
    assert parse(text) == address


@pytest.mark.parametrize("text", ["", ":/etc"])
def test_what_names_no_image(text):
    with pytest.raises(InvalidReference):
        parse(text)
