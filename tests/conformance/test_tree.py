"""A mounted image is the tree that other tools unpack."""

import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from .archives import oci_images
from .conftest import imagefs, mounted, run
from .tree import differences, walk

pytestmark = [pytest.mark.peer, pytest.mark.fuse]

IMAGES = [
    ("debian", 0, "oci"), ("debian", 2, "oci"), ("debian", 2, "docker"),
    ("busybox", 0, "oci"), ("busybox", 0, "docker"),
]  # fmt: skip


def _image(samples, sample: str, number: int) -> tuple[Path, str]:
    """An archive and the tag of one of its images."""
    archive = getattr(samples, sample)
    images = list(oci_images(archive).values())
    assert len(images) == (3 if sample == "debian" else 1)
    return archive, images[number].tag


@pytest.mark.slow
@pytest.mark.parametrize(("sample", "number", "form"), IMAGES)
def test_mounted_tree_equals_what_umoci_unpacks(samples, need, skopeo, scratch, sample, number, form):
    need("root")
    umoci = need("umoci")
    archive, tag = _image(samples, sample, number)
    skopeo.copy(f"oci-archive:{archive}:{tag}", f"oci:{scratch}/layout:{tag}")
    run(umoci, "unpack", "--image", f"{scratch}/layout:{tag}", scratch / "bundle")
    expected = walk(scratch / "bundle" / "rootfs")
    assert len(expected) > (1000 if sample == "debian" else 2)

    given, image = archive, tag
    if form == "docker":
        given, image = scratch / "docker.tar", f"example.org/test/{sample}:{tag}"
        skopeo.copy(f"oci-archive:{archive}:{tag}", f"docker-archive:{given}:{image}")
    names = imagefs(scratch / "store", "import", given).split()
    (image,) = [name for name in names if name.endswith(f":{tag}")]
    with mounted(scratch / "store", scratch / "mnt", "--view", "rootfs", image) as root:
        assert differences(expected, walk(root)) == []


def test_tree_of_a_zstd_platform_equals_what_tar_extracts(samples, need, scratch):
    need("root")
    tar, zstd = need("tar"), need("zstd")
    archive = samples.busybox_multi
    ((name, image),) = oci_images(archive).items()
    root = scratch / "root"
    root.mkdir()
    for digest in image.layers["arm64"]:
        member = f"blobs/{digest.replace(':', '/')}"
        with tarfile.open(archive) as members:
            blob = members.extractfile(member).read()
        assert blob.startswith(b"\x28\xb5\x2f\xfd"), "the sample's layer is not zstd"
        layer = subprocess.run([zstd, "-d", "-c"], input=blob, stdout=subprocess.PIPE, check=True).stdout
        listed = run(tar, "-t", input=layer)
        assert "/.wh." not in f"/{listed}", "tar alone cannot apply whiteouts"
        assert "." not in (line.rstrip("/") for line in listed.splitlines())
        # A folder's time comes last, for its files may come after other folders.
        command = [tar, "-x", "-p", "--numeric-owner", "--delay-directory-restore"]
        run(*command, "--xattrs", "--xattrs-include=*", "-C", root, input=layer)
    expected = walk(root)
    assert len(expected) > 2

    assert imagefs(scratch / "store", "import", archive).split() == [name]
    with mounted(scratch / "store", scratch / "mnt") as mount:
        trees = {path.name: path for path in (mount / "images").glob("**/*@linux-arm64*")}
        host = json.loads(imagefs(scratch / "store", "inspect", "--json", name))["manifests"]
        assert len(host) >= 2
        assert len(trees) == 1, "the mount shows the other platform beside the host's"
        # No layer names the root, and tar leaves it with the time of the extraction.
        ignoring = [(b".", "mtime_ns")]
        assert differences(expected, walk(*trees.values()), ignoring=ignoring) == []
