"""Debian's packages: which ones, their files, their control data.

apt runs on directories of its own, with the system's sources and keys. So it needs no root, leaves the system's
state alone, and answers for any architecture.
"""

import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

APT_CONFIG = """\
Dir::State "{root}/state";
Dir::State::lists "{root}/state/lists";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
Dir::Log "{root}/log";
APT::Architecture "{architecture}";
#clear APT::Architectures;
APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false";
Acquire::Languages "none";
// As root apt downloads as the user _apt, who may not enter a cache in root's home.
APT::Sandbox::User "root";
// The system's hooks clean up the system's directories.
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
// Believing that nothing is installed, this apt must never get to install anything.
Dir::Bin::dpkg "/bin/false";
"""


@dataclass(frozen=True, slots=True)
class Deb:
    """A package file that is here."""

    path: Path
    name: str
    version: str

    @property
    def upstream_version(self) -> str:
        """The version without Debian's epoch and revision."""
        return self.version.split(":")[-1].rsplit("-", 1)[0]

    def control(self) -> str:
        """The paragraph that describes the package."""
        return run("dpkg-deb", "--field", str(self.path))

    @contextmanager
    def files(self) -> Iterator[tarfile.TarFile]:
        """The package's files, as a tar to be read once from front to back."""
        command = ["dpkg-deb", "--fsys-tarfile", str(self.path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout
            with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
                yield tar
            # tarfile stops where the entries do, but dpkg-deb has padding to write after them.
            while process.stdout.read(1 << 16):
                pass
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)


class Apt:
    """The packages of one architecture, downloaded into a cache directory."""

    def __init__(self, cache: Path, architecture: str) -> None:
        self._root = root = cache.resolve() / architecture
        for name in ("state/lists/partial", "cache/archives/partial", "log", "debs"):
            (root / name).mkdir(parents=True, exist_ok=True)
        # Where no package is installed, what is missing for one is all that it depends on.
        (root / "status").touch()
        # Not where listings are asked for: of a package that lies there apt has nothing to say.
        self._debs = root / "debs"
        self._config = root / "apt.conf"
        self._config.write_text(APT_CONFIG.format(root=root, architecture=architecture))
        self._run("update")

    def get(self, name: str) -> Deb:
        """One package alone."""
        return self._fetch(self._run("download", "--print-uris", name))[0]

    def closure(self, *names: str) -> list[Deb]:
        """The packages with all that they depend on, by name."""
        return self._fetch(self._run("install", "--yes", "--print-uris", *names))

    def _fetch(self, listing: str) -> list[Deb]:
        debs, missing = [], []
        # 'http://…/busybox-static_1.35.0-4_amd64.deb' busybox-static_1%3a1.35.0-4_amd64.deb 928188 SHA256:…
        for line in listing.splitlines():
            _, file_name, size, *_ = line.split()
            name, version, _ = unquote(file_name).split("_")
            deb = Deb(self._debs / file_name, name, version)
            debs.append(deb)
            if not deb.path.exists() or deb.path.stat().st_size != int(size):
                missing.append(f"{name}={version}")
        if missing:
            self._run("download", *missing, directory=self._debs)
        return sorted(debs, key=lambda deb: deb.name)

    def _run(self, *arguments: str, directory: Path | None = None) -> str:
        # A configuration named on the command line is read after the system's, and so wins.
        return run("apt-get", "--config-file", str(self._config), "-qq", *arguments, cwd=directory or self._root)


def host_architecture() -> str:
    """What Debian calls the architecture of this machine."""
    return run("dpkg", "--print-architecture").strip()


def run(*command: str, cwd: Path | None = None) -> str:
    """What a command prints."""
    return subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True).stdout
