"""The peers, each with state of its own that ends with the tests, and the images to try them on."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from .archives import Content, content_of, sha256

SAMPLES = Path(__file__).parents[2] / "scripts" / "samples"
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def find(tool: str) -> str:
    path = shutil.which(tool, path=PATH)
    if path is None:
        pytest.skip(f"{tool} is not installed")
    return path


def run(*command: str | Path, **options: Any) -> str:
    """Run a program; its standard output, or a failure that shows what it said."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "check": False} | options
    options["env"] = {**os.environ, "PATH": PATH, **options.get("env", {})}
    result = subprocess.run([str(part) for part in command], **options)
    said = b"\n".join(filter(None, (result.stdout, result.stderr))).decode(errors="replace")
    assert result.returncode == 0, f"{' '.join(map(str, command))}\nexit {result.returncode}\n{said[-3000:]}"
    return (result.stdout or b"").decode()


@pytest.fixture(scope="session")
def need() -> Callable[[str], str]:
    """`need("skopeo")`: the program's path; skips where it is missing."""

    def check(tool: str) -> str:
        if tool == "root":
            return tool if os.geteuid() == 0 else pytest.skip("only root can make the files of an image")
        return find(tool)

    return check


# What is tried


def imagefs(store: Path, *arguments: str | Path, **options: Any) -> str:
    """Run the command on a store; its standard output."""
    return run(sys.executable, "-m", "imagefs", "--store", store, *arguments, **options)


def imported_images(store: Path) -> dict[str, str]:
    """Name and digest of all images in a store, as the command lists them; the name of one without is its digest."""
    return {row["name"] or row["digest"]: row["digest"] for row in json.loads(imagefs(store, "images", "--json"))}


def imported_content(store: Path, name: str) -> dict[str, Content]:
    """What an image in a store consists of, by architecture, read from the store's blobs."""
    contents = {}
    for manifest in json.loads(imagefs(store, "inspect", "--json", name))["manifests"]:
        config = _blob(store, json.loads(_blob(store, manifest["digest"]))["config"]["digest"])
        architecture = json.loads(config)["architecture"]
        if architecture != "unknown":  # an attestation beside the images
            contents[architecture] = content_of(config)
            said = tuple(layer["diffID"] for layer in manifest["layers"])
            assert said == contents[architecture].diff_ids
    return contents


def _blob(store: Path, digest: str) -> bytes:
    data = (store / "blobs" / digest.replace(":", "/")).read_bytes()
    assert sha256(data) == digest
    return data


@contextmanager
def mounted(store: Path, mountpoint: Path, *arguments: str) -> Iterator[Path]:
    """A mount for the time of the block."""
    mountpoint.mkdir(exist_ok=True)
    imagefs(store, "mount", *arguments, mountpoint)
    try:
        yield mountpoint
    finally:
        imagefs(store, "umount", mountpoint)


# The images


class Samples:
    """Real images as OCI archives, made when they are first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def debian(self) -> Path:
        """Three tags of one distribution, each with a layer more than the last; one platform."""
        return self._make("debian")

    @cached_property
    def busybox(self) -> Path:
        """One image for one platform."""
        return self._make("busybox")

    @cached_property
    def busybox_multi(self) -> Path:
        """One image with an index: amd64, and arm64 with a zstd layer."""
        return self._make("busybox-multi")

    def _make(self, name: str) -> Path:
        path = self.folder / f"{name}.tar"
        with open(self.folder / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the processes of pytest-xdist share the folder
            if not path.exists():
                if not SAMPLES.exists():
                    pytest.skip(f"{SAMPLES.name}, which makes the images, is not there")
                unfinished = self.folder / "unfinished" / path.name
                unfinished.parent.mkdir(exist_ok=True)
                result = subprocess.run([SAMPLES, name, unfinished], capture_output=True, text=True, check=False)
                if result.returncode:
                    pytest.skip(f"scripts/samples {name}: {result.stderr.strip()[-500:]}")
                unfinished.rename(path)
        return path


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """The images; in the folder that IMAGEFS_TEST_SAMPLES names, if it does, to be found there next time."""
    kept = os.environ.get("IMAGEFS_TEST_SAMPLES")
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = Path(kept).absolute() if kept else shared / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    return Samples(folder)


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A folder for what is too big to be kept for three runs, as pytest does with its own."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


# The peers


@contextmanager
def daemon(folder: Path, command: list[str | Path], ready: list[str | Path]) -> Iterator[None]:
    """A daemon for the time of the block: entered once `ready` succeeds; skips where it does not start."""
    log = folder / "log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "PATH": PATH, "TMPDIR": str(folder)},
        )
    try:
        deadline = time.monotonic() + 30
        while subprocess.run([str(part) for part in ready], capture_output=True, check=False).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                last = log.read_text(errors="replace").strip().splitlines()[-3:]
                pytest.skip(f"{Path(command[0]).name} does not start here: {' / '.join(last)}")
            time.sleep(0.2)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


class Containerd:
    """containerd, seen through ctr, in a namespace of its own."""

    def __init__(self, ctr: str, socket: Path, namespace: str) -> None:
        self._command = [ctr, "--address", socket, "--namespace", namespace]

    def __call__(self, *arguments: str | Path) -> str:
        return run(*self._command, *arguments)

    def images(self) -> dict[str, str]:
        """Name and digest of all images."""
        rows = [line.split() for line in self("images", "list").splitlines()[1:]]
        return {row[0]: row[2] for row in rows}

    def blob(self, digest: str) -> bytes:
        data = run(*self._command, "content", "get", digest).encode()
        assert sha256(data) == digest
        return data

    def content(self, manifest: str) -> Content:
        """The content of a manifest."""
        return content_of(self.blob(json.loads(self.blob(manifest))["config"]["digest"]))


@pytest.fixture(scope="session")
def _containerd(need, tmp_path_factory) -> Iterator[tuple[str, Path]]:
    containerd, ctr = need("containerd"), need("ctr")
    need("root")
    folder = tmp_path_factory.mktemp("ctrd")
    socket = folder / "socket"
    config = folder / "config.toml"
    # Only what stores images; CRI would open a port and look for a network.
    config.write_text(f"""version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri"]
root = "{folder / "root"}"
state = "{folder / "state"}"
[grpc]
address = "{socket}"
""")
    with daemon(folder, [containerd, "--config", config], [ctr, "--address", socket, "version"]):
        yield ctr, socket


@contextmanager
def empty_containerd(ctr: str, socket: Path) -> Iterator[Containerd]:
    """A namespace of its own in a containerd, where nothing is seen that others have, for the time of the block."""
    client = Containerd(ctr, socket, namespace=f"test-{time.monotonic_ns()}")
    yield client
    names = list(client.images())
    if names:
        client("images", "remove", "--sync", *names)


@pytest.fixture
def containerd(_containerd) -> Iterator[Containerd]:
    """An empty containerd."""
    with empty_containerd(*_containerd) as client:
        yield client


class Docker:
    """dockerd or podman: they have the same commands."""

    def __init__(self, command: list[str | Path], environment: dict[str, str]) -> None:
        self._command, self._environment = command, environment

    def __call__(self, *arguments: str | Path) -> str:
        return run(*self._command, *arguments, env=self._environment)

    def image(self, name: str) -> dict[str, Any]:
        """What `image inspect` says."""
        (image,) = json.loads(self("image", "inspect", name))
        return image

    def content(self, name: str) -> Content:
        """The content of an image."""
        image = self.image(name)
        return Content(f"sha256:{image['Id'].removeprefix('sha256:')}", tuple(image["RootFS"]["Layers"]))

    def clear(self) -> None:
        """Remove all images."""
        images = self("images", "--quiet", "--all").split()
        if images:
            self("rmi", "--force", *dict.fromkeys(images))


@pytest.fixture(scope="session")
def _dockerd(need, tmp_path_factory) -> Iterator[Docker]:
    dockerd, client = need("dockerd"), need("docker")
    need("root")
    folder = tmp_path_factory.mktemp("dkrd")
    host = f"unix://{folder}/socket"
    command = [dockerd, "--config-file", folder / "none.json", "--data-root", folder / "data"]
    command += ["--exec-root", folder / "exec", "--pidfile", folder / "pid", "--host", host]
    command += ["--iptables=false", "--ip6tables=false", "--ip-masq=false", "--bridge=none"]
    command += ["--storage-driver=vfs"]
    (folder / "none.json").write_text("{}")
    environment = {"DOCKER_HOST": host, "DOCKER_CONFIG": str(folder / "client"), "DOCKER_CONTEXT": "default"}
    # dockerd wants /sys/fs/cgroup mounted; without it, it ends and the last lines of its log say so.
    with daemon(folder, command, [client, "--host", host, "version"]):
        yield Docker([client, "--host", host], environment)


@pytest.fixture
def dockerd(_dockerd) -> Iterator[Docker]:
    """An empty dockerd, and docker to talk to it."""
    yield _dockerd
    _dockerd.clear()


@contextmanager
def empty_podman(need: Callable[[str], str], folder: Path) -> Iterator[Docker]:
    """A podman that keeps its images in a folder, for the time of the block."""
    need("root")
    program = need("podman")
    # podman refuses a runroot of more than 50 characters, which pytest's folders have.
    with tempfile.TemporaryDirectory(prefix="podman-") as runroot:
        command = [program, "--root", folder / "podman", "--runroot", runroot]
        command += ["--tmpdir", f"{runroot}/tmp", "--storage-driver=vfs", "--events-backend=none"]
        yield Docker(command, {"TMPDIR": str(folder)})


@pytest.fixture
def podman(need, scratch) -> Iterator[Docker]:
    """An empty podman."""
    with empty_podman(need, scratch) as tool:
        yield tool


class Skopeo:
    """skopeo, with any policy."""

    def __init__(self, command: str, folder: Path) -> None:
        self._command, self._folder = command, folder

    def copy(self, source: str, destination: str, *options: str) -> None:
        command = [self._command, "--insecure-policy", "--tmpdir", self._folder, "copy", "--quiet"]
        run(*command, *options, source, destination)

    def fetch(self, source: str, *options: str) -> tuple[str, Path]:
        """Copy an image, which checks all digests; its digest, and the folder with what there is of it."""
        folder = self._folder / f"copy-{time.monotonic_ns()}"
        self.copy(source, f"dir:{folder}", *options)
        return sha256((folder / "manifest.json").read_bytes()), folder

    def content(self, source: str, *options: str) -> Content:
        """The content of an image for one platform."""
        _, folder = self.fetch(source, *options)
        config = json.loads((folder / "manifest.json").read_bytes())["config"]["digest"]
        return content_of((folder / config.removeprefix("sha256:")).read_bytes())


@pytest.fixture
def skopeo(need, scratch) -> Skopeo:
    """skopeo, with a folder for its files."""
    folder = scratch / "skopeo"
    folder.mkdir()
    return Skopeo(need("skopeo"), folder)


@contextmanager
def empty_buildah(need: Callable[[str], str], folder: Path) -> Iterator[Docker]:
    """A buildah that keeps its images in a folder, for the time of the block; it needs no namespace of its own."""
    need("root")
    program = need("buildah")
    with tempfile.TemporaryDirectory(prefix="buildah-") as runroot:
        command = [program, "--root", folder / "buildah", "--runroot", runroot, "--storage-driver=vfs"]
        tool = Docker(command, {"TMPDIR": str(folder), "BUILDAH_ISOLATION": "chroot"})
        yield tool
        tool("rm", "--all")


@pytest.fixture
def buildah(need, scratch) -> Iterator[Docker]:
    """An empty buildah."""
    with empty_buildah(need, scratch) as tool:
        yield tool
