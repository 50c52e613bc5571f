"""An ordinary user imports, mounts and unmounts, with no capability."""

import json
import re
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.archives import OciArchive, character_device, directory, fifo, file, gzip_layer, hardlink, symlink
from support.ordinary import OrdinaryUser, ordinary_user

SECRET = b"secret" * 20_000
ENTRIES = [
    directory("etc", mtime=1_500_000_000),
    file("etc/shadow", SECRET, mode=0o600, gid=42),
    file("etc/unreadable", b"none", mode=0),
    directory("closed", mode=0),
    directory("closed/inner", mode=0o711, uid=33, gid=33),
    file("closed/inner/key", b"key", mode=0o040, uid=33, gid=33),
    directory("tmp", mode=0o1777),
    file("su", b"#!", mode=0o4755),
    file("mail", b"#!", mode=0o2711, uid=8, gid=8),
    hardlink("su-again", "su"),
    symlink("link", "etc/shadow"),
    fifo("pipe", mode=0o200),
    file("note", b"", uid=1000, gid=1000, xattrs={"user.note": b"v"}),
]
DEVICES = [character_device("null", 1, 3, mode=0o666), *ENTRIES]


def archive_of(name: str, *entries) -> bytes:
    archive = OciArchive()
    archive.add_image([gzip_layer(*entries)], name=name)
    return archive.bytes()


@pytest.fixture(scope="module")
def user(tmp_path_factory) -> Iterator[OrdinaryUser]:
    with ordinary_user(tmp_path_factory.mktemp("ordinary")) as somebody:
        somebody.imagefs("import", "-", stdin=archive_of("app:1", *ENTRIES))
        yield somebody


@pytest.fixture
def two_users(user) -> OrdinaryUser:
    if user.enter:
        return user
    pytest.skip("only root can be two users")


@pytest.fixture
def mount(user) -> Iterator[Callable[..., Path]]:
    """Mounts the user's store with the given arguments on a folder in their home; answers it."""
    made: list[Path] = []

    def make(*arguments: str) -> Path:
        folder = Path(user("mktemp", "-d", "-p", user.home, "mnt-XXXX").out.strip())
        made.append(folder)
        user.imagefs("mount", *arguments, folder)
        return folder

    yield make
    for folder in made:
        user("fusermount3", "-u", "-q", "-z", folder, check=False)


def look(user: OrdinaryUser, root: Path) -> dict[str, tuple[int, int, str]]:
    """(uid, gid, mode in octal) of every path below a root, as the user sees it; the root is "."."""
    lines = user("find", root, "-printf", r"%P\t%U\t%G\t%m\n").lines
    rows = [line.split("\t") for line in lines]
    return {path or ".": (int(uid), int(gid), mode) for path, uid, gid, mode in rows}


def status_of(user: OrdinaryUser, process: str) -> dict[str, str]:
    lines = user("cat", f"/proc/{process}/status").lines
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


SERVERS = """
import os, pathlib, sys
for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        command = (process / "cmdline").read_bytes()
    except OSError:
        continue
    if b"imagefs.fuse" in command and os.fsencode(sys.argv[1]) in command and int(process.name) != os.getpid():
        print(process.name)
"""


def servers(user: OrdinaryUser, root: Path) -> list[str]:
    """The processes that serve a mount."""
    return user.python(SERVERS, root).lines


def test_no_capability_and_no_group_is_at_work(user, mount):
    (server,) = servers(user, mount())
    for process in ("self", server):
        status = status_of(user, process)
        assert {status[name].strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {""}
        assert status["Uid"].split() == [str(user.uid)] * 4
        assert status["Gid"].split() == [str(user.gid)] * 4


def test_everything_is_the_mounters_and_can_be_read(user, mount):
    root = mount("--view", "rootfs", "app:1")
    found = look(user, root)
    assert {owners[:2] for owners in found.values()} == {(user.uid, user.gid)}
    assert {path: mode for path, (_, _, mode) in found.items()} == {
        ".": "755",
        "etc": "755",
        "etc/shadow": "600",
        "etc/unreadable": "400",
        "closed": "500",
        "closed/inner": "711",
        "closed/inner/key": "440",
        "tmp": "1777",
        "su": "4755",
        "su-again": "4755",
        "mail": "2711",
        "link": "777",
        "pipe": "600",
        "note": "644",
    }
    assert user("cat", root / "link").out == SECRET.decode()
    assert user("cat", root / "etc/unreadable", root / "closed/inner/key").out == "nonekey"
    assert user.python("import os, sys; print(os.listxattr(sys.argv[1]))", root / "note").out == "['user.note']\n"


def test_the_layout_is_the_mounters(user, mount):
    root = mount()
    assert {owners[:2] for owners in look(user, root).values()} == {(user.uid, user.gid)}
    assert user("stat", "-c", "%a", root / "index.json", root / "blobs").lines == ["644", "755"]


def test_a_setuid_bit_shows_and_does_nothing(user, mount):
    root = mount()
    options = re.search(rf" {re.escape(str(root))} (\S+) .*", user("cat", "/proc/self/mountinfo").out)
    assert options is not None
    assert {"ro", "nosuid", "nodev"} <= set(options[1].split(","))
    assert "allow_other" not in options[0]
    assert f" fuse.imagefs {user.home}/store " in options[0]


@pytest.mark.parametrize("way", ["cp", "tar", "rsync"])
def test_a_whole_tree_can_be_copied(user, mount, way):
    root = mount("--view", "rootfs", "app:1")
    copy = user.home / f"copy-by-{way}"
    if way == "cp":
        user("cp", "-a", root, copy)
    elif way == "rsync":
        if user("rsync", "--version", check=False).status == 127:
            pytest.skip("rsync is not installed")
        user("rsync", "-aHX", f"{root}/", copy)
    else:
        user("mkdir", copy)
        user("sh", "-c", 'tar -C "$1" -cf - . | tar -C "$2" -xpf -', "sh", root, copy)
    found, wanted = look(user, copy), look(user, root)
    assert found == wanted
    user("cmp", copy / "etc/shadow", root / "etc/shadow")
    assert user("stat", "-c", "%h", copy / "su").out == "2\n"
    assert user("stat", "-c", "%Y", copy / "etc").out == "1500000000\n"
    user("chmod", "-R", "u+rwx", copy)
    user("rm", "-r", copy)


def test_owner_image_shows_the_images_owners_and_means_them(user, mount):
    root = mount("-o", "owner=image", "--view", "rootfs", "app:1")
    found = user("stat", "-c", "%u %g %a", *(root / name for name in ("etc/shadow", "closed", "mail", "note"))).lines
    assert found == ["0 42 600", "0 0 0", "8 8 2711", "1000 1000 644"]
    for path in ("etc/shadow", "etc/unreadable", "mail"):
        refused = user("cat", root / path, check=False)
        assert (refused.status, "Permission denied" in refused.err) == (1, True)
    assert "Permission denied" in user("ls", root / "closed", check=False).err
    whole = mount("-o", "owner=image")
    assert user("stat", "-c", "%u %g %a", whole, whole / "blobs", whole / "index.json").lines == [
        "0 0 755", "0 0 755", "0 0 644",
    ]  # fmt: skip


def test_maps(user, mount):
    overflow = int(Path("/proc/sys/kernel/overflowuid").read_text())
    root = mount("-o", f"uidmap=0:{user.uid}:1,uidmap=30:5030:10", "--view", "rootfs", "app:1")
    shown = [root / name for name in ("su", "closed", "mail", "etc/shadow")]
    assert user("stat", "-c", "%u %g %a", *shown).lines == [
        f"{user.uid} 0 4755", f"{user.uid} 0 0", f"{overflow} 8 2711", f"{user.uid} 42 600",
    ]  # fmt: skip
    assert user("cat", root / "etc/shadow").out == SECRET.decode(), "what shows as the user's is the user's"
    root = mount("-o", "gidmap=33:7:1", "-o", "gidmap=0:100000:33", "--view", "rootfs", "app:1")
    assert look(user, root / "etc") == {
        ".": (0, 100000, "755"), "shadow": (0, overflow, "600"), "unreadable": (0, 100000, "0"),
    }  # fmt: skip


@pytest.mark.parametrize("how", ["imagefs umount", "fusermount3 -u", "SIGTERM", "SIGINT"])
def test_unmounting(user, mount, how):
    root = mount()
    (server,) = servers(user, root)
    if how == "imagefs umount":
        user.imagefs("umount", root)
    elif how.startswith("SIG"):
        user("kill", f"-{getattr(signal, how)}", server)
    else:
        user(*how.split(), root)
    end = time.monotonic() + 10
    while (servers(user, root) or str(root) in user("cat", "/proc/self/mountinfo").out) and time.monotonic() < end:
        time.sleep(0.1)
    assert not servers(user, root)
    assert user("ls", root).out == ""
    assert user("ls", user.home / "store/leases").out == ""


def test_nobody_else_enters_not_even_root(two_users, mount):
    root = mount()
    assert "images" in two_users("ls", root).lines
    for uid in (two_users.uid + 2, 0):
        refused = two_users.another(uid)("ls", root, check=False)
        assert (refused.status, "Permission denied" in refused.err) == (2, True)


def test_others_enter_where_the_machine_and_the_user_allow_it(two_users):
    other = two_users.another(two_users.uid + 2)
    folder = two_users.home / "others"
    two_users("mkdir", folder)
    refused = two_users.imagefs("mount", "-o", "allow_other", folder, check=False)
    assert refused.status == 1
    assert refused.err == (
        f"imagefs: {folder}: fusermount3: option allow_other only allowed if 'user_allow_other' is set in "
        "/etc/fuse.conf\n"
    )
    two_users.let_others_in(True)
    try:
        two_users.imagefs("mount", "-o", "allow_other", folder)
        tree = folder / "images/docker.io/library/app:1"
        assert other("head", "-c2", tree / "su").out == "#!"
        assert "Permission denied" in other("cat", tree / "etc/shadow", check=False).err
    finally:
        two_users.let_others_in(False)
        two_users.imagefs("umount", folder, check=False)


def test_a_folder_of_somebody_elses(two_users):
    refused = two_users.imagefs("mount", "/mnt", check=False)
    assert refused.status == 1
    assert re.fullmatch(r"imagefs: /mnt: fusermount3: .*\n", refused.err)


def test_import_export_and_gc(user, tmp_path):
    store = user.home / "other-store"

    def imagefs(*arguments: str | Path, stdin: bytes = b""):
        return user(sys.executable, "-m", "imagefs", "--store", store, *arguments, stdin=stdin)

    data = archive_of("dev:1", *DEVICES)
    assert imagefs("import", "-", stdin=data).lines == ["docker.io/library/dev:1"]
    imagefs("export", "-o", user.home / "out.tar", "dev:1")
    digest = json.loads(imagefs("images", "--json").out)[0]["digest"]
    imagefs("rm", "dev:1")
    imagefs("gc")
    assert user("find", store, "-type", "f", "-not", "-name", "catalog*").out == ""
    assert imagefs("import", user.home / "out.tar").lines == ["docker.io/library/dev:1"]
    assert json.loads(imagefs("images", "--json").out)[0]["digest"] == digest
    assert {row[:2] for row in look(user, store).values()} == {(user.uid, user.gid)}


def test_the_default_store_is_in_the_users_home(user):
    user(sys.executable, "-m", "imagefs", "import", "-", stdin=archive_of("home:1", *ENTRIES))
    assert "docker.io/library/home:1" in user(sys.executable, "-m", "imagefs", "images").out
    user("test", "-e", user.home / ".local/share/imagefs/catalog.sqlite")


PROGRAM = """
import os, sys
import imagefs
with imagefs.Store(sys.argv[1]) as store, imagefs.mounted(store, "app:1", options=sys.argv[2:]) as root:
    print(os.stat(root / "mail").st_uid, oct(os.stat(root / "etc/unreadable").st_mode))
print(root.exists())
"""


@pytest.mark.parametrize(
    ("options", "owner", "mode"), [([], None, 0o400), (["owner=image"], 8, 0), (["uidmap=0:100:9"], 108, 0)]
)
def test_a_program_mounts(user, options, owner, mode):
    done = user.python(PROGRAM, user.home / "store", *options)
    expected = user.uid if owner is None else owner
    assert done.lines == [f"{expected} {oct(stat.S_IFREG | mode)}", "False"]


def test_a_program_is_refused_what_is_wrong(user):
    done = user.python(PROGRAM, user.home / "store", "owner=foo", check=False)
    assert done.err.splitlines()[-1] == "imagefs.errors.MountError: 'owner=foo': owner is image or me"
