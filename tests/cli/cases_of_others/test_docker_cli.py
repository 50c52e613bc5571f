"""The cases of docker/cli's tests of `docker image save`, `load` and `import`: release 29."""

import os
from pathlib import Path

import pytest
from support.archives import AMD64, ARM64
from support.cases import Cases, lines
from support.command import Imagefs
from support.exported import names
from support.special_images import RISCV64, multi_platform
from support.stored import platforms
from support.terminals import with_terminal

LOAD = Cases(
    "docker/cli",
    "cli/command/image/load_test.go",
    lines("""
        TestNewLoadCommandErrors/wrong-args
        TestNewLoadCommandErrors/input-to-terminal
        TestNewLoadCommandErrors/pull-error
        TestNewLoadCommandErrors/invalid platform
        TestNewLoadCommandInvalidInput
        TestNewLoadCommandSuccess/simple
        TestNewLoadCommandSuccess/input-file
        TestNewLoadCommandSuccess/with-single-platform
        TestNewLoadCommandSuccess/with-comma-separated-platforms
        TestNewLoadCommandSuccess/with-multiple-platform-options
    """),
)
SAVE = Cases(
    "docker/cli",
    "cli/command/image/save_test.go",
    lines("""
        TestNewSaveCommandErrors/wrong args
        TestNewSaveCommandErrors/output to terminal
        TestNewSaveCommandErrors/ImageSave fail
        TestNewSaveCommandErrors/output directory does not exist
        TestNewSaveCommandErrors/output file is irregular
        TestNewSaveCommandErrors/invalid platform
        TestNewSaveCommandSuccess/-o save_tmp_file arg1
        TestNewSaveCommandSuccess/arg1 arg2
        TestNewSaveCommandSuccess/--platform linux/amd64 arg1
        TestNewSaveCommandSuccess/--platform linux/amd64,linux/arm64/v8,linux/riscv64 arg1
        TestNewSaveCommandSuccess/--platform linux/amd64 --platform linux/arm64/v8 --platform linux/riscv64 arg1
    """),
)
IMPORT = Cases(
    "docker/cli",
    "cli/command/image/import_test.go",
    lines("""
        TestNewImportCommandErrors/wrong-args
        TestNewImportCommandErrors/import-failed
        TestNewImportCommandInvalidFile
        TestNewImportCommandSuccess/simple
        TestNewImportCommandSuccess/terminal-source
        TestNewImportCommandSuccess/double
        TestNewImportCommandSuccess/message
        TestNewImportCommandSuccess/change
        TestNewImportCommandSuccess/change legacy syntax
    """),
)

THREE = ["linux/amd64", "linux/arm64/v8", "linux/riscv64"]
ARCHIVE = multi_platform(AMD64, ARM64, RISCV64, name="arg1:latest").bytes()


@pytest.fixture
def command(imagefs) -> Imagefs:
    """The same as a process, for its exit status."""
    return Imagefs(imagefs.store)


# -- load


@LOAD.table(
    "refused, as there",
    ("arguments", "said"),
    {
        "TestNewLoadCommandErrors/wrong-args": (["arg"], "unexpected extra argument"),
        "TestNewLoadCommandErrors/invalid platform": (["--platform", "<invalid>"], "platform"),
    },
)
def test_wrong_usage_of_load(command, arguments, said):
    result = command("load", *arguments, check=False)
    assert result.status == 2
    assert said in result.err


@LOAD.case("refused, as there", "TestNewLoadCommandErrors/input-to-terminal")
def test_loading_from_a_terminal(imagefs):
    status, said = with_terminal(imagefs, "stdin", "load")
    assert status == 2
    assert "standard input is a terminal; use -i FILE or a pipe" in said


@LOAD.case("one line and exit status 1", "TestNewLoadCommandErrors/pull-error")
def test_loading_what_cannot_be_loaded(imagefs):
    result = imagefs("load", stdin=b"something wrong", check=False)
    assert result.status == 1
    assert result.err.count("\n") == 1


@LOAD.case("the same", "TestNewLoadCommandInvalidInput")
def test_loading_from_a_file_that_is_not_there(command):
    result = command("load", "--input", "*", check=False)
    assert (result.status, result.err) == (1, "imagefs: *: No such file or directory\n")


@LOAD.table(
    "the same, and it says what is loaded",
    ("options", "expected"),
    {
        "TestNewLoadCommandSuccess/simple": ([], THREE),
        "TestNewLoadCommandSuccess/input-file": (["--input", "{file}"], THREE),
        "TestNewLoadCommandSuccess/with-single-platform": (["--platform", "linux/amd64"], THREE[:1]),
        "TestNewLoadCommandSuccess/with-comma-separated-platforms": (["--platform", ",".join(THREE)], THREE),
        "TestNewLoadCommandSuccess/with-multiple-platform-options": (
            ["--platform", THREE[0], "--platform", THREE[1], "--platform", THREE[2]],
            THREE,
        ),
    },
)
def test_loading(imagefs, tmp_path, options, expected):
    (tmp_path / "in.tar").write_bytes(ARCHIVE)
    given = [option.format(file=tmp_path / "in.tar") for option in options]
    result = imagefs("load", *given, stdin=b"" if "--input" in given else ARCHIVE)
    assert result.lines == ["Loaded image: arg1:latest"]
    assert platforms(imagefs, "docker.io/library/arg1:latest") == expected


# -- save


@SAVE.table(
    "refused, as there",
    ("arguments", "said"),
    {
        "TestNewSaveCommandErrors/wrong args": ([], "Missing argument"),
        "TestNewSaveCommandErrors/ImageSave fail": (["arg2"], "arg2: no such image"),
        "TestNewSaveCommandErrors/output directory does not exist": (
            ["-o", "fake-dir/out.tar", "arg1"],
            "fake-dir/out.tar: No such file or directory",
        ),
        "TestNewSaveCommandErrors/invalid platform": (["--platform", "<invalid>", "arg1"], "platform"),
    },
)
def test_wrong_usage_of_save(imagefs, command, arguments, said):
    imagefs("load", "-q", stdin=ARCHIVE)
    result = command("save", *arguments, check=False)
    assert result.status != 0
    assert result.out == ""
    assert said in result.err
    assert "Traceback" not in result.err


@SAVE.case("refused, as there", "TestNewSaveCommandErrors/output to terminal")
def test_saving_to_a_terminal(imagefs):
    imagefs("load", "-q", stdin=ARCHIVE)
    status, said = with_terminal(imagefs, "stdout", "save", "arg1")
    assert status == 2
    assert "an archive does not go to a terminal" in said


@SAVE.case(
    "written to: a device or a pipe gets the archive and is not replaced",
    "TestNewSaveCommandErrors/output file is irregular",
)
def test_saving_to_a_device(imagefs):
    imagefs("load", "-q", stdin=ARCHIVE)
    imagefs("save", "-o", "/dev/null", "arg1")
    assert Path("/dev/null").is_char_device()


@SAVE.table(
    "the same",
    ("options", "expected"),
    {
        "TestNewSaveCommandSuccess/-o save_tmp_file arg1": ([], THREE),
        "TestNewSaveCommandSuccess/--platform linux/amd64 arg1": (["--platform", "linux/amd64"], THREE[:1]),
        "TestNewSaveCommandSuccess/--platform linux/amd64,linux/arm64/v8,linux/riscv64 arg1": (
            ["--platform", ",".join(THREE)],
            THREE,
        ),
        "TestNewSaveCommandSuccess/--platform linux/amd64 --platform linux/arm64/v8 --platform linux/riscv64 arg1": (
            ["--platform", THREE[0], "--platform", THREE[1], "--platform", THREE[2]],
            THREE,
        ),
    },
)
def test_saving(imagefs, other, path, options, expected):
    imagefs("load", "-q", stdin=ARCHIVE)
    imagefs("save", *options, "-o", path, "arg1")
    other("load", "-q", "-i", path)
    assert platforms(other, "docker.io/library/arg1:latest") == expected


@SAVE.case("the same", "TestNewSaveCommandSuccess/arg1 arg2")
def test_saving_two_images_to_standard_output(imagefs, command, path):
    imagefs("load", "-q", stdin=ARCHIVE)
    imagefs("tag", "arg1", "arg2")
    path.write_bytes(os.fsencode(command("save", "arg1", "arg2").out))
    assert names(path) == ["docker.io/library/arg1:latest", "docker.io/library/arg2:latest"]


IMPORT.without(
    "`docker import` makes an image of a file system's tar, which imagefs does not: it makes no images", *IMPORT.names
)


@pytest.mark.parametrize("cases", [LOAD, SAVE, IMPORT], ids=lambda each: each.path)
def test_every_case_has_one_answer(cases):
    assert cases.unaccounted() == []
