"""What part of an image goes out: whole, reduced, one manifest, none; with attestations, without foreign layers."""

import io
import json

import pytest
from support.archives import AMD64, ARM64, OCI_CONFIG, OCI_MANIFEST, OciArchive, digest_of, file, gzip_layer

from imagefs import ImportOptions, Store, import_archive
from imagefs.oci import platform
from imagefs.oci.model import Descriptor
from imagefs.store.selection import Selection, complete_part, offered, present_part, select

S390X = {"architecture": "s390x", "os": "linux"}


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store") as opened:
        yield opened


class Image:
    """An index of amd64, arm64 and s390x with an attestation for each, of which some content can be left out."""

    def __init__(self) -> None:
        self.archive = OciArchive()
        self.layers = {each["architecture"]: gzip_layer(file(each["architecture"])) for each in (AMD64, ARM64, S390X)}
        self.manifests = {
            each["architecture"]: self.archive.add_manifest([self.layers[each["architecture"]]], each)
            for each in (AMD64, ARM64, S390X)
        }
        self.attestations = {name: self._attestation(each["digest"]) for name, each in self.manifests.items()}
        self.index = self.archive.add_index([*self.manifests.values(), *self.attestations.values()], name="multi:1")

    def _attestation(self, subject: str) -> dict:
        unknown = {"architecture": "unknown", "os": "unknown"}
        manifest = self.archive.add_manifest([], unknown, about=subject)
        notes = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": subject}
        return manifest | {"annotations": notes}

    def arrive(self, store: Store, *absent: str, platforms: tuple[str, ...] | None = None) -> Descriptor:
        """Import it without the content of these digests."""
        for each in absent:
            del self.archive.blobs[each]
        options = ImportOptions(skip_missing=True, platforms=platforms)
        (record,) = import_archive(store, io.BytesIO(self.archive.bytes()), options)
        return record.target

    def digests(self, *architectures: str) -> list[str]:
        """The manifests of platforms and then their attestations."""
        documents = (self.manifests, self.attestations)
        return [each[name]["digest"] for each in documents for name in architectures]


def listed(selection: Selection) -> list[str]:
    (document,) = selection.documents.values()
    return [each["digest"] for each in json.loads(document)["manifests"]]


def test_the_index_itself_where_nothing_is_missing(store):
    image = Image()
    selection = select(store.blobs, image.arrive(store))
    assert (selection.target.digest, selection.documents) == (image.index["digest"], {})
    assert selection.blobs == image.archive.blobs.keys()


def test_a_reduced_index_has_the_platforms_that_are_complete_and_what_is_about_them(store):
    image = Image()
    target = image.arrive(store, digest_of(image.layers["arm64"]))
    selection = select(store.blobs, target)
    assert listed(selection) == image.digests("amd64", "s390x")
    assert selection.target.digest in selection.documents
    assert target.digest not in selection.blobs
    assert not selection.blobs.intersection(image.digests("arm64"))
    assert [each.descriptor.digest for each in selection.manifests] == image.digests("amd64", "s390x")


def test_the_one_manifest_that_is_left(store):
    image = Image()
    absent = [image.manifests["arm64"], image.manifests["s390x"], *image.attestations.values()]
    selection = select(store.blobs, image.arrive(store, *(each["digest"] for each in absent)))
    assert (selection.target.digest, selection.documents) == (image.manifests["amd64"]["digest"], {})
    assert len(selection.blobs) == 3


def test_nothing_where_no_platform_is_complete(store):
    image = Image()
    target = image.arrive(store, *(digest_of(each) for each in image.layers.values()))
    assert select(store.blobs, target) is None
    whatever = present_part(store.blobs, target, offered(store.blobs, target))
    assert whatever.target == target
    assert whatever.blobs == image.archive.blobs.keys()
    assert (whatever.main, whatever.named("x/y:1").config) == (None, None)


def test_platforms_that_are_not_kept_do_not_go_out(store):
    image = Image()
    target = image.arrive(store, platforms=("linux/s390x",))
    import_archive(store, io.BytesIO(image.archive.bytes()), ImportOptions(prefix="docker.io/library/multi"))
    assert select(store.blobs, target).target == target
    kept = select(store.blobs, target, ("linux/s390x",))
    assert listed(kept) == image.digests("s390x")
    whatever = present_part(store.blobs, target, offered(store.blobs, target, ("linux/s390x",)))
    assert whatever.target == target
    assert not whatever.blobs.intersection(image.digests("amd64", "arm64"))


def test_an_index_in_an_index(store):
    archive = OciArchive()
    manifests = [archive.add_manifest([gzip_layer(file(each["architecture"]))], each) for each in (AMD64, ARM64, S390X)]
    inner = archive.add_nested(manifests[:2])
    outer = archive.add_index([inner, manifests[2]], name="multi:1")
    del archive.blobs[manifests[0]["digest"]]
    (record,) = import_archive(store, io.BytesIO(archive.bytes()))
    selection = select(store.blobs, record.target)
    assert listed(selection) == [manifests[1]["digest"], manifests[2]["digest"]]
    whatever = present_part(store.blobs, record.target, offered(store.blobs, record.target))
    assert {inner["digest"], outer["digest"]} <= whatever.blobs
    assert whatever.blobs == {each for each in archive.blobs if each in store.blobs}


@pytest.mark.parametrize("machine", ["amd64", "arm64"])
def test_dockers_image_is_the_first_whatever_the_machine(store, monkeypatch, machine):
    monkeypatch.setattr(platform, "host", lambda: platform.parse(f"linux/{machine}"))
    image = Image()
    target = image.arrive(store, image.manifests["amd64"]["digest"])
    present = offered(store.blobs, target)
    assert select(store.blobs, target).main.platform_text == "linux/arm64/v8"
    for preferred, main in [((), "linux/arm64/v8"), (("linux/amd64", "linux/s390x", "linux/arm64"), "linux/s390x")]:
        assert complete_part(store.blobs, target, present, preferred=preferred).main.platform_text == main


def test_foreign_layers_stay_behind(store):
    archive = OciArchive()
    foreign, own = gzip_layer(file("foreign")), gzip_layer(file("own"))
    made = archive.add_manifest([foreign, own], {"architecture": "amd64", "os": "windows"})
    document = json.loads(archive.blobs.pop(made["digest"]))
    media_type = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    document["layers"][0] |= {"mediaType": media_type, "urls": ["https://example.org/layer"]}
    entry = archive.name(archive.add_document(document, OCI_MANIFEST), name="windows:1")
    del archive.blobs[digest_of(foreign)]
    (record,) = import_archive(store, io.BytesIO(archive.bytes()))
    assert select(store.blobs, record.target) is None
    present = offered(store.blobs, record.target, foreign=False)
    selection = complete_part(store.blobs, record.target, present, foreign=False)
    assert selection.target.digest == entry["digest"]
    assert selection.blobs == archive.blobs.keys()
    (source,) = selection.elsewhere.values()
    assert (source.media_type, source.digest) == (media_type, digest_of(foreign))
    named = selection.named("docker.io/library/windows:1")
    assert (named.layers, named.elsewhere) == ((digest_of(foreign), digest_of(own)), selection.elsewhere)


def test_what_is_no_image_in_an_index_stays_with_any_platform(store):
    image = Image()
    chart = image.archive.add_document({"name": "chart"}, "application/x-chart")
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": chart, "layers": []}
    artifact = image.archive.add_document(document, OCI_MANIFEST)
    unknown = image.archive.add_document({"any": "thing"}, "application/x-other")
    image.archive.manifests.clear()
    image.index = image.archive.add_index([*image.manifests.values(), artifact, unknown], name="multi:1")
    target = image.arrive(store)
    kept = select(store.blobs, target, ("linux/amd64",))
    assert listed(kept) == [image.manifests["amd64"]["digest"], artifact["digest"], unknown["digest"]]
    assert {chart["digest"], unknown["digest"]} <= kept.blobs
    assert OCI_CONFIG in {each.manifest.config.media_type for each in kept.manifests}


def test_an_artifact_does_not_stand_for_platforms_that_are_elsewhere(store):
    archive = OciArchive()
    chart = archive.add_document({"name": "chart"}, "application/x-chart")
    artifact = archive.add_document({"schemaVersion": 2, "config": chart, "layers": []}, OCI_MANIFEST)
    image = archive.add_manifest([gzip_layer(file("a"))])
    archive.add_index([image, artifact], name="app:1")
    data = archive.bytes(leave_out=[f"blobs/{image['digest'].replace(':', '/')}"])
    (record,) = import_archive(store, io.BytesIO(data))
    assert artifact["digest"] in store.blobs
    assert select(store.blobs, record.target) is None
