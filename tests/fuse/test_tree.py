"""What a mounted image looks like to the system calls."""

import errno
import os
import stat
import subprocess

import pytest
from support.archives import (
    OciArchive,
    character_device,
    directory,
    fifo,
    file,
    gzip_layer,
    hardlink,
    layer,
    opaque,
    symlink,
    whiteout,
    zstd_layer,
)

pytestmark = pytest.mark.usefixtures("both_loops")

LOWER = gzip_layer(
    directory("d", mode=0o1777, uid=7, gid=8, mtime=1_600_000_000.123456789),
    file("d/old", b"old"),
    file("gone", b"gone"),
    directory("opaque"),
    file("opaque/below"),
    directory("becomes-file"),
    file("becomes-file/x"),
    file("one", b"linked"),
    hardlink("two", "one"),
    hardlink("three", "one"),
    file("setuid", b"#!", mode=0o4755, uid=1000, gid=1000),
)
UPPER = zstd_layer(
    whiteout("gone"),
    opaque("opaque"),
    file("opaque/above"),
    file("becomes-file", b"now a file"),
    whiteout("three"),
    symlink("link", "d/old"),
    character_device("null", 1, 3, mode=0o666),
    fifo("pipe"),
    file("implied/parents/here"),
    file("cap", b"", xattrs={"user.note": b"a\x00b", "security.capability": bytes(20)}),
    hardlink("across", "setuid"),
)


@pytest.fixture
def tree(imagefs, mount):
    archive = OciArchive()
    archive.add_image([LOWER, UPPER], name="app:1")
    imagefs("import", "-", stdin=archive.bytes())
    return mount("-o", "owner=image", "--view", "rootfs", "app:1")


def test_the_merged_names(tree):
    assert sorted(os.listdir(tree)) == [
        "across", "becomes-file", "cap", "d", "implied", "link", "null", "one", "opaque", "pipe", "setuid", "two",
    ]  # fmt: skip
    assert os.listdir(tree / "opaque") == ["above"]
    assert (tree / "becomes-file").read_bytes() == b"now a file"


def test_attributes(tree):
    status = os.stat(tree / "d")
    assert stat.S_ISDIR(status.st_mode)
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid, status.st_nlink) == (0o1777, 7, 8, 1)
    assert abs(status.st_mtime_ns - 1_600_000_000_123_456_789) < 1000
    assert os.stat(tree / "setuid").st_mode & 0o7777 == 0o4755
    assert os.readlink(tree / "link") == "d/old"
    assert os.lstat(tree / "link").st_size == 5
    assert os.stat(tree / "null").st_rdev == os.makedev(1, 3)
    assert stat.S_ISFIFO(os.stat(tree / "pipe").st_mode)
    assert os.stat(tree / "implied").st_mode & 0o7777 == 0o755


def test_hard_links_share_an_inode_and_count_what_shows(tree):
    one, two = os.stat(tree / "one"), os.stat(tree / "two")
    assert one.st_ino == two.st_ino
    assert one.st_nlink == two.st_nlink == 2, "the third name is whited out"


def test_a_hard_link_to_a_lower_layer(tree):
    here, there = os.stat(tree / "across"), os.stat(tree / "setuid")
    assert (here.st_ino, here.st_nlink) == (there.st_ino, 2)
    assert here.st_mode & 0o7777 == 0o4755
    assert (tree / "across").read_bytes() == b"#!"


def test_extended_attributes(tree):
    assert set(os.listxattr(tree / "cap")) == {"user.note", "security.capability"}
    assert os.getxattr(tree / "cap", "user.note") == b"a\0b"
    with pytest.raises(OSError) as caught:
        os.getxattr(tree / "one", "user.note")
    assert caught.value.errno == errno.ENODATA


def test_noxattr_hides_them(imagefs, mount, tree):
    plain = mount("--view", "rootfs", "-o", "noxattr", "app:1")
    assert os.path.exists(plain / "cap")
    with pytest.raises(OSError) as caught:
        os.getxattr(plain / "cap", "user.note")
    assert caught.value.errno == errno.EOPNOTSUPP


def test_names_that_are_no_utf8_and_long(imagefs, mount):
    data = layer(file(os.fsdecode(b"caf\xe9")), file("n" * 255), file("d/" * 200 + "deep", b"x"))
    archive = OciArchive()
    archive.add_image([data], name="odd:1")
    imagefs("import", "-", stdin=archive.bytes())
    root = os.fsencode(mount("--view", "rootfs", "odd:1"))
    assert sorted(os.listdir(root)) == [b"caf\xe9", b"d", b"n" * 255]
    with open(root + b"/" + b"d/" * 200 + b"deep") as deep:
        assert deep.read() == "x"


def test_inode_numbers_are_equal_over_remounts(imagefs, mount, tree):
    def numbers(root):
        return {str(path.relative_to(root)): path.lstat().st_ino for path in root.rglob("*")}

    first = numbers(tree)
    assert numbers(mount("--view", "rootfs", "app:1")) == first
    assert len(set(first.values())) == len(first) - 2  # two pairs of hard links


def test_images_share_the_inodes_of_a_layer_that_they_share(imagefs, mount):
    for name in ("a:1", "b:1"):
        archive = OciArchive()
        archive.add_image([layer(file("shared", b"same")), layer(file(name))], name=name)
        imagefs("import", "-", stdin=archive.bytes())
    root = mount() / "images/docker.io/library"
    assert os.stat(root / "a:1/shared").st_ino == os.stat(root / "b:1/shared").st_ino
    assert os.stat(root / "a:1").st_ino != os.stat(root / "b:1").st_ino


def test_a_directory_of_many_entries_lists_each_once(imagefs, mount):
    names = [f"file-{number:05}" for number in range(20_000)]
    archive = OciArchive()
    archive.add_image([layer(*(file(f"wide/{name}") for name in names))], name="wide:1")
    imagefs("import", "-", stdin=archive.bytes())
    assert os.listdir(mount("--view", "rootfs", "wide:1") / "wide") == names


def test_a_sparse_file(imagefs, mount, tmp_path):
    source = tmp_path / "sparse"
    with open(source, "wb") as writer:
        writer.seek(1 << 20)
        writer.write(b"middle")
        writer.truncate(3 << 20)
    for form in (["--format=gnu"], ["--format=posix", "--sparse-version=1.0"]):
        data = subprocess.run(
            ["tar", "--sparse", *form, "-C", tmp_path, "-cf", "-", "sparse"], check=True, capture_output=True
        ).stdout
        archive = OciArchive()
        archive.add_image([data], name="sparse:1")
        imagefs("import", "-q", "-", stdin=archive.bytes())
        found = mount("--view", "rootfs", "sparse:1") / "sparse"
        assert found.read_bytes() == source.read_bytes()
        assert os.stat(found).st_blocks * 512 < 1 << 20


def test_a_file_that_becomes_a_directory_in_one_layer_hides_what_was_below(imagefs, mount):
    archive = OciArchive()
    archive.add_image([layer(file("d/old")), layer(file("d"), directory("d"), file("d/new"))], name="twice:1")
    imagefs("import", "-", stdin=archive.bytes())
    assert os.listdir(mount("--view", "rootfs", "twice:1") / "d") == ["new"]


def test_an_image_without_layers_is_an_empty_tree(imagefs, mount):
    archive = OciArchive()
    archive.add_image([], name="empty:1")
    imagefs("import", "-", stdin=archive.bytes())
    assert os.listdir(mount("--view", "rootfs", "empty:1")) == []


def test_the_same_layer_twice_and_an_empty_layer(imagefs, mount):
    archive = OciArchive()
    archive.add_image([LOWER, layer(), LOWER, b""], name="twice:1")
    imagefs("import", "-", stdin=archive.bytes())
    root = mount("--view", "rootfs", "twice:1")
    assert (root / "d/old").read_bytes() == b"old"
    assert os.stat(root / "one").st_nlink == 3
