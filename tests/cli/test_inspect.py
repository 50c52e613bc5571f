"""`imagefs inspect`: what an image consists of, as a tree and as JSON."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.archives import AMD64, ARM64, OCI_MANIFEST, OciArchive, digest_of, file, gzip_layer, uncompressed
from support.inside import InsideImagefs
from support.store import bring

from imagefs.oci.chainid import chain_ids

ONE, TWO = gzip_layer(file("one")), gzip_layer(file("two"))
DIFF_IDS = [digest_of(uncompressed(each)) for each in (ONE, TWO)]
RUN = {
    "Cmd": ["sh", "-c"],
    "Entrypoint": ["/init"],
    "User": "1000:1000",
    "WorkingDir": "/srv",
    "Env": ["PATH=/bin", "A=b"],
    "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
    "Labels": {"team": "core"},
}


@pytest.fixture
def imagefs(tmp_path) -> InsideImagefs:
    return InsideImagefs(tmp_path / "store")


def told(imagefs: InsideImagefs, image: str = "app:1") -> dict[str, Any]:
    return json.loads(imagefs("inspect", "--json", image).out)


def tree(imagefs: InsideImagefs, image: str = "app:1") -> list[str]:
    """The lines without what connects them."""
    return [line.lstrip("│├└─ \xa0") for line in imagefs("inspect", image).lines]


def several_platforms(archive: OciArchive) -> list[dict[str, Any]]:
    """An index in an index, a platform that is elsewhere, an attestation: their descriptors."""
    amd64, arm64 = archive.add_manifest([ONE, TWO], AMD64), archive.add_manifest([ONE], ARM64)
    elsewhere = archive.add_manifest([TWO], {"architecture": "s390x", "os": "linux"})
    del archive.blobs[elsewhere["digest"]]
    attestation = archive.add_manifest([gzip_layer(file("sbom"))], {"architecture": "unknown", "os": "unknown"})
    inner = archive.add_nested([amd64, arm64])
    archive.add_index([inner, elsewhere, attestation], name="app:1")
    return [inner, amd64, arm64, elsewhere, attestation]


def test_the_tree_of_an_image(imagefs):
    archive = OciArchive()
    archive.add_image([ONE, TWO], name="app:1", created="2024-05-06T07:08:09Z", config=RUN)
    bring(imagefs, archive, labels={"site": "here"})
    manifest = archive.manifests[0]
    config = json.loads(archive.blobs[manifest["digest"]])["config"]
    layers = json.loads(archive.blobs[manifest["digest"]])["layers"]
    assert tree(imagefs) == [
        "docker.io/library/app:1",
        "label site=here",
        "complete",
        f"{OCI_MANIFEST} {manifest['digest']} ({manifest['size']} bytes, linux/amd64, complete)",
        f"{config['mediaType']} {config['digest']} ({config['size']} bytes)",
        "created 2024-05-06T07:08:09Z",
        'Entrypoint ["/init"]',
        'Cmd ["sh", "-c"]',
        "User 1000:1000",
        "WorkingDir /srv",
        "ExposedPorts 80/tcp, 53/udp",
        "Env PATH=/bin",
        "Env A=b",
        "Label team=core",
        f"{layers[0]['mediaType']} {layers[0]['digest']} ({layers[0]['size']} bytes, unpacked)",
        f"diff ID {DIFF_IDS[0]}",
        f"chain ID {DIFF_IDS[0]}",
        f"{layers[1]['mediaType']} {layers[1]['digest']} ({layers[1]['size']} bytes, unpacked)",
        f"diff ID {DIFF_IDS[1]}",
        f"chain ID {chain_ids(DIFF_IDS)[1]}",
    ]


def test_the_tree_of_an_index(imagefs):
    archive = OciArchive()
    inner, amd64, arm64, elsewhere, attestation = several_platforms(archive)
    bring(imagefs, archive)
    lines = imagefs("inspect", "app:1").lines
    depths = {}
    for name, each in {"inner": inner, "amd64": amd64, "arm64": arm64, "elsewhere": elsewhere}.items():
        (line,) = [line for line in lines if each["digest"] in line]
        depths[name] = line.index("application/")
    assert depths["inner"] == depths["elsewhere"] < depths["amd64"] == depths["arm64"]
    (line,) = [line for line in lines if elsewhere["digest"] in line]
    assert line.endswith("bytes, linux/s390x, absent)")
    (line,) = [line for line in lines if attestation["digest"] in line]
    assert line.endswith("bytes, attestation, complete)")


def test_an_index_as_json(imagefs):
    archive = OciArchive()
    inner, amd64, arm64, elsewhere, attestation = several_platforms(archive)
    bring(imagefs, archive)
    found = told(imagefs)
    assert (found["platforms"], found["complete"]) == (["linux/amd64", "linux/arm64/v8"], True)
    nested, absent, pseudo = found["manifests"]
    assert [nested["digest"], absent["digest"], pseudo["digest"]] == [
        each["digest"] for each in (inner, elsewhere, attestation)
    ]
    assert [each["digest"] for each in nested["manifests"]] == [amd64["digest"], arm64["digest"]]
    assert [each["platform"] for each in nested["manifests"]] == ["linux/amd64", "linux/arm64/v8"]
    assert (absent["present"], absent["complete"], absent["platform"]) == (False, False, "linux/s390x")
    assert "layers" not in absent
    assert pseudo["attestation"]
    assert "platform" not in pseudo
    assert not nested["manifests"][0]["attestation"]


def test_layers_and_configuration_as_json(imagefs):
    archive = OciArchive()
    archive.add_image([ONE, TWO], name="app:1", config=RUN)
    bring(imagefs, archive, labels={"site": "here"}, unpacking=False)
    found = told(imagefs)
    assert found["labels"] == {"site": "here"}
    (manifest,) = found["manifests"]
    assert manifest["config"]["config"] == RUN
    assert manifest["configDescriptor"]["digest"] == digest_of(archive.blobs[manifest["configDescriptor"]["digest"]])
    assert [each["diffID"] for each in manifest["layers"]] == DIFF_IDS
    assert [each["chainID"] for each in manifest["layers"]] == chain_ids(DIFF_IDS)
    assert [each["unpacked"] for each in manifest["layers"]] == [False, False]
    assert sum("not unpacked" in line for line in tree(imagefs)) == 2


def test_what_is_absent(imagefs):
    archive = OciArchive()
    archive.add_image([ONE, TWO], name="app:1")
    del archive.blobs[digest_of(TWO)]
    bring(imagefs, archive, skip_missing=True)
    lines = tree(imagefs)
    assert "incomplete, 3 of 4" in lines
    assert next(line for line in lines if digest_of(TWO) in line).endswith("bytes, absent)")
    found = told(imagefs)
    assert (found["complete"], found["present"], found["needed"], found["platforms"]) == (False, 3, 4, [])
    assert [each["present"] for each in found["manifests"][0]["layers"]] == [True, False]


def test_a_configuration_that_is_absent(imagefs):
    archive = OciArchive()
    manifest = archive.add_image([ONE], name="app:1")
    config = json.loads(archive.blobs[manifest["digest"]])["config"]["digest"]
    del archive.blobs[config]
    bring(imagefs, archive, skip_missing=True)
    assert next(line for line in tree(imagefs) if config in line).endswith("bytes, absent)")
    (manifest,) = told(imagefs)["manifests"]
    assert not manifest["configDescriptor"]["present"]
    assert "config" not in manifest
    assert "diffID" not in manifest["layers"][0]


def test_platforms_that_an_image_is_not_kept_for(imagefs):
    archive = OciArchive()
    pair = [archive.add_manifest([ONE], AMD64), archive.add_manifest([TWO], ARM64)]
    archive.add_index(pair, name="app:1")
    bring(imagefs, archive, platforms=("linux/arm64",))
    assert told(imagefs)["keptPlatforms"] == ["linux/arm64"]
    assert [each["kept"] for each in told(imagefs)["manifests"]] == [False, True]
    lines = tree(imagefs)
    assert "kept for linux/arm64" in lines
    assert "not kept" in next(line for line in lines if pair[0]["digest"] in line)


def test_an_artifact(imagefs):
    archive = OciArchive()
    config = {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": archive.add_blob(b"{}"), "size": 2}
    blob = {"mediaType": "application/x-chart", "digest": archive.add_blob(b"chart"), "size": 5}
    document = {"schemaVersion": 2, "config": config, "layers": [blob]}
    archive.name(archive.add_document(document, OCI_MANIFEST), name="app:1")
    bring(imagefs, archive)
    assert any("artifact application/vnd.cncf.helm.config.v1+json, complete)" in line for line in tree(imagefs))
    assert tree(imagefs)[-1] == f"application/x-chart {blob['digest']} (5 bytes)"
    (manifest,) = told(imagefs)["manifests"]
    assert manifest["artifactType"] == "application/vnd.cncf.helm.config.v1+json"


def test_an_image_without_a_name(imagefs):
    archive = OciArchive()
    digest = archive.add_image([ONE])["digest"]
    bring(imagefs, archive)
    assert tree(imagefs, digest)[0] == "<none>"
    assert (told(imagefs, digest)["name"], told(imagefs, digest)["dangling"]) == (digest, True)


def damage(store: Path, digest: str) -> None:
    path = store / "blobs" / digest.replace(":", "/")
    path.chmod(0o644)
    path.write_bytes(b"no json\x1b[31m")


def test_what_is_damaged_is_told_where_it_is(imagefs):
    archive = OciArchive()
    pair = [archive.add_manifest([ONE], AMD64), archive.add_manifest([TWO], ARM64)]
    archive.add_index(pair, name="app:1")
    bring(imagefs, archive)
    damage(imagefs.store, pair[0]["digest"])
    (line,) = [line for line in tree(imagefs) if pair[0]["digest"] in line]
    assert "damaged: " in line
    assert "not a valid manifest" in line
    first, second = told(imagefs)["manifests"]
    assert "not a valid manifest" in first["damage"]
    assert (first["complete"], second["complete"]) == (False, True)
    assert "not a valid manifest" in told(imagefs)["damage"]


@pytest.mark.parametrize("evil", ["\x1b]0;title\x07", "a\nb", "\u202egnp", "[bold red]"])
def test_nothing_in_a_tree_steers_a_terminal(imagefs, evil):
    archive = OciArchive()
    config = {"Cmd": [evil], "User": evil, "Env": [evil], "Labels": {evil: evil}, "ExposedPorts": {evil: {}}}
    archive.add_image([ONE], name="app:1", config={**config, "WorkingDir": {evil: [evil]}, "StopSignal": 9})
    bring(imagefs, archive, labels={"key": evil})
    out = imagefs("inspect", "app:1").out
    assert all(line.isprintable() for line in out.replace("\xa0", " ").splitlines())
    assert len(out.splitlines()) == 15
    assert "StopSignal 9" in out
    if evil == "[bold red]":
        assert "User [bold red]" in out
    assert told(imagefs)["manifests"][0]["config"]["config"]["User"] == evil


@pytest.mark.parametrize("config", [None, [], "text", {"Env": "A", "Labels": [1], "ExposedPorts": 7, "Cmd": None}])
def test_a_configuration_of_other_types(imagefs, config):
    archive = OciArchive()
    archive.add_image([ONE], name="app:1", config=config)
    bring(imagefs, archive)
    lines = tree(imagefs)
    assert ("Env A" in lines) == isinstance(config, dict)
    assert "Cmd null" not in lines


def test_long_lines_are_not_wrapped(imagefs):
    archive = OciArchive()
    archive.add_image([ONE], name="app:1", config={"Env": ["A=" + "long " * 5000]})
    bring(imagefs, archive)
    assert "Env A=" + "long " * 4999 + "long" in tree(imagefs)


def test_no_such_image(imagefs):
    result = imagefs("inspect", "nowhere", check=False)
    assert (result.status, result.err) == (1, "imagefs: nowhere: no such image\n")
