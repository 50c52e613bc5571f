"""`imagefs images`: what it lists, and its conditions."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import click
import pytest
from support.archives import AMD64, ARM64, OciArchive, digest_of, file, gzip_layer
from support.command import Imagefs
from support.inside import InsideImagefs
from support.store import bring

from imagefs import Store
from imagefs.errors import InvalidFilter
from imagefs.oci import reference
from imagefs.store import filters

ONE, TWO = gzip_layer(file("one")), gzip_layer(file("two"))


@pytest.fixture
def imagefs(tmp_path) -> InsideImagefs:
    return InsideImagefs(tmp_path / "store")


@pytest.fixture
def several(imagefs) -> InsideImagefs:
    """Three names, one image without a name, and one that lacks a layer."""
    archive = OciArchive()
    archive.add_image([ONE], name="app:1", created="2020-01-01T00:00:00Z", config={"Labels": {"team": "core"}})
    archive.add_image([TWO], name="app:2", created="2021-01-01T01:00:00+02:00", config={"Labels": {"team": "edge"}})
    pair = [archive.add_manifest([ONE], AMD64), archive.add_manifest([TWO], ARM64)]
    archive.add_index(pair, name="quay.io/me/both:3")
    bring(imagefs, archive)
    archive = OciArchive()
    archive.add_image([ONE], created="2022-01-01T00:00:00Z")
    bring(imagefs, archive, labels={"team": "store"})
    archive = OciArchive()
    archive.add_image([ONE, gzip_layer(file("absent"))], name="part:1")
    del archive.blobs[digest_of(gzip_layer(file("absent")))]
    bring(imagefs, archive, skip_missing=True)
    return imagefs


def rows(imagefs: Imagefs, *arguments: str) -> list[dict[str, Any]]:
    return json.loads(imagefs("images", "--json", *arguments).out)


def short(imagefs: Imagefs, *conditions: str) -> list[str]:
    arguments = [argument for condition in conditions for argument in ("--filter", condition)]
    found = ["<none>" if row["dangling"] else reference.familiar(row["name"]) for row in rows(imagefs, *arguments)]
    return sorted(found)


def damage(imagefs: Imagefs, digest: str) -> None:
    path = imagefs.store / "blobs" / digest.replace(":", "/")
    path.chmod(0o644)
    path.write_bytes(b"{]")


# -- what is listed


def test_a_platform_that_several_manifests_serve_is_listed_once(imagefs):
    archive = OciArchive()
    archive.add_index([archive.add_manifest([each], AMD64) for each in (ONE, TWO)], name="app:1")
    bring(imagefs, archive)
    assert rows(imagefs)[0]["platforms"] == ["linux/amd64"]


def test_an_image_without_a_name(several):
    (line,) = [line for line in several("images").lines if line.startswith("<none>")]
    (row,) = [row for row in rows(several) if row["dangling"]]
    assert row["name"] == row["digest"]
    assert line.split()[1] == row["digest"][7:19]
    assert row["labels"] == {"team": "store"}


def test_how_much_of_an_image_is_there(several):
    (line,) = [line for line in several("images").lines if "part:1" in line]
    assert " incomplete, 3 of 4 " in line
    (row,) = [row for row in rows(several) if not row["complete"]]
    assert (row["present"], row["needed"], row["platforms"]) == (3, 4, [])
    assert [row["complete"] for row in rows(several)] == [True, True, False, True, True]


def test_platforms_beside_those_that_lack_something(imagefs):
    archive = OciArchive()
    archive.add_index([archive.add_manifest([ONE], AMD64), archive.add_manifest([TWO], ARM64)], name="both:1")
    del archive.blobs[digest_of(TWO)]
    bring(imagefs, archive, skip_missing=True)
    assert " linux/amd64 (incomplete, 6 of 7) " in imagefs("images").out


def test_platforms_that_an_image_is_not_kept_for_do_not_count(imagefs):
    archive = OciArchive()
    archive.add_index([archive.add_manifest([ONE], AMD64), archive.add_manifest([TWO], ARM64)], name="both:1")
    bring(imagefs, archive, platforms=("linux/arm64",))
    (row,) = rows(imagefs)
    assert (row["platforms"], row["complete"], row["needed"]) == (["linux/arm64/v8"], True, 4)


@pytest.mark.parametrize("part", ["index", "manifest", "config"])
def test_a_damaged_image_is_listed_beside_the_others(several, part):
    digest = next(row["digest"] for row in rows(several) if row["name"] == "quay.io/me/both:3")
    if part != "index":
        digest = json.loads((several.store / "blobs" / digest.replace(":", "/")).read_bytes())["manifests"][0]["digest"]
    if part == "config":
        digest = json.loads((several.store / "blobs" / digest.replace(":", "/")).read_bytes())["config"]["digest"]
    damage(several, digest)
    (line,) = [line for line in several("images").lines if "both:3" in line]
    assert line.split()[2:] == ["damaged", "-", "-"]
    found = {row["name"]: row for row in rows(several)}
    assert digest in found["quay.io/me/both:3"]["damage"]
    assert found["docker.io/library/app:2"]["damage"] is None
    assert found["docker.io/library/app:2"]["complete"]
    assert short(several, "complete=true", "dangling=false") == ["app:1", "app:2"]


def test_quiet_prints_each_digest_once(several):
    several("tag", "app:1", "again:1")
    digests = several("images", "-q").lines
    assert len(digests) == len(set(digests)) == 5
    assert set(digests) == {row["digest"] for row in rows(several)}
    assert several("images", "-q", "-f", "name=app:2").lines == [rows(several, "-f", "name=app:2")[0]["digest"]]


def test_quiet_json_is_refused(several):
    with pytest.raises(click.UsageError, match="exclude each other"):
        several("images", "-q", "--json")


def test_a_date_that_is_none_is_not_printed(imagefs):
    archive = OciArchive()
    archive.add_image([ONE], name="app:1", created="2024-05-06T07:08:09Z\n")
    archive.add_image([TWO], name="app:2", created="2024-99-06T07:08:09Z")
    archive.add_image([ONE], name="app:3", created="\x1b[31mnow")
    bring(imagefs, archive)
    assert [row["created"] for row in rows(imagefs)] == [None] * 3
    assert "\x1b" not in imagefs("images").out


def test_the_newest_platform_gives_the_date_whatever_its_zone(imagefs):
    archive = OciArchive()
    dates = ["2024-05-06T23:30:00-02:00", "2024-05-07T01:00:00Z"]
    pair = [
        archive.add_manifest([ONE], platform, created=date)
        for platform, date in zip((AMD64, ARM64), dates, strict=True)
    ]
    archive.add_index(pair, name="both:1")
    bring(imagefs, archive)
    assert rows(imagefs)[0]["created"] == dates[0]


def test_a_terminal_gets_the_same_images(several):
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "imagefs", "--store", str(several.store), "images"]
    subprocess.run(command, stdout=child, check=True, env={**os.environ, "TERM": "xterm", "COLUMNS": "120"})
    os.close(child)
    shown = os.read(parent, 1 << 16).decode()
    os.close(parent)
    assert "docker.io/library/app:1" in shown
    assert "incomplete, 3 of 4" in shown


# -- conditions


@pytest.mark.parametrize(
    ("conditions", "names"),
    [
        (["reference=app"], ["app:1", "app:2"]),
        (["reference=app:1"], ["app:1"]),
        (["reference=docker.io/library/a*"], ["app:1", "app:2"]),
        (["reference=a??:[2-9]"], ["app:2"]),
        (["reference=*:1"], ["app:1", "part:1"]),
        (["reference=*"], ["app:1", "app:2", "part:1"]),
        (["reference=quay.io/*/both"], ["quay.io/me/both:3"]),
        (["reference=quay.io/*"], []),
        (["reference=app:1", "reference=*/*/both:3"], ["app:1", "quay.io/me/both:3"]),
        (["reference=ap"], []),
        (["name=app:1"], ["app:1"]),
        (["name=docker.io/library/app:1", "name=quay.io/me/both:3"], ["app:1", "quay.io/me/both:3"]),
        (["name=app"], []),
        (["dangling=true"], ["<none>"]),
        (["dangling=false", "reference=app"], ["app:1", "app:2"]),
        (["dangling=1"], ["<none>"]),
        (["complete=false"], ["part:1"]),
        (["complete=TRUE", "dangling=0"], ["app:1", "app:2", "quay.io/me/both:3"]),
        (["label=team"], ["app:1", "app:2", "<none>"]),
        (["label=team=core"], ["app:1"]),
        (["label=team=store"], ["<none>"]),
        (["label=team", "label=team=edge"], ["app:2"]),
        (["label=team=core", "label=team=edge"], []),
        (["label!=team"], ["part:1", "quay.io/me/both:3"]),
        (["label!=team=core", "label=team"], ["app:2", "<none>"]),
        (["platform=linux/arm64"], ["quay.io/me/both:3"]),
        (["platform=linux/arm64/v9"], ["quay.io/me/both:3"]),
        (["platform=arm64", "platform=s390x"], ["quay.io/me/both:3"]),
        (["platform=linux/s390x"], []),
        (["platform=linux/amd64", "complete=false"], ["part:1"]),
        (["before=app:2"], ["app:1"]),
        (["since=app:1"], ["app:2", "<none>"]),
        (["since=app:1", "dangling=false"], ["app:2"]),
        (["before=app:2", "since=app:1"], []),
        (["until=2020-12-31T23:30:00Z"], ["app:1", "app:2"]),
        (["until=2020-12-31T22:30:00Z"], ["app:1"]),
        (["until=1600000000"], ["app:1"]),
        (["until=24h"], ["app:1", "app:2", "<none>"]),
        (["until=2021-06-01", "until=2020-06-01"], ["app:1"]),
        ([" Reference = app:1 "], ["app:1"]),
    ],
)  # fmt: skip
def test_conditions(several, conditions, names):
    assert sorted(short(several, *conditions)) == sorted(names)


def test_a_label_of_the_store_covers_that_of_the_configuration(imagefs):
    archive = OciArchive()
    archive.add_image([ONE], name="app:1", config={"Labels": {"team": "core", "number": 7}})
    bring(imagefs, archive, labels={"team": "mine"})
    assert short(imagefs, "label=team=mine") == ["app:1"]
    assert short(imagefs, "label=team=core") == []
    assert short(imagefs, "label=number") == []


def test_one_platform_has_to_have_all_labels(imagefs):
    archive = OciArchive()
    pair = [
        archive.add_manifest([ONE], AMD64, config={"Labels": {"a": "1"}}),
        archive.add_manifest([TWO], ARM64, config={"Labels": {"b": "2"}}),
    ]
    archive.add_index(pair, name="both:1")
    bring(imagefs, archive)
    assert short(imagefs, "label=a") == short(imagefs, "label=b") == ["both:1"]
    assert short(imagefs, "label=a", "label=b") == []


def test_what_to_compare_with_has_to_be_there_and_dated(several):
    result = several("images", "-f", "before=nowhere", check=False)
    assert (result.status, result.err) == (1, "imagefs: nowhere: no such image\n")
    result = several("images", "-f", "since=part:1", check=False)
    assert (result.status, result.err) == (1, "imagefs: part:1: it does not say when it was made\n")


WRONG = {
    "app": "KEY=VALUE",
    "reference=": "KEY=VALUE",
    "color=red": "'color' is no condition",
    "dangling=maybe": "dangling is either true or false",
    "complete=2": "complete is either true or false",
    "platform=a/b/c/d": "not a platform",
    "platform=nonsense": "neither an operating system nor an architecture",
    "until=yesterday": "neither a time",
    "until=2024-13-01": "neither a time",
    "until=999999999999": "neither a time",
    "until=99999999999999h": "neither a time",
    "reference=[a": "no pattern",
    "reference=a[]": "no pattern",
    "reference=a\\": "no pattern",
    "label==x": "a label has a name",
    "label!==x": "a label has a name",
}


@pytest.mark.parametrize("condition", WRONG)
def test_wrong_conditions_are_wrong_usage(imagefs, condition):
    with pytest.raises(click.UsageError, match=WRONG[condition]) as caught:
        imagefs("images", "--filter", condition)
    assert caught.value.exit_code == 2


def test_conditions_that_exclude_each_other_are_wrong_usage(imagefs):
    with pytest.raises(click.UsageError, match="dangling is either true or false"):
        imagefs("images", "-f", "dangling=true", "-f", "dangling=false")


def test_the_exit_status_of_a_wrong_condition(tmp_path):
    result = Imagefs(tmp_path / "store")("images", "--filter", "color=red", check=False)
    assert (result.status, result.out) == (2, "")
    assert "'color' is no condition" in result.err


@pytest.mark.parametrize(("texts", "names"), [([], 5), (["dangling=true"], 1), (["reference=app"], 2)])
def test_filters_for_other_commands(several, texts: Sequence[str], names: int):
    with Store(several.store) as store:
        selected = filters.parse(texts).select(store, store.images())
        assert len(selected) == names
        assert set(selected) <= set(store.images())


def test_the_error_of_a_wrong_condition():
    with pytest.raises(InvalidFilter, match="'nonsense' is no condition"):
        filters.parse(["nonsense=1"])
