"""Seeing once which blobs a store has gives what looking at each of them gives."""

import pytest

from imagefs import digest
from imagefs.errors import ContentMissing
from imagefs.oci.model import MAX_READ
from imagefs.store.present import PresentBlobs
from imagefs.store.store import Store


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store") as opened:
        yield opened


def put(store, data, algorithm="sha256"):
    content = digest.of_bytes(data, algorithm)
    store.blobs.path(content).parent.mkdir(exist_ok=True)
    store.blobs.path(content).write_bytes(data)
    return content


def test_it_tells_what_the_store_tells(store):
    there = [put(store, b"{}"), put(store, b""), put(store, b"[1]", "sha512")]
    missing = [digest.of_bytes(b"missing"), digest.of_bytes(b"[1]", "sha384")]
    present = PresentBlobs(store.blobs)
    for content in there:
        assert content in present
        assert (present.size(content), present.read(content)) == (store.blobs.size(content), store.blobs.read(content))
    for content in missing:
        assert content not in present
        assert present.size(content) is None
        with pytest.raises(ContentMissing):
            present.read(content)


def test_what_is_gone_since_is_missing(store):
    content = put(store, b"{}")
    present = PresentBlobs(store.blobs)
    store.blobs.remove(content)
    assert present.size(content) is None
    with pytest.raises(ContentMissing):
        present.read(content)


def test_no_document_is_larger_than_documents_are(store):
    content = put(store, b" " * (MAX_READ + 1))
    with pytest.raises(ContentMissing, match="too large"):
        PresentBlobs(store.blobs).read(content)
