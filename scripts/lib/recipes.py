"""What is in the sample images: one function for each, from Debian's packages to an archive."""

import io
import re
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

from debs import Apt, Deb, host_architecture
from ociwriter import TIME, Json, Layer, Layout, image_config

# Debian's names of architectures, where the image specification has others.
PLATFORMS: dict[str, Json] = {
    "arm64": {"architecture": "arm64", "variant": "v8"},
    "armel": {"architecture": "arm", "variant": "v5"},
    "armhf": {"architecture": "arm", "variant": "v7"},
    "i386": {"architecture": "386"},
    "mips64el": {"architecture": "mips64le"},
    "ppc64el": {"architecture": "ppc64le"},
}

# Directories that Debian keeps in /usr, with a link to each at the top.
MERGED = ("bin", "lib", "lib64", "sbin")

# What base-passwd copies when it is installed.
MASTERS = {
    "usr/share/base-passwd/group.master": "etc/group",
    "usr/share/base-passwd/passwd.master": "etc/passwd",
}

BASE = ("?essential", "apt")
TOOLS = ("curl", "git", "less")


def busybox(archive: Path, cache: Path, work: Path) -> None:
    """One image of one layer, like docker's own busybox."""
    deb = Apt(cache, host_architecture()).get("busybox-static")
    layout = Layout(work / "layout")
    manifest = _busybox_image(layout, deb, host_architecture(), "gzip", work, _applets(deb, work))
    layout.write(archive, [named(manifest, *_busybox_name(deb))])


def busybox_multi(archive: Path, cache: Path, work: Path) -> None:
    """An index with two platforms and an attestation, in an index: what `docker buildx` makes."""
    host = host_architecture()
    other = "arm64" if host != "arm64" else "amd64"
    deb = Apt(cache, host).get("busybox-static")
    foreign = Apt(cache, other).get("busybox-static")
    # Built from one source, both have the same applets; but only our own runs here.
    applets = _applets(deb, work)

    layout = Layout(work / "layout")
    image = _busybox_image(layout, deb, host, "gzip", work, applets)
    foreign_image = _busybox_image(layout, foreign, other, "zstd", work, applets)
    index = layout.add_index([image, foreign_image, _attestation(layout, image)])
    layout.write(archive, [named(index, *_busybox_name(deb))])


def debian(archive: Path, cache: Path, work: Path) -> None:
    """Three tags that share layers; the last layer has one of everything that a layer can hold."""
    apt = Apt(cache, host_architecture())
    base = apt.closure(*BASE)
    tools = apt.closure(*BASE, *TOOLS)
    layers = [
        packages_layer(work / "base.tar", base, []),
        packages_layer(work / "tools.tar", [deb for deb in tools if deb not in base], base),
        _oddities_layer(work / "oddities.tar"),
    ]
    version = next(deb for deb in base if deb.name == "base-files").version
    release = re.split(r"\D", version)[0]

    steps = [f"packages {' '.join(BASE)}", f"packages {' '.join(TOOLS)}", "one of everything that a layer can hold"]
    layout = Layout(work / "layout")
    descriptors = [layout.add_layer(layer, "gzip") for layer in layers]
    manifests = []
    for depth, tag in enumerate(["base", "tools", release], 1):
        config = image_config(platform(host_architecture()), layers[:depth], ["/bin/bash"], steps[:depth])
        manifests.append(named(layout.add_image(config, descriptors[:depth]), tag))
    layout.write(archive, manifests)


def _busybox_image(
    layout: Layout, deb: Deb, architecture: str, compression: str, work: Path, applets: Iterable[str]
) -> Json:
    with Layer(work / f"busybox-{architecture}.tar") as layer:
        for directory in ("bin", "dev", "etc", "home", "proc", "sys", "usr", "var"):
            layer.directory(directory)
        layer.directory("root", 0o700)
        layer.directory("tmp", 0o1777)
        layer.file("bin/busybox", _busybox_program(deb), 0o755)
        for applet in applets:
            layer.hard_link(f"bin/{applet}", "bin/busybox", 0o755)
        layer.file("etc/group", b"root:x:0:\n")
        layer.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    described = platform(architecture)
    image = layout.add_image(image_config(described, [layer]), [layout.add_layer(layer, compression)])
    return image | {"platform": described}


def _busybox_program(deb: Deb) -> bytes:
    with deb.files() as tar:
        for info in tar:
            if info.name.endswith("bin/busybox"):
                return _read(tar, info)
    raise LookupError(f"{deb.path}: there is no busybox in it")


def _applets(deb: Deb, work: Path) -> list[str]:
    program = work / "busybox"
    program.write_bytes(_busybox_program(deb))
    program.chmod(0o700)
    listing = subprocess.run([program, "--list"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return [applet for applet in listing.split() if applet != "busybox"]


def _busybox_name(deb: Deb) -> tuple[str, str]:
    tag = ".".join(deb.upstream_version.split(".")[:2])
    return tag, f"docker.io/library/busybox:{tag}"


def _attestation(layout: Layout, image: Json) -> Json:
    """A manifest that is about an image and has a statement where an image has layers."""
    statement = {
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": "https://slsa.dev/provenance/v0.2",
        "subject": [{"name": "busybox", "digest": dict([image["digest"].split(":")])}],
    }
    layer = layout.add_json(statement, "application/vnd.in-toto+json")
    unknown = {"architecture": "unknown", "os": "unknown"}
    config = unknown | {"rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}
    return layout.add_image(config, [layer]) | {
        "platform": unknown,
        "annotations": {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": image["digest"],
        },
    }


def packages_layer(path: Path, debs: list[Deb], below: list[Deb]) -> Layer:
    """The files of packages, and the list of all that are installed with those of the layers below."""
    with Layer(path) as layer:
        directories = {"."}
        for deb in debs:
            _copy_files(deb, layer, directories)
        if not below:
            for name in MERGED:
                if f"usr/{name}" in directories:
                    layer.symlink(name, f"usr/{name}")
        status = [deb.control().replace("\n", "\nStatus: install ok installed\n", 1) for deb in below + debs]
        layer.file("var/lib/dpkg/status", "\n".join(sorted(status)).encode())
    return layer


def _copy_files(deb: Deb, layer: Layer, directories: set[str]) -> None:
    with deb.files() as tar:
        for info in tar:
            info.name = info.name.removeprefix("./")
            if info.issym() and info.name in MERGED:
                # Newer releases have the links in a package; here they are made for all.
                continue
            info.name = _merged(info.name)
            if info.isdir():
                # Packages share directories.
                if info.name in directories:
                    continue
                directories.add(info.name)
            elif info.islnk():
                info.linkname = _merged(info.linkname.removeprefix("./"))
            if info.name in MASTERS:
                master = _read(tar, info)
                layer.copy(info, io.BytesIO(master))
                layer.file(MASTERS[info.name], master)
            else:
                layer.copy(info, tar.extractfile(info) if info.isreg() else None)


def _read(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info)
    assert file
    return file.read()


def _merged(name: str) -> str:
    """Where a file of a package ends up, as on an installed system."""
    return f"usr/{name}" if name.partition("/")[0] in MERGED else name


def _oddities_layer(path: Path) -> Layer:
    """Whatever a layer can do to those below it, and whatever a tar can say of a file."""
    with Layer(path) as layer:
        # What is below is hidden, one by one or a directory whole, or becomes something else.
        layer.whiteout("usr/bin/git")
        layer.whiteout("usr/share/doc/git")
        layer.directory("usr/share/man")
        layer.opaque("usr/share/man")
        layer.file("usr/share/man/README", b"The manual pages are left out.\n")
        layer.file("etc/skel", b"A file where there was a directory.\n")
        layer.directory("etc/debian_version")
        layer.file("etc/debian_version/README", b"A directory where there was a file.\n")

        layer.directory("srv")
        layer.directory("srv/modes")
        layer.directory("srv/modes/sticky", 0o1777)
        layer.directory("srv/modes/setgid", 0o2775, gid=50)
        layer.file("srv/modes/setuid", b"#!/bin/sh\n", 0o4755)
        layer.file("srv/modes/none", b"secret\n", 0)
        layer.file("srv/modes/owned", b"", owner=(1000, 1000))
        # cap_net_raw+ep, in revision 2 of the kernel's format.
        capability = bytes.fromhex("0100000200200000000000000000000000000000")
        xattrs = {"security.capability": capability, "user.note": b"seen"}
        layer.file("srv/modes/capable", b"#!/bin/sh\n", 0o755, xattrs=xattrs)

        layer.directory("srv/kinds")
        layer.file("srv/kinds/first", b"One file with three names.\n")
        layer.hard_link("srv/kinds/second", "srv/kinds/first")
        layer.hard_link("srv/kinds/third", "srv/kinds/first")
        layer.symlink("srv/kinds/absolute", "/etc/passwd")
        layer.symlink("srv/kinds/dangling", "../nowhere")
        layer.fifo("srv/kinds/fifo")
        layer.character_device("srv/kinds/zero", 1, 5)

        layer.directory("srv/names")
        layer.file("srv/names/café menu.txt", b"utf-8\n")
        layer.file(b"srv/names/caf\xe9 menu.txt", b"latin-1\n")
        layer.file("srv/names/new\nline", b"")
        layer.file(f"srv/names/{'n' * 255}", b"as long as a name can be\n")
        deep = "srv/names"
        for _ in range(5):
            deep += f"/{'d' * 100}"
            layer.directory(deep)
        layer.file(f"{deep}/file", b"a path of more than 500 bytes\n")

        layer.file("srv/nanoseconds", b"", mtime=f"{TIME}.123456789")
    return layer


def platform(architecture: str) -> Json:
    """The platform that an architecture of Debian's is."""
    return {"os": "linux"} | PLATFORMS.get(architecture, {"architecture": architecture})


def named(descriptor: Json, tag: str, full_name: str = "") -> Json:
    """A descriptor for index.json, with the annotations that name its image."""
    annotations = {"org.opencontainers.image.ref.name": tag}
    if full_name:
        annotations["io.containerd.image.name"] = full_name
    return descriptor | {"annotations": annotations}
