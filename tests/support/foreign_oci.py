"""OCI layouts by what is particular about them: each function is a case, and says who writes such a thing."""

import gzip
import io
import json
import tarfile

from support.archives import (
    OciArchive,
    directory,
    file,
    gzip_data,
    hardlink,
    layer,
)
from support.foreign import (
    EMPTY,
    HIGH,
    LOW,
    Case,
    config,
    image,
    members_of,
)


def simple(tag: str | None = "1") -> OciArchive:
    archive = OciArchive()
    archive.add_image([LOW, gzip_data(HIGH)], tag=tag)
    return archive


SIMPLE = [image("localhost/a:1", LOW, HIGH)]


def hard_links_from_a_layout_into_a_cache() -> Case:
    """GNU tar of a layout whose blobs are hard links into skopeo's --dest-shared-blob-dir, which it meets first."""
    archive = simple()
    members = []
    for entry in members_of(archive.bytes()):
        if entry.name.startswith("blobs/"):
            shared = entry.name.replace("blobs/", ".shared/")
            members = [file(shared, entry.data), *members, hardlink(entry.name, shared)]
        else:
            members.append(entry)
    return layer(*members), SIMPLE


def hard_links_into_a_layout() -> Case:
    """The same cache, met last."""
    members = members_of(simple().bytes())
    links = [hardlink(f"cache/{entry.name[6:]}", entry.name) for entry in members if entry.name.startswith("blobs/")]
    return layer(*members, *links), SIMPLE


def dot_slash_before_every_name() -> Case:
    """GNU tar -C folder . of an unpacked archive, and a mount's own tar."""
    members = [directory("./"), *(file(f"./{each.name}", each.data) for each in members_of(simple().bytes()))]
    return layer(*members), SIMPLE


def tar_r_appends_a_newer_index() -> Case:
    """tar -r puts new versions behind the old ones; the last one counts, for documents and for layers."""
    old, new = simple("old"), simple("1")
    members = [*members_of(old.bytes()), *members_of(new.bytes())]
    return layer(*members), SIMPLE


def tar_r_appends_all_that_is_there_already() -> Case:
    """tar -r of a whole layout, after a new tag was put into it: equal blobs come twice."""
    return layer(*members_of(simple().bytes()) * 2), SIMPLE


def podman_saves_a_layout_by_id() -> Case:
    return simple(None).bytes(), [image("sha256:", LOW, HIGH)]


def docker_25_0_0_saves_by_id() -> Case:
    """Its index.json says `"manifests": null`; manifest.json knows better."""
    return _docker_25([], [LOW, HIGH]), [image("sha256:", LOW, HIGH)]


def docker_28_saves_one_image_by_name_and_one_by_id() -> Case:
    """The index has the one with a name, manifest.json both."""
    archive = OciArchive()
    archive.add_image([LOW], name="docker.io/library/a:1")
    return _docker_25(archive.manifests, [HIGH], archive), [
        image("docker.io/library/a:1", LOW),
        image("sha256:", HIGH),
    ]


def _docker_25(index: list[dict], layers: list[bytes], archive: OciArchive | None = None) -> bytes:
    archive = archive or OciArchive()
    entries = []
    for each in index:
        known = json.loads(archive.blobs[each["digest"]])["config"]["digest"]
        entries.append({"Config": f"blobs/{known.replace(':', '/')}", "RepoTags": ["a:1"], "Layers": ["not/looked/at"]})
    paths = ["blobs/" + archive.add_blob(each).replace(":", "/") for each in (config(*layers), *layers)]
    entries.append({"Config": paths[0], "RepoTags": None, "Layers": paths[1:]})
    archive.extra["manifest.json"] = json.dumps(entries).encode()
    archive.extra["index.json"] = json.dumps({"schemaVersion": 2, "manifests": index or None}).encode()
    return archive.bytes()


def ctr_names_a_registry_with_a_port() -> Case:
    archive = OciArchive()
    archive.add_image([LOW], tag="1", name="registry.example:8443/team/a:1")
    return archive.bytes(), [image("registry.example:8443/team/a:1", LOW)]


def ctr_names_an_image_by_digest() -> Case:
    archive = OciArchive()
    target = archive.add_manifest([LOW])
    archive.name(target, name=f"quay.io/a/b@{target['digest']}")
    return archive.bytes(), [image(f"quay.io/a/b@{target['digest']}", LOW)]


def ctr_of_kubernetes_names_an_image_by_its_id() -> Case:
    """containerd keeps images for kubernetes under the configuration's digest, too."""
    archive = OciArchive()
    target = archive.add_manifest([LOW])
    archive.name(target, name=json.loads(archive.blobs[target["digest"]])["config"]["digest"])
    return archive.bytes(), [image(target["digest"], LOW)]


def buildkit_adds_a_name_and_a_time() -> Case:
    archive = OciArchive()
    notes = {"org.opencontainers.image.created": "2024-01-01T00:00:00Z"}
    archive.add_image([LOW], tag="1", name="docker.io/library/a:1", annotations=notes)
    return archive.bytes(), [image("docker.io/library/a:1", LOW)]


def index_in_index() -> Case:
    """crane index append --flatten=false."""
    archive = OciArchive()
    inner = archive.add_nested([archive.add_manifest([LOW, HIGH])])
    archive.add_index([archive.add_nested([inner])], tag="1")
    return archive.bytes(), SIMPLE


def gzip_around_everything() -> Case:
    """docker save | gzip, and docker load reads it."""
    return gzip.compress(simple().bytes()), SIMPLE


def git_archive_writes_a_global_header() -> Case:
    """A layout under version control, out of git archive: a PAX header for all members, with the commit."""
    output = io.BytesIO()
    with tarfile.open(
        fileobj=output, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "0" * 40}
    ) as archive:
        for entry in members_of(simple().bytes()):
            archive.addfile(entry.info(), io.BytesIO(entry.data))
    return output.getvalue(), SIMPLE


def an_old_tar_writes_ustar() -> Case:
    """bsdtar --format ustar."""
    return layer(*members_of(simple().bytes()), format=tarfile.USTAR_FORMAT), SIMPLE


def oci_layout_is_missing() -> Case:
    """tar -cf x.tar index.json blobs, by hand."""
    return simple().bytes(leave_out=["oci-layout"]), SIMPLE


def members_that_nobody_knows() -> Case:
    """oras keeps a folder for what arrives, rules_oci an mtree, people a README; macOS' tar a ._ file beside each."""
    archive = simple()
    names = ["ingest/tmp", "mtree", "README.md", "._index.json", "blobs/._sha256", f"blobs/sha256/._{'0' * 64}"]
    archive.extra |= dict.fromkeys(names, b"Mac OS X")
    return archive.bytes(order=sorted), SIMPLE


def buildkit_writes_an_empty_layer() -> Case:
    """RUN true: a gzip of an empty tar, as docker's builders have made it since 1.10."""
    archive = OciArchive()
    archive.add_image([gzip_data(EMPTY), LOW, gzip_data(EMPTY)], tag="1")
    return archive.bytes(), [image("localhost/a:1", EMPTY, LOW, EMPTY)]


def a_configuration_with_fields_that_nobody_knows() -> Case:
    """moby.buildkit.buildinfo.v1, container_config, and what is next."""
    archive = OciArchive()
    more = {"moby.buildkit.buildinfo.v1": "eyJ9", "history": None, "os.features": ["x"], "x": {"rootfs": 1}}
    archive.add_image([LOW, HIGH], tag="1", **more)
    return archive.bytes(), SIMPLE


def a_configuration_with_null_for_everything() -> Case:
    """Programs that are not written in Go write null where Go leaves a field out, and docker does in `config`."""
    archive = OciArchive()
    nothing = {"os": None, "architecture": None}
    archive.add_image([LOW, HIGH], tag="1", platform=nothing, variant=None, created=None, config=None, history=None)
    archive.manifests[0]["platform"] = None
    archive.manifests[0]["annotations"] |= {}
    return archive.bytes(), SIMPLE
