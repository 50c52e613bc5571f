"""`imagefs mount -o`: what is wrong usage is told before anything is looked for or mounted."""

import os

import pytest


@pytest.mark.parametrize(
    "options",
    [
        ["owner=foo"],
        ["owner"],
        ["uidmap=1:2"],
        ["uidmap=a:b:c"],
        ["gidmap=0:0:0"],
        ["gidmap=0:4294967290:100"],
        ["noxattr=yes"],
        ["ro,uidmap=0:0:10,uidmap=5:100:1"],
        ["gidmap=0:0:10", "gidmap=10:5:1"],
        ["owner=me,uidmap=0:1000:1"],
        ["gidmap=0:1000:1", "owner=me"],
    ],
)
def test_wrong_usage_is_one_line_and_status_2(imagefs, tmp_path, options):
    folder = tmp_path / "mnt"
    folder.mkdir()
    arguments = [argument for each in options for argument in ("-o", each)]
    result = imagefs("mount", *arguments, folder, check=False)
    assert (result.status, result.out) == (2, "")
    (line,) = result.err.splitlines()
    assert line.startswith("Error: -o ")
    assert not os.path.ismount(folder)
    assert not imagefs.store.exists()


def test_wrong_usage_comes_before_a_folder_that_is_not_there(imagefs):
    assert imagefs("mount", "-o", "owner=foo", "nowhere", check=False).status == 2


def test_control_characters_are_not_printed(imagefs):
    result = imagefs("mount", "-o", "owner=\x1b[31m\n", "nowhere", check=False)
    assert result.err == "Error: -o 'owner=\\x1b[31m\\n': owner is image or me\n"
