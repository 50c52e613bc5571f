"""The archives that imagefs writes: an OCI layout, docker's form, or both in one. Equal input gives equal bytes."""

from collections.abc import Sequence

from imagefs import digest
from imagefs.archive.exporter import ExportedImage, WritableStream
from imagefs.archive.tarwriter import END, write_blob, write_bytes, write_folder, write_layer
from imagefs.digest import Digest
from imagefs.errors import ContentMissing
from imagefs.oci import layout, reference
from imagefs.oci.model import encode
from imagefs.store.contents import PresentManifest
from imagefs.store.selection import Selection
from imagefs.store.store import Store


class LayoutExporter:
    """An OCI layout with docker's `manifest.json` in it: every tool loads it."""

    documents: tuple[str, ...] = (layout.LAYOUT_FILE, layout.INDEX_FILE, layout.MANIFEST_FILE)

    def run(self, store: Store, images: Sequence[ExportedImage], stream: WritableStream) -> None:
        """Write the layout, in the order in which a mount lists it."""
        named = [each.selection.named(each.name) for each in images]
        contents = {
            layout.LAYOUT_FILE: layout.OCI_LAYOUT,
            layout.INDEX_FILE: layout.index_json(named),
            layout.MANIFEST_FILE: layout.manifest_json(named),
        }
        for name in self.documents:
            write_bytes(stream, name, contents[name])
        made = {content: document for each in images for content, document in each.selection.documents.items()}
        stored = {blob for each in images for blob in each.selection.blobs}
        blobs = sorted({*made, *stored})
        for folder in ("blobs/", *sorted({f"blobs/{digest.algorithm(blob)}/" for blob in blobs})):
            write_folder(stream, folder)
        for blob in blobs:
            if blob in made:
                write_bytes(stream, layout.blob_path(blob), made[blob])
            else:
                write_blob(store, stream, layout.blob_path(blob), blob)
        stream.write(END)


class OciExporter(LayoutExporter):
    """An OCI layout and nothing else."""

    documents = (layout.LAYOUT_FILE, layout.INDEX_FILE)


class DockerExporter:
    """A docker archive with uncompressed layers, as `docker save` wrote them for years: any docker loads it."""

    def run(self, store: Store, images: Sequence[ExportedImage], stream: WritableStream) -> None:
        """Write one platform of each image: docker's format knows no more."""
        tags: dict[tuple[Digest, tuple[tuple[Digest, Digest], ...]], list[str]] = {}
        shown: list[tuple[PresentManifest, Selection, list[str]]] = []
        for each in images:
            main = each.selection.main
            if main is None:
                raise ContentMissing(f"{each.name}: has no complete file system, docker's format cannot hold it")
            key = (main.manifest.config.digest, tuple((diff_id, layer.digest) for diff_id, layer in main.layers))
            if key not in tags:
                shown.append((main, each.selection, tags.setdefault(key, [])))
            if reference.tag(each.name) is not None:
                tags[key].append(each.name)
        manifest = [
            layout.docker_entry(
                _config_name(main), names, [_layer_name(diff_id) for diff_id, _ in main.layers], selection.elsewhere
            )
            for main, selection, names in shown
        ]
        write_bytes(stream, layout.MANIFEST_FILE, encode(manifest))
        written: set[str] = set()
        for main, selection, _ in shown:
            if _config_name(main) not in written:
                written.add(_config_name(main))
                write_blob(store, stream, _config_name(main), main.manifest.config.digest)
            for diff_id, layer in main.layers:
                if _layer_name(diff_id) not in written and diff_id not in selection.elsewhere:
                    written.add(_layer_name(diff_id))
                    write_layer(store, stream, _layer_name(diff_id), diff_id, layer.digest)
        stream.write(END)


def _config_name(manifest: PresentManifest) -> str:
    return f"{digest.encoded(manifest.manifest.config.digest)}.json"


def _layer_name(diff_id: Digest) -> str:
    return f"{digest.encoded(diff_id)}.tar"
