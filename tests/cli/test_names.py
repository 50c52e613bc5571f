"""`tag`, `label`, `rm`, `prune`, and `gc` after them."""

import json
import os
import pty
import subprocess
import sys

import pytest
from support.archives import OciArchive, file, gzip_layer
from support.inside import InsideImagefs

from imagefs import Store

LAYER = gzip_layer(file("a", b"a"))
APP, DEBIAN = "docker.io/library/app:1", "localhost/debian-12:12"


@pytest.fixture
def app(tmp_path):
    imagefs = InsideImagefs(tmp_path / "store")
    archive = OciArchive()
    archive.add_image([LAYER], name="app:1")
    archive.add_image([LAYER, gzip_layer(file("b"))], name=DEBIAN)
    imagefs("import", "-", stdin=archive.bytes())
    return imagefs


def digests(app) -> dict[str, str]:
    """The digest of each image by its name."""
    with Store(app.store) as store:
        return {record.name: record.target.digest for record in store.images()}


def blobs(app) -> list[str]:
    return [path for path in app.files() if path.startswith("blobs/")]


def usage_error(app, *arguments: str) -> str:
    """What a command says that is wrong usage, and ends with 2 for."""
    command = [sys.executable, "-m", "imagefs", "--store", str(app.store), *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def held_by_a_mount(store: Store, name: str):
    """The lease of a mount of one image."""
    target = store.find_image(name).target
    lease = store.lease("mount /nowhere")
    lease.protect(target.media_type, target.digest)
    return lease


# -- tag


def test_tag_gives_several_names(app):
    before = digests(app)[APP]
    assert app("tag", "app:1", "quay.io/x/app", "app:2").lines == ["quay.io/x/app:latest", "docker.io/library/app:2"]
    assert digests(app) == {
        APP: before,
        "docker.io/library/app:2": before,
        "quay.io/x/app:latest": before,
        DEBIAN: digests(app)[DEBIAN],
    }


def test_the_name_of_another_image_is_refused_and_no_other_is_given(app):
    before = digests(app)
    result = app("tag", "app:1", "new:1", DEBIAN, check=False)
    assert result.status == 1
    assert result.err == f"imagefs: {DEBIAN}: the name of another image, {before[DEBIAN]}; --force moves it\n"
    assert digests(app) == before


def test_with_force_the_name_moves_and_the_other_image_dangles(app):
    before = digests(app)
    result = app("tag", "-f", "app:1", DEBIAN)
    assert result.lines == [DEBIAN]
    assert result.err == f"{DEBIAN}: moved here from {before[DEBIAN]}\n"
    assert digests(app) == {APP: before[APP], DEBIAN: before[APP], before[DEBIAN]: before[DEBIAN]}


def test_the_same_name_again_is_no_error(app):
    before = digests(app)
    assert app("tag", "app:1", "app:1").lines == [APP]
    assert digests(app) == before


def test_a_dangling_image_gets_names(app):
    digest = digests(app)[DEBIAN]
    app("tag", "-f", "app:1", DEBIAN)
    app("label", digest, "kept=yes")
    app("tag", digest[7:19], "debian:1", "debian:2")
    assert set(digests(app)) == {APP, DEBIAN, "docker.io/library/debian:1", "docker.io/library/debian:2"}
    assert app("label", "debian:2").lines == ["kept=yes"]


def test_labels_go_with_the_name(app):
    app("label", "app:1", "a=1")
    app("tag", "app:1", "app:2")
    app("label", "app:1", "a=2")
    assert app("label", "app:2").lines == ["a=1"]
    app("tag", "app:1", "app:2")  # which has it already
    assert app("label", "app:2").lines == ["a=1"]
    app("tag", "--force", "app:1", DEBIAN)
    assert app("label", DEBIAN).lines == ["a=2"]


def test_a_name_with_the_digest_of_another_image_is_refused(app):
    before = digests(app)
    app("tag", "app:1", f"app@{before[APP]}")
    assert f"docker.io/library/app@{before[APP]}" in digests(app)
    result = app("tag", "app:1", f"app@{before[DEBIAN]}", check=False)
    assert (result.status, result.lines) == (1, [])
    assert result.err == f"imagefs: docker.io/library/app@{before[DEBIAN]}: the image has the digest {before[APP]}\n"


@pytest.mark.parametrize(("image", "name"), [("app:1", "App"), ("nowhere", "new:1")])
def test_tags_that_cannot_be(app, image, name):
    before = digests(app)
    assert app("tag", image, name, check=False).status == 1
    assert digests(app) == before


# -- label


def test_labels(app):
    assert app("label", "app:1").lines == []
    assert app("label", "app:1", "b=2", "a=x=y").lines == ["a=x=y", "b=2"]
    assert app("label", "app:1", "b=", "never=").lines == ["a=x=y"]
    assert app("label", "app:1", "c=3", "--replace-all").lines == ["c=3"]
    assert app("label", "app:1").lines == ["c=3"]
    assert app("label", DEBIAN).lines == []
    assert app("label", "app:1", "-r").lines == []


def test_labels_steer_no_terminal(app):
    app("label", "app:1", "a=\x1b[31m\nb=2")
    assert app("label", "app:1").lines == ["a=\\x1b[31m\\x0ab=2"]


def test_a_label_is_as_long_as_containerd_takes(app):
    assert app("label", "app:1", "key=" + "v" * 4093).lines == ["key=" + "v" * 4093]
    result = app("label", "app:1", "other=1", "key=" + "ü" * 2047, check=False)
    assert result.status == 1
    assert result.err == "imagefs: label 'key': 4097 bytes with its value, more than 4096\n"
    assert app("label", "app:1").lines == ["key=" + "v" * 4093]


@pytest.mark.parametrize("label", ["key", "=value"])
def test_labels_that_are_none(app, label):
    assert "is not KEY=VALUE" in usage_error(app, "label", "app:1", label)


# -- rm


def test_rm_of_a_name_that_is_the_last(app):
    digest = digests(app)[APP]
    assert app("rm", "app:1").lines == [f"untagged {APP}", f"deleted {digest}"]
    assert list(digests(app)) == [DEBIAN]


def test_rm_of_a_name_that_is_not_the_last(app):
    app("tag", "app:1", "app:2")
    assert app("rm", "app:1").lines == [f"untagged {APP}"]
    assert set(digests(app)) == {"docker.io/library/app:2", DEBIAN}


@pytest.mark.parametrize("part", [slice(None), slice(0, 15), slice(7, 11)])
def test_rm_by_digest_untags_first(app, part):
    digest = digests(app)[APP]
    app("tag", "app:1", "app:2")
    assert app("rm", digest[part]).lines == [
        f"untagged {APP}",
        "untagged docker.io/library/app:2",
        f"deleted {digest}",
    ]
    assert list(digests(app)) == [DEBIAN]


def test_rm_by_digest_of_names_in_several_repositories_takes_force(app):
    before = digests(app)
    app("tag", "app:1", "quay.io/x/app:1")
    result = app("rm", before[APP], check=False)
    assert result.status == 1
    assert "has names in several repositories, docker.io/library/app:1, quay.io/x/app:1" in result.err
    assert set(digests(app)) == {APP, "quay.io/x/app:1", DEBIAN}
    app("rm", "--force", before[APP])
    assert list(digests(app)) == [DEBIAN]


def test_a_name_that_looks_like_a_digest_is_a_name(app):
    digest = digests(app)[DEBIAN]
    name = digest[7:15]
    app("tag", "app:1", name)
    assert app("rm", name).lines == [f"untagged docker.io/library/{name}:latest"]
    assert app("rm", name).lines == [f"untagged {DEBIAN}", f"deleted {digest}"]


def test_rm_of_a_dangling_image(app):
    digest = digests(app)[DEBIAN]
    app("tag", "--force", "app:1", DEBIAN)
    assert app("rm", digest).lines == [f"deleted {digest}"]
    assert set(digests(app)) == {APP, DEBIAN}


def test_rm_of_what_is_not_there_removes_the_rest(app):
    result = app("rm", "nowhere", "app:1", "gone", check=False)
    assert (result.status, result.err) == (1, "imagefs: gone: no such image\nimagefs: nowhere: no such image\n")
    assert list(digests(app)) == [DEBIAN]


def test_with_force_what_is_not_there_is_only_told(app):
    result = app("rm", "-f", "nowhere", "app:1")
    assert (result.status, result.err) == (0, "imagefs: nowhere: no such image\n")
    assert list(digests(app)) == [DEBIAN]


def test_content_goes_with_gc(app):
    app("tag", "app:1", "quay.io/x/app")
    app("rm", "app:1", DEBIAN)
    before = app.files()
    would = app("gc", "--dry-run").lines
    assert app.files() == before
    assert all(line.startswith("would remove ") for line in would)
    planned = json.loads(app("gc", "--dry-run", "--json").out)
    assert [line.replace("would remove", "removed") for line in would] == app("gc").lines
    assert len(planned["blobs"]) == len([line for line in would if line.startswith("would remove blob ")]) == 3
    assert (len(planned["layers"]), planned["temporary"]) == (1, [])
    assert planned["size"] > 0
    assert len(blobs(app)) == 3
    app("rm", "quay.io/x/app")
    app("gc")
    assert app.files() == []


def test_gc_as_json_says_what_went(app):
    app("rm", "app:1", DEBIAN)
    went = json.loads(app("gc", "--json").out)
    assert (len(went["blobs"]), len(went["layers"])) == (6, 2)
    assert app.files() == []


# -- prune


def test_prune_removes_dangling_images_and_garbage(app):
    digest = digests(app)[DEBIAN]
    app("tag", "-f", "app:1", DEBIAN)
    before = app.files()
    would = app("prune", "--dry-run").lines
    assert would[0] == f"would delete {digest}"
    assert would[-1].startswith("would free ")
    assert app.files() == before
    assert digest in digests(app)
    assert app("prune", "--force").lines == [f"deleted {digest}", would[-1].replace("would free", "freed")]
    assert set(digests(app)) == {APP, DEBIAN}
    assert len(blobs(app)) == 3
    assert app("prune", "-f").lines == ["freed 0 bytes"]


def test_prune_removes_only_what_meets_the_conditions(app):
    assert app("prune", "-a", "-f", "--filter", "reference=app").lines[0] == f"untagged {APP}"
    assert set(digests(app)) == {DEBIAN}
    assert app("prune", "-a", "-f", "--filter", "label=none").lines == ["freed 0 bytes"]
    assert set(digests(app)) == {DEBIAN}
    assert "nonsense" in usage_error(app, "prune", "-f", "--filter", "nonsense=1")


def test_prune_all_leaves_what_a_mount_uses(app):
    before = digests(app)
    app("tag", "app:1", "app:2")
    with Store(app.store) as store, held_by_a_mount(store, DEBIAN):
        said = [f"untagged {APP}", "untagged docker.io/library/app:2", f"deleted {before[APP]}"]
        would = [line.replace("untagged", "would untag").replace("deleted", "would delete") for line in said]
        assert app("prune", "--all", "--dry-run").lines[:-1] == would
        assert app("prune", "-a", "-f").lines[:-1] == said
        assert list(digests(app)) == [DEBIAN]
    app("prune", "-a", "-f")
    assert app.files() == []


def test_a_mount_that_was_killed_uses_nothing(app):
    with Store(app.store) as store:
        held_by_a_mount(store, DEBIAN).let_go()
        app("prune", "-a", "-f")
    assert digests(app) == {}


def test_prune_without_anybody_to_ask_is_wrong_usage(app):
    assert "--force" in usage_error(app, "prune", "--all")
    assert set(digests(app)) == {APP, DEBIAN}


@pytest.mark.parametrize(("answer", "left"), [("n", {APP, DEBIAN}), ("y", set())])
def test_prune_asks(app, answer, left):
    parent, child = pty.openpty()
    os.write(parent, answer.encode() + b"\n")
    command = [sys.executable, "-m", "imagefs", "--store", str(app.store), "prune", "--all"]
    done = subprocess.run(command, stdin=child, capture_output=True, text=True, check=False)
    os.close(child)
    os.close(parent)
    assert done.returncode == 0
    assert "Go on?" in done.stderr
    assert set(digests(app)) == left
    assert ("freed" in done.stdout) == (answer == "y")
