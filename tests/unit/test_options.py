"""The `-o` list: what it says, and what it cannot say."""

import os
import stat
from pathlib import Path

import pytest

from imagefs.errors import MountError
from imagefs.fuse.options import MountOptions, escaped, parse
from imagefs.fuse.request import MountRequest
from imagefs.tree.filesystem import Attributes
from imagefs.tree.owners import IdRange


def test_nothing_said():
    assert parse([]) == parse([""]) == parse([",", ",,"]) == MountOptions()


def test_ours_and_the_rest_in_its_order():
    assert parse(["max_read=4096", "provenance", "ro,layers", "debug"]) == MountOptions(
        provenance=True, layers=True, passed_on=("max_read=4096", "ro", "debug")
    )
    assert parse(["verify"]) == MountOptions(verify=True)
    assert parse(["noxattr,ro"]) == MountOptions(noxattr=True, passed_on=("ro",))


def test_a_backslash_keeps_a_comma_and_goes_on_with_it():
    assert parse([r"fsname=a\,b,ro", r"fsname=c\\,suid", "x\\"]).passed_on == (
        r"fsname=a\,b", "ro", r"fsname=c\\", "suid", "x\\",
    )  # fmt: skip


@pytest.mark.parametrize("value", ["plain", "a,b", "back\\slash", "\\,", "end\\", "new\nline"])
def test_what_is_escaped_is_one_option(value):
    assert parse([f"ro,fsname={escaped(value)},debug"]).passed_on == ("ro", f"fsname={escaped(value)}", "debug")


def test_maps_add_up_and_the_last_owner_counts():
    options = parse(["uidmap=0:100000:1000,owner=me", "uidmap=1000:5:1,gidmap=0:7:1", "owner=image"])
    assert options.owner == "image"
    assert options.uidmap == (IdRange(0, 100_000, 1000), IdRange(1000, 5, 1))
    assert options.gidmap == (IdRange(0, 7, 1),)


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        (["owner=foo"], "'owner=foo': owner is image or me"),
        (["owner"], "'owner': owner is image or me"),
        (["owner="], "'owner=': owner is image or me"),
        (["owner=\n"], r"'owner=\n': owner is image or me"),
        (["noxattr=1"], "'noxattr=1': noxattr takes no value"),
        (["layers="], "'layers=': layers takes no value"),
        (["verify=1"], "'verify=1': verify takes no value"),
        (["uidmap"], "'uidmap': a map is INSIDE:OUTSIDE:COUNT, three numbers"),
        (["uidmap=1:2"], "'uidmap=1:2': a map is INSIDE:OUTSIDE:COUNT, three numbers"),
        (["gidmap=1:2:3:4"], "'gidmap=1:2:3:4': a map is INSIDE:OUTSIDE:COUNT, three numbers"),
        (["gidmap=1:2:-3"], "'gidmap=1:2:-3': a map is INSIDE:OUTSIDE:COUNT, three numbers"),
        (["gidmap=1:2:3\n"], r"'gidmap=1:2:3\n': a map is INSIDE:OUTSIDE:COUNT, three numbers"),
        (["gidmap=1:2:٣"], "'gidmap=1:2:٣': a map is INSIDE:OUTSIDE:COUNT, three numbers"),
        (["gidmap=root:0:1"], "'gidmap=root:0:1': a map is INSIDE:OUTSIDE:COUNT, three numbers"),
        (["uidmap=0:0:0"], "'uidmap=0:0:0': a map of no ids"),
        (["uidmap=0:0:4294967296"], "'uidmap=0:0:4294967296': there is no id above 4294967294"),
        (["uidmap=4294967295:0:1"], "'uidmap=4294967295:0:1': there is no id above 4294967294"),
        (["uidmap=0:4294967290:6"], "'uidmap=0:4294967290:6': there is no id above 4294967294"),
        (["uidmap=0:0:10,uidmap=9:100:1"], "uidmap=0:0:10 and uidmap=9:100:1 overlap inside"),
        (["gidmap=0:0:10,gidmap=10:9:1"], "gidmap=0:0:10 and gidmap=10:9:1 overlap outside"),
        (["gidmap=5:5:1", "gidmap=5:5:1"], "gidmap=5:5:1 and gidmap=5:5:1 overlap inside"),
        (["owner=me,uidmap=0:0:1"], "owner=me and uidmap= exclude each other"),
        (["gidmap=0:0:1", "owner=me"], "owner=me and gidmap= exclude each other"),
    ],
)
def test_wrong_values(groups, reason):
    with pytest.raises(MountError) as caught:
        parse(groups)
    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize("groups", [["uidmap=0:0:4294967295"], ["uidmap=4294967294:4294967294:1"]])
def test_the_highest_ids(groups):
    assert parse(groups).uidmap


def test_ranges_that_touch_do_not_overlap():
    assert len(parse(["uidmap=0:100:10,uidmap=10:110:10,uidmap=20:0:100"]).uidmap) == 3


FILE = Attributes(9, stat.S_IFREG | 0o2000, uid=1, gid=2)


def shown(groups: list[str]) -> tuple[int, int, int]:
    change = parse(groups).owners()
    attributes = FILE if change is None else change(FILE)
    return attributes.uid, attributes.gid, attributes.mode & 0o7777


@pytest.fixture
def as_user(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setattr(os, "getgid", lambda: 100)


@pytest.fixture
def as_root(monkeypatch):
    for name in ("geteuid", "getuid", "getgid"):
        monkeypatch.setattr(os, name, lambda: 0)


def test_a_user_sees_files_of_their_own(as_user):
    assert shown([]) == shown(["owner=me"]) == (1000, 100, 0o2400)
    assert shown(["owner=image"]) == (1, 2, 0o2000)


def test_root_sees_the_images_owners(as_root):
    assert parse([]).owners() is parse(["owner=image"]).owners() is None, "nothing to do for each file"
    assert shown(["owner=me"]) == (0, 0, 0o2400)


def test_a_map_alone_means_the_images_owners_through_it(as_user):
    overflow = int(Path("/proc/sys/kernel/overflowuid").read_text())
    assert shown(["uidmap=0:100:10"]) == (101, 2, 0o2000)
    assert shown(["uidmap=0:100:1"]) == shown(["owner=image,uidmap=0:100:1"]) == (overflow, 2, 0o2000)
    assert shown(["gidmap=2:7:1"]) == (1, 7, 0o2000)


def test_a_program_is_told_too(tmp_path):
    with pytest.raises(MountError, match="owner is image or me"):
        MountRequest(str(tmp_path), str(tmp_path), options=("owner=foo",)).check()
