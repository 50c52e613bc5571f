"""One store and several users: those of a group, who may all write to it, and others, who may look at most."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.archives import OciArchive, digest_of, file, gzip_layer, uncompressed
from support.command import Result
from support.ordinary import OrdinaryUser, ordinary_user

TEAM, BOB, OUTSIDER = 54400, 54401, 54402
SHARED, OURS, THEIRS = (gzip_layer(file(name, name.encode() * 3000)) for name in ("shared", "ours", "theirs"))


def archive_of(name: str, *layers: bytes) -> bytes:
    archive = OciArchive()
    archive.add_image(layers, name=name)
    return archive.bytes()


@pytest.fixture(scope="module")
def owner(tmp_path_factory) -> Iterator[OrdinaryUser]:
    with ordinary_user(tmp_path_factory.mktemp("shared")) as somebody:
        if not somebody.enter:
            pytest.skip("only root can be two users")
        yield somebody


@dataclass
class Member:
    """Somebody at a store, with a umask."""

    user: OrdinaryUser
    store: Path
    umask: str = "022"

    def __call__(self, *arguments: str | Path, **options) -> Result:
        command = (sys.executable, "-m", "imagefs", "--store", self.store, *arguments)
        return self.user("sh", "-c", 'umask "$0"; exec "$@"', self.umask, *command, **options)

    def start(self, code: str, *arguments: str) -> subprocess.Popen:
        command = self.user.command(sys.executable, "-c", code, str(self.store), *arguments)
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture(params=["setgid", "setgid, closed umask", "umask 002"])
def members(owner, request) -> tuple[Member, Member]:
    """Two of the team, at a store that the team may write to."""
    store = owner.home / request.param.replace(" ", "-")
    root = owner.another(0)
    alice, bob = owner.another(owner.uid, groups=[TEAM]), owner.another(BOB, groups=[TEAM])
    umask = "077" if "closed" in request.param else "022"
    if request.param == "umask 002":
        umask, alice, bob = "002", owner.another(owner.uid, TEAM), owner.another(BOB, TEAM)
    root("mkdir", store)
    root("chown", f"{owner.uid}:{TEAM}", store)
    root("chmod", "2770" if "setgid" in request.param else "770", store)
    yield Member(alice, store, umask), Member(bob, store, umask)
    root("rm", "-r", store)


def names(member: Member) -> list[str]:
    return [image["name"] for image in json.loads(member("images", "--json").out)]


def files(member: Member) -> set[str]:
    found = member.user("find", member.store, "-type", "f", "-not", "-name", "catalog*", "-printf", r"%P\n")
    return set(found.lines)


def test_both_import_look_and_collect(members):
    alice, bob = members
    alice("import", "-", stdin=archive_of("app:1", SHARED, OURS))
    assert bob("cat", "app:1:/ours").out == "ours" * 3000
    bob("import", "-", stdin=archive_of("app:2", SHARED, THEIRS))
    bob("tag", "app:1", "more:1")
    alice("rm", "app:2", "more:1")
    assert names(alice) == names(bob) == ["docker.io/library/app:1"]
    bob("gc", "--unpacked")
    assert alice("cat", "app:1:/shared").out == "shared" * 3000
    alice("import", "--no-unpack", "-", stdin=archive_of("app:3", THEIRS))
    assert bob("cat", "app:3:/theirs").out == "theirs" * 3000
    assert alice("check", "-q").lines == bob("check", "-q").lines == [
        "docker.io/library/app:1", "docker.io/library/app:3",
    ]  # fmt: skip
    alice("rm", "app:1", "app:3")
    bob("gc")
    assert files(alice) == set()


def test_the_other_removes_what_one_has_unpacked(members):
    alice, bob = members
    alice("import", "-", stdin=archive_of("app:1", SHARED))
    alice("gc", "--unpacked")
    bob("cat", "app:1:/shared")
    bob("export", "-o", "/dev/null", "app:1")
    alice("gc", "--unpacked")
    assert not [path for path in files(bob) if path.startswith("layers/")]


HOLD = """
import sys
from imagefs import Store
with Store(sys.argv[1]) as store, store.lease("held") as lease:
    lease.protect("blob", sys.argv[2])
    print(lease.id, flush=True)
    sys.stdin.read()
"""


def test_leases_hold_for_both(members):
    alice, bob = members
    alice("import", "-", stdin=archive_of("app:1", SHARED))
    alice("rm", "app:1")
    blob = f"blobs/{digest_of(SHARED).replace(':', '/')}"
    process = alice.start(HOLD, digest_of(SHARED))
    lease = process.stdout.readline().strip()
    row = json.loads(bob("leases", "ls", "--json").out)[0]
    assert (row["id"], row["state"]) == (lease, "held")
    bob("gc")
    assert files(bob) == {blob, f"leases/{lease}"}
    process.communicate()
    bob("gc")
    assert files(bob) == set()


def test_who_may_only_read_looks_and_exports(owner, members):
    alice, _ = members
    store = alice.store
    alice("import", "-", stdin=archive_of("app:1", SHARED))
    owner.another(0)("chmod", "-R", "o+rX", store)
    outsider = Member(owner.another(OUTSIDER), store)
    assert names(outsider) == ["docker.io/library/app:1"]
    assert outsider("cat", "app:1:/shared").out == "shared" * 3000
    assert len(outsider("export", "-o", "-", "app:1").out) > 1000
    for arguments in (("import", "-"), ("gc",), ("rm", "app:1"), ("leases", "create", "app:1")):
        refused = outsider(*arguments, stdin=archive_of("x:1", OURS), check=False)
        assert refused.status == 1
        said = rf"imagefs: {store}: read-only for {OUTSIDER}, it is ordinary:{TEAM}'s, drwxr"
        assert refused.err.startswith(said.replace("drwxr", "drwxrw")), refused.err
        assert len(refused.err.splitlines()) == 1


def test_who_may_not_even_look_is_told_why(owner, members):
    alice, _ = members
    alice("import", "-", stdin=archive_of("app:1", SHARED))
    refused = Member(owner.another(OUTSIDER), alice.store)("images", check=False)
    assert refused.status == 1
    assert refused.err.startswith(
        f"imagefs: {alice.store}: Permission denied: {alice.store}: it is ordinary:{TEAM}'s, drwxrw"
    )
    assert len(refused.err.splitlines()) == 1


def test_a_part_that_is_not_the_groups_is_named(owner, members):
    alice, bob = members
    alice("import", "-", stdin=archive_of("app:1", SHARED))
    layers = alice.store / "layers"
    owner.another(0)("chmod", "g-w", layers)
    refused = bob("gc", check=False)
    assert refused.status == 1
    assert refused.err.startswith(f"imagefs: {layers}: read-only for {BOB}, it is ordinary:{TEAM}'s, drwxr")
    assert names(bob) == ["docker.io/library/app:1"]


WATCH = """
import sys
from imagefs import Store
with Store(sys.argv[1]) as store:
    version = None
    for _ in sys.stdin:
        changed, version = version != store.catalog.version(), store.catalog.version()
        print(store.read_only, changed, *(record.name for record in store.images()), flush=True)
"""


def test_who_may_only_read_sees_what_others_change(owner, members):
    alice, bob = members
    alice("import", "-", stdin=archive_of("app:1", SHARED))
    root = owner.another(0)
    root("chmod", "-R", "o+rX", alice.store)
    process = Member(owner.another(OUTSIDER), alice.store).start(WATCH)

    def look() -> str:
        process.stdin.write("\n")
        process.stdin.flush()
        return process.stdout.readline().removeprefix("True ").replace("docker.io/library/", "").strip()

    assert look() == "True app:1"
    assert look() == "False app:1"
    bob("tag", "app:1", "app:2")
    assert look() == "True app:1 app:2"
    # Somebody has it open all the time now, and so there is a log.
    writer = alice.start(HOLD, digest_of(SHARED))
    writer.stdout.readline()
    assert look() == "True app:1 app:2"
    bob("tag", "app:1", "app:3")
    assert look() == "True app:1 app:2 app:3"
    assert look() == "False app:1 app:2 app:3"
    writer.communicate()
    bob("rm", "app:1")
    assert look() == "True app:2 app:3"
    process.communicate()


# -- read-only file systems


@pytest.fixture
def read_only(owner) -> Iterator[tuple[Member, Member]]:
    """A store, and the same on a read-only file system."""
    folder = owner.home / "read-only"
    owner("mkdir", owner.home / "writable", folder)
    yield Member(owner, owner.home / "writable"), Member(owner, folder)
    owner.another(0)("umount", "-l", folder, check=False)
    owner("rm", "-r", owner.home / "writable", folder)


def make_read_only(member: Member, source: Member) -> None:
    root = member.user.another(0)
    root("mount", "--bind", source.store, member.store)
    root("mount", "-o", "remount,bind,ro", member.store)


DIE = """
import io, os, sys
from imagefs import Store, import_archive
store = Store(sys.argv[1])
import_archive(store, sys.stdin.buffer)
os._exit(9)
"""


@pytest.mark.parametrize("closed", ["cleanly", "by death", "by death, without its log's index"])
def test_a_store_on_a_read_only_file_system(owner, read_only, closed):
    writable, member = read_only
    data = archive_of("app:1", SHARED, OURS)
    if closed == "cleanly":
        writable("import", "-", stdin=data)
        assert owner("find", writable.store, "-name", "*-wal").lines == []
    else:
        assert owner.python(DIE, writable.store, stdin=data, check=False).status == 9
        assert owner("find", writable.store, "-name", "*-wal", "-size", "+0").lines
        if closed != "by death":
            owner("rm", writable.store / "catalog.sqlite-shm")
    make_read_only(member, writable)
    before = owner("find", writable.store, "-printf", r"%P %s %T@\n").out
    assert names(member) == ["docker.io/library/app:1"]
    assert member("cat", "app:1:/shared").out == "shared" * 3000
    mountpoint = owner.home / "mnt-read-only"
    owner("mkdir", "-p", mountpoint)
    member("mount", mountpoint)
    try:
        assert owner("cat", mountpoint / "images/docker.io/library/app:1/ours").out == "ours" * 3000
        layout = owner("cat", mountpoint / f"blobs/{digest_of(SHARED).replace(':', '/')}", check=False)
        assert layout.status == 0
    finally:
        member("umount", mountpoint)
    member("export", "-o", owner.home / "out.tar", "app:1")
    other = Member(owner, owner.home / "other")
    other("import", owner.home / "out.tar")
    assert names(other) == ["docker.io/library/app:1"]
    owner("rm", "-r", other.store, owner.home / "out.tar")
    for arguments in (("import", "-"), ("gc",), ("tag", "app:1", "app:2"), ("leases", "rm", "x")):
        refused = member(*arguments, stdin=data, check=False)
        assert (refused.status, refused.err) == (1, f"imagefs: {member.store}: on a read-only file system\n")
    assert owner("find", writable.store, "-printf", r"%P %s %T@\n").out == before


def test_what_is_not_unpacked_cannot_be_there(owner, read_only):
    writable, member = read_only
    writable("import", "--no-unpack", "-", stdin=archive_of("app:1", SHARED))
    make_read_only(member, writable)
    refused = member("cat", "app:1:/shared", check=False)
    assert refused.err == (
        f"imagefs: {digest_of(uncompressed(SHARED))}: not unpacked, and it cannot be: {member.store}: on a read-only"
        " file system\n"
    )
    member("export", "-o", "/dev/null", "app:1")


def test_a_live_writer_behind_a_read_only_mount_is_seen(owner, read_only):
    writable, member = read_only
    writable("import", "-", stdin=archive_of("app:1", SHARED))
    make_read_only(member, writable)
    mountpoint = owner.home / "mnt-live"
    owner("mkdir", "-p", mountpoint)
    member("mount", mountpoint)
    try:
        writable("tag", "app:1", "app:2")
        wait = 'for _ in $(seq 100); do [ ! -e "$0" ] || exit 0; sleep 0.1; done; exit 1'
        owner("sh", "-c", wait, mountpoint / "images/docker.io/library/app:2/shared")
    finally:
        member("umount", mountpoint)
