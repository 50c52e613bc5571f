"""The cases of moby's tests of `docker save`, `load` and `import`, and of its client: releases 28.5 and 29."""

import json
import lzma
import os

import pytest
from support.archives import docker_archive, file, gzip_data, layer
from support.cases import Cases, lines
from support.command import Imagefs
from support.docker_v1 import V1Archive, image_id
from support.exported import blobs, entries, members, names
from support.special_images import multi_layer
from support.stored import digests
from support.terminals import with_terminal

SAVE_LOAD = Cases(
    "moby",
    "integration-cli/docker_cli_save_load_test.go",
    lines("""
        TestSaveXzAndLoadRepoStdout
        TestSaveXzGzAndLoadRepoStdout
        TestSaveSingleTag
        TestSaveImageId
        TestSaveAndLoadRepoFlags
        TestSaveWithNoExistImage
        TestSaveMultipleNames
        TestLoadZeroSizeLayer
        TestSaveLoadParents
        TestSaveLoadNoTag
    """),
)
UNIX = Cases(
    "moby",
    "integration-cli/docker_cli_save_load_unix_test.go",
    ["TestSaveAndLoadRepoStdout", "TestSaveAndLoadWithProgressBar", "TestLoadNoStdinFail"],
)
EVENTS = Cases("moby", "integration-cli/docker_cli_events_test.go", ["TestEventsImageLoad"])
"""The one of its tests that is about archives."""

IMPORT = Cases(
    "moby",
    "integration-cli/docker_cli_import_test.go",
    lines("""
        TestImportDisplay
        TestImportBadURL
        TestImportFile
        TestImportGzipped
        TestImportFileWithMessage
        TestImportFileNonExistentFile
        TestImportWithQuotedChanges
    """),
)
IMPORT_DAEMON = Cases(
    "moby",
    "integration/image/import_test.go",
    lines("""
        TestImportExtremelyLargeImageWorks
        TestImportWithCustomPlatform
        TestImportWithCustomPlatformReject/whitespace-only platform
        TestImportWithCustomPlatformReject/valid, but unsupported os
        TestImportWithCustomPlatformReject/valid, but unsupported os/arch
        TestImageImportBadSrc/missing file via full URL
        TestImageImportBadSrc/missing file via trimmed URL
        TestImageImportBadSrc/encoded path via trimmed URL
        TestImageImportBadSrc/encoded absolute path
    """),
)
CLIENT_LOAD = Cases(
    "moby",
    "client/image_load_test.go",
    lines("""
        TestImageLoadError
        TestImageLoad/no options
        TestImageLoad/quiet
        TestImageLoad/with platform
        TestImageLoad/multiple platforms
        TestImageLoad/plain-text
        TestImageLoad/json quiet
        TestImageLoad/json with platform
        TestImageLoad/json with multiple platforms
    """),
)
CLIENT_SAVE = Cases(
    "moby",
    "client/image_save_test.go",
    lines("""
        TestImageSaveError
        TestImageSave/no platform
        TestImageSave/platform
        TestImageSave/multiple platforms
    """),
)
CLIENT_IMPORT = Cases(
    "moby",
    "client/image_import_test.go",
    lines("""
        TestImageImportError
        TestImageImport/no options
        TestImageImport/change options
        TestImageImport/with platform
    """),
)

NAME = "foobar-save-load-test"


def load(imagefs: Imagefs, *tags: str) -> str:
    """Loads one image with each of these names; answers its digest."""
    archive = multi_layer(tags[0])
    for tag in tags[1:]:
        archive.name({**archive.manifests[0], "annotations": {}}, name=f"docker.io/library/{tag}")
    imagefs("load", "-q", stdin=archive.bytes())
    return archive.manifests[0]["digest"]


# -- docker_cli_save_load_test.go


@SAVE_LOAD.case("refused, as there", "TestSaveXzAndLoadRepoStdout", "TestSaveXzGzAndLoadRepoStdout")
def test_an_archive_that_is_compressed_twice(imagefs, path):
    load(imagefs, NAME)
    imagefs("save", NAME, "-o", path)
    imagefs("rm", NAME)
    packed = gzip_data(lzma.compress(path.read_bytes()))
    result = imagefs("load", "-q", stdin=packed, check=False)
    assert result.status == 1
    assert "not an image archive of a known format" in result.err
    assert f"docker.io/library/{NAME}:latest" not in digests(imagefs)


@SAVE_LOAD.case("the same", "TestSaveSingleTag")
def test_one_tag(imagefs, path):
    digest = load(imagefs, "busybox:latest", f"{NAME}:latest")
    imagefs("save", f"{NAME}:latest", "-o", path)
    assert {"index.json", "manifest.json"} < set(members(path))
    assert digest in blobs(path)
    assert names(path) == [f"docker.io/library/{NAME}:latest"]


@SAVE_LOAD.case("the same, and with the whole digest, too", "TestSaveImageId")
def test_a_short_digest(imagefs, path):
    digest = load(imagefs, f"{NAME}:latest")
    for text in (digest[7:19], digest[7:], digest):
        imagefs("save", text, "-o", path)
        assert [each["digest"] for each in entries(path)] == [digest]
        assert names(path) == [None]


@SAVE_LOAD.case("the same: nothing is different after it", "TestSaveAndLoadRepoFlags")
def test_loading_what_was_saved(imagefs, path):
    load(imagefs, NAME)
    before = imagefs("inspect", "--json", NAME).out
    imagefs("save", NAME, "-o", path)
    imagefs("load", "-q", "-i", path)
    assert imagefs("inspect", "--json", NAME).out == before


@SAVE_LOAD.case("an error, as there, and no file", "TestSaveWithNoExistImage")
def test_an_image_that_is_not_there(imagefs, path):
    result = imagefs("save", "-o", path, "foobar-non-existing-image", check=False)
    assert (result.status, result.err) == (1, "imagefs: foobar-non-existing-image: no such image\n")
    assert not path.exists()


@SAVE_LOAD.case("the same: both names in one archive, and the blobs once", "TestSaveMultipleNames")
def test_several_names(imagefs, path):
    digest = load(imagefs, f"{NAME}-one:latest", f"{NAME}-two:latest")
    imagefs("save", f"{NAME}-one", f"{NAME}-two:latest", "-o", path)
    assert names(path) == [f"docker.io/library/{NAME}-{each}:latest" for each in ("one", "two")]
    assert {each["digest"] for each in entries(path)} == {digest}


@SAVE_LOAD.case(
    "loaded: a layer of no bytes is one without entries; the test there is skipped", "TestLoadZeroSizeLayer"
)
def test_a_layer_of_no_bytes(imagefs):
    archive = V1Archive()
    base = archive.add("base", b"")
    archive.add("top", layer(file("top")), parent=base)
    archive.repositories = {"old": {"1": image_id("top")}}
    assert imagefs("load", "-q", stdin=archive.bytes()).lines == ["Loaded image: old:1"]
    assert imagefs("ls", "old:1:/").lines == ["top"]
    data = docker_archive([([b"", layer(file("top"))], ["new:1"])])
    assert imagefs("load", "-q", stdin=data).lines == ["Loaded image: new:1"]
    assert imagefs("ls", "new:1:/").lines == ["top"]


SAVE_LOAD.without(
    "an image has no parent here, nor with containerd's store, where the test is skipped", "TestSaveLoadParents"
)


@SAVE_LOAD.case("the same output", "TestSaveLoadNoTag")
def test_what_load_says(imagefs, other, path):
    digest = load(imagefs, "saveloadnotag")
    imagefs("save", digest, "-o", path)
    assert other("load", "-i", path).lines == [f"Loaded image ID: {digest}"]
    imagefs("save", "saveloadnotag", "-o", path)
    assert other("load", "-i", path).lines == ["Loaded image: saveloadnotag:latest"]
    assert list(digests(other)) == ["docker.io/library/saveloadnotag:latest"]


# -- docker_cli_save_load_unix_test.go


@UNIX.case("the same, through standard output and input; a terminal is refused", "TestSaveAndLoadRepoStdout")
def test_saving_to_standard_output(imagefs, other):
    digest = load(imagefs, NAME)
    saved = os.fsencode(Imagefs(imagefs.store)("save", NAME).out)
    assert other("load", stdin=saved).lines == [f"Loaded image: {NAME}:latest"]
    assert digests(other) == {f"docker.io/library/{NAME}:latest": digest}
    status, said = with_terminal(imagefs, "stdout", "save", NAME)
    assert status == 2
    assert "an archive does not go to a terminal" in said


@UNIX.case("the same in our words, on standard error", "TestSaveAndLoadWithProgressBar")
def test_a_name_that_moves(imagefs, path):
    digest = load(imagefs, "test-load")
    imagefs("save", "test-load", "-o", path)
    old = multi_layer("test-load", busybox=b"1")
    imagefs("load", "-q", stdin=old.bytes())
    result = imagefs("load", "-i", path)
    before = old.manifests[0]["digest"]
    assert f"docker.io/library/test-load:latest: moved here from {before}" in result.err
    assert digests(imagefs) == {"docker.io/library/test-load:latest": digest, before: before}


@UNIX.case("the same: nothing is waited for", "TestLoadNoStdinFail")
def test_loading_from_a_terminal(imagefs):
    status, said = with_terminal(imagefs, "stdin", "load")
    assert status == 2
    assert "standard input is a terminal; use -i FILE or a pipe" in said


# -- docker_cli_events_test.go


@EVENTS.case("the same event for what is loaded; none for what is saved, as it changes nothing", "TestEventsImageLoad")
def test_an_event(imagefs, path):
    digest = load(imagefs, "footest:v1")
    imagefs("save", "footest:v1", "-o", path)
    imagefs("rm", "footest:v1")
    imagefs("load", "-q", "-i", path)
    events = [json.loads(line) for line in imagefs("events", "--since", "1h", "--until", "0s").lines]
    assert [each["action"] for each in events] == ["load", "untag", "delete", "load"]
    assert events[-1].items() >= {"name": "docker.io/library/footest:v1", "digest": digest}.items()


# -- what has no meaning here

_FILE_SYSTEM = "`docker import` makes an image of a file system's tar, which imagefs does not: it makes no images"
IMPORT.without(_FILE_SYSTEM, *IMPORT.names)
IMPORT_DAEMON.without(_FILE_SYSTEM, *IMPORT_DAEMON.names)
CLIENT_IMPORT.without(_FILE_SYSTEM, *CLIENT_IMPORT.names)
_HTTP = (
    "a request over HTTP: imagefs has no daemon; the options themselves are in docker's command, see test_docker_cli"
)
CLIENT_LOAD.without(_HTTP, *CLIENT_LOAD.names)
CLIENT_SAVE.without(_HTTP, *CLIENT_SAVE.names)


@pytest.mark.parametrize(
    "cases",
    [SAVE_LOAD, UNIX, EVENTS, IMPORT, IMPORT_DAEMON, CLIENT_LOAD, CLIENT_SAVE, CLIENT_IMPORT],
    ids=lambda each: each.path,
)
def test_every_case_has_one_answer(cases):
    assert cases.unaccounted() == []
