"""The Python API: the README's example, importers of one's own, temporary mounts."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.archives import AMD64, ARM64, OciArchive, docker_archive, file, gzip_layer, layer

import imagefs as api
from imagefs.store.gc import collect

README = Path(__file__).parent.parent.parent / "README.md"


def archive(**name: str) -> bytes:
    made = OciArchive()
    made.add_image([gzip_layer(file("etc/hello", b"hello\n"))], **name)
    return made.bytes()


@pytest.fixture
def store(tmp_path):
    with api.Store(tmp_path / "store") as opened:
        yield opened


def test_import_with_a_chosen_importer(store):
    importer = api.OciImporter(api.ImportOptions(prefix="foo/bar"))
    (record,) = api.import_archive(store, io.BytesIO(archive(tag="1")), importer=importer)
    assert record.name == "docker.io/foo/bar:1"
    assert store.find_image("foo/bar:1").target == record.target


def test_the_format_shows_in_the_content(store):
    data = docker_archive([([layer(file("a"))], ["x:1"])])
    (record,) = api.import_archive(store, io.BytesIO(data))
    assert record.name == "docker.io/library/x:1"


def test_a_format_that_is_forced_on_another_is_an_error(store):
    with pytest.raises(api.UnknownFormat, match=r"without manifest\.json"):
        api.import_archive(store, io.BytesIO(archive(tag="1")), archive_format="docker")
    assert store.images() == []


@pytest.mark.fuse
def test_a_mount_for_the_time_of_a_block(store):
    api.import_archive(store, io.BytesIO(archive(name="app:1")))
    with api.mounted(store, "app:1") as root:
        assert (root / "etc/hello").read_text() == "hello\n"
        assert os.path.ismount(root)
    assert not root.exists()


@pytest.mark.fuse
def test_a_mount_ends_when_the_block_raises(store):
    api.import_archive(store, io.BytesIO(archive(name="app:1")))
    with pytest.raises(ZeroDivisionError), api.mounted(store, "app:1") as root:
        raise ZeroDivisionError
    assert not root.exists()


def test_mounting_what_is_not_there(store):
    with pytest.raises(api.ImageNotFound), api.mounted(store, "nowhere"):
        pass


def test_export_to_a_stream(store, tmp_path):
    (record,) = api.import_archive(store, io.BytesIO(archive(name="app:1")))
    out = io.BytesIO()
    api.export_archive(store, ["app:1"], out)
    with api.Store(tmp_path / "other") as other:
        assert api.import_archive(other, io.BytesIO(out.getvalue()))[0].target.digest == record.target.digest


def test_export_with_options(store, tmp_path):
    made = OciArchive()
    made.add_index([made.add_manifest([gzip_layer(file(each["architecture"]))], each) for each in (AMD64, ARM64)], "1")
    api.import_archive(store, io.BytesIO(made.bytes()), api.ImportOptions(prefix="app"))
    out = io.BytesIO()
    api.export_archive(store, ["app:1"], out, api.ExportOptions(platforms=("linux/arm64",)))
    api.export_file(store, ["app:1"], tmp_path / "a.tar", api.ExportOptions(platforms=("linux/arm64",)))
    assert (tmp_path / "a.tar").read_bytes() == out.getvalue()
    with api.Store(tmp_path / "other") as other:
        (record,) = api.import_archive(other, io.BytesIO(out.getvalue()))
        assert [slot.platform for slot in other.catalog.slots(record.name)] == ["linux/arm64/v8"]


def test_export_options_that_exclude_each_other(store):
    with pytest.raises(api.ImagefsError, match="either some platforms are exported, or all"):
        api.ExportOptions(platforms=("linux/arm64",), all_platforms=True)
    with pytest.raises(api.ImagefsError, match="no platform is named"):
        api.ExportOptions(platforms=())
    out = io.BytesIO()
    with pytest.raises(api.ImagefsError, match="a docker archive cannot do without"):
        api.export_archive(store, ["app:1"], out, api.ExportOptions(base=("app:1",)), exporter="docker")
    assert out.getvalue() == b""


def test_an_exporter_of_ones_own(store):
    api.import_archive(store, io.BytesIO(archive(name="app:1")))

    class Listing:
        def run(self, store, images, stream):
            for each in images:
                stream.write(f"{each.name} {len(each.selection.blobs)}\n".encode())

    out = io.BytesIO()
    assert isinstance(Listing(), api.Exporter)
    api.export_archive(store, ["app"], out, exporter=Listing())
    assert out.getvalue() == b"docker.io/library/app:1 3\n"


def test_nothing_that_goes_out_is_collected_meanwhile(store):
    made = archive(name="app:1")
    api.import_archive(store, io.BytesIO(made))
    whole = io.BytesIO()
    api.export_archive(store, ["app:1"], whole)

    class Removing(api.LayoutExporter):
        def run(self, store, images, stream):
            with store.catalog.transaction():
                store.catalog.unbind("docker.io/library/app:1")
            collect(store)
            super().run(store, images, stream)

    out = io.BytesIO()
    api.export_archive(store, ["app:1"], out, exporter=Removing())
    assert out.getvalue() == whole.getvalue()
    assert len(collect(store).blobs) == 3


PLUGIN = '''
"""An importer of single-file images: the magic word, a name, a newline, and the file."""
import io, tarfile, json
from imagefs import ImportOptions, Ingest, ImageRecord
from imagefs.oci.model import Descriptor
from imagefs import digest


class OneFile:
    def __init__(self, options: ImportOptions) -> None:
        self.options = options

    def sniff(self, head: bytes) -> bool:
        return head.startswith(b"ONEFILE ")

    def run(self, store, stream) -> list[ImageRecord]:
        name, _, data = stream.read().removeprefix(b"ONEFILE ").partition(b"\\n")
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            member = tarfile.TarInfo("file")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        oci = "application/vnd.oci.image"
        with Ingest(store) as ingest:
            layer = ingest.add_blob([buffer.getvalue()], len(buffer.getvalue()), label="layer")
            rootfs = {"type": "layers", "diff_ids": [layer.digest]}
            config = ingest.add_bytes(json.dumps({"os": "linux", "architecture": "amd64", "rootfs": rootfs}).encode())
            manifest = ingest.add_bytes(json.dumps({
                "schemaVersion": 2,
                "config": {"mediaType": f"{oci}.config.v1+json", "digest": config.digest, "size": config.size},
                "layers": [{"mediaType": f"{oci}.layer.v1.tar", "digest": layer.digest, "size": layer.size}],
            }).encode())
            target = Descriptor(f"{oci}.manifest.v1+json", manifest.digest, manifest.size)
            return ingest.publish([(name.decode(), target)])
'''


@pytest.mark.fuse
def test_an_importer_plugs_in_by_entry_point(imagefs, tmp_path):
    """The seam, proven by a format that imagefs has never heard of, installed beside it."""
    site = tmp_path / "site"
    metadata = site / "onefile-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "onefile.py").write_text(PLUGIN)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: onefile\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[imagefs.importers]\nonefile = onefile:OneFile\n")
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "imagefs", "--store", str(imagefs.store)]
    run = subprocess.run(
        [*command, "import", "-"],
        input=b"ONEFILE quay.io/x/y:1\ncontent",
        env=environment,
        capture_output=True,
        check=True,
    )
    assert run.stdout == b"quay.io/x/y:1\n"
    with api.Store(imagefs.store) as store, api.mounted(store, "quay.io/x/y:1") as root:
        assert (root / "file").read_bytes() == b"content"


@pytest.mark.fuse
def test_the_example_of_the_readme_runs(tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (tmp_path / "busybox.tar").write_bytes(archive(name="busybox"))
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr
    assert "hello" in done.stdout


def test_every_public_name_is_where_it_is_said_to_be():
    assert sorted(api._HOME_OF) == sorted(api.__all__)
    assert [name for name in api.__all__ if getattr(api, name, None) is None] == []
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = api.nothing
