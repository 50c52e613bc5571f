"""An ordinary user for the tests of what needs no root: one with no capability and in no group.

Where the tests run as an ordinary user, it is that one. Where they run as root it is a user who is nobody else, in a
mount namespace that is made for the tests and gone with them: there, what is closed to others on the way to the
interpreter, the project and the temporary folders is open, and /dev/fuse has the permissions that udev gives it.
Nothing of that is seen outside, and what the user mounts is not either.
"""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from support.command import Result

PROJECT = Path(__file__).parents[2]
UID, GID = 54321, 54322

_ENTERED = r"""
mount -t tmpfs -o mode=755 tmpfs /mnt
if [ "$1" = device ]; then
    mknod -m 666 /mnt/fuse c 10 229
    mount --bind /mnt/fuse /dev/fuse
fi
# fusermount3 mounts for users who have a name only.
{ cat /etc/passwd; echo "$2"; } >/mnt/passwd
mount --bind /mnt/passwd /etc/passwd
# Whether users may let others in is for `let_others_in` to say.
echo >/mnt/fuse.conf
[ ! -e /etc/fuse.conf ] || mount --bind /mnt/fuse.conf /etc/fuse.conf
closed=$3
shift 3
number=0
for path; do
    number=$((number + 1))
    mkdir "/mnt/$number"
    mount --rbind "$path" "/mnt/$number"
done
printf %s "$closed" | while IFS= read -r folder; do
    mount -t tmpfs -o mode=755 tmpfs "$folder"
done
number=0
for path; do
    number=$((number + 1))
    mkdir -p "$path"
    mount --rbind "/mnt/$number" "$path"
done
echo ready
# Until the tests close it or die.
exec cat
"""


@dataclass(frozen=True)
class OrdinaryUser:
    """Runs commands as the user; `home` is a folder that they own."""

    home: Path
    uid: int
    gid: int
    enter: tuple[str, ...] = ()

    def command(self, *command: str | Path) -> list[str]:
        """The command line that runs a command as the user, in their home."""
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
        variables = {"HOME": self.home, "PATH": path, "LC_ALL": "C.UTF-8", "PYTHONPATH": PROJECT}
        clean = ["env", "-i", "-C", str(self.home), *(f"{name}={value}" for name, value in variables.items())]
        return [*self.enter, *clean, *map(str, command)]

    def __call__(self, *command: str | Path, stdin: bytes = b"", check: bool = True) -> Result:
        """Run a command; a status that is not 0 fails the test unless `check` is off."""
        done = subprocess.run(self.command(*command), input=stdin, capture_output=True, check=False, timeout=120)
        result = Result(done.returncode, os.fsdecode(done.stdout), os.fsdecode(done.stderr))
        assert not check or result.status == 0, (command, result)
        return result

    def imagefs(self, *arguments: str | Path, **options: Any) -> Result:
        """Run `imagefs` on the user's store."""
        return self(sys.executable, "-m", "imagefs", "--store", self.home / "store", *arguments, **options)

    def python(self, code: str, *arguments: str | Path, **options: Any) -> Result:
        """Run a program."""
        return self(sys.executable, "-c", code, *arguments, **options)

    def another(self, uid: int, gid: int | None = None, groups: Sequence[int] = ()) -> "OrdinaryUser":
        """Somebody else at the same place, of a group of their own or `gid`; for tests that run as root."""
        assert self.enter
        gid = uid if gid is None else gid
        return replace(
            self, uid=uid, gid=gid, enter=(*self.enter[: self.enter.index("setpriv")], *_become(uid, gid, groups))
        )

    def let_others_in(self, allowed: bool) -> None:
        """Say in fuse.conf whether users may mount with allow_other; for tests that run as root."""
        self.another(0)("sh", "-c", 'echo "$1" >/mnt/fuse.conf', "sh", "user_allow_other" if allowed else "")


@contextmanager
def ordinary_user(home: Path) -> Iterator[OrdinaryUser]:
    """An ordinary user for as long as the block takes."""
    if os.geteuid() != 0:
        yield OrdinaryUser(home, os.getuid(), os.getgid())
        return
    os.chown(home, UID, GID)
    os.chmod(home, 0o755)
    needed = list(dict.fromkeys(map(Path, (PROJECT, sys.prefix, sys.base_prefix, home))))
    # The first closed folder on the way is covered: then nothing below it has to be open but what is needed.
    found = dict.fromkeys(filter(None, map(_closed, needed)))
    closed = [folder for folder in found if not any(other in folder.parents for other in found)]
    behind = [path for path in needed if any(folder in path.parents for folder in closed)]
    device = "device" if os.stat("/dev/fuse").st_mode & 0o006 != 0o006 else ""
    account = f"ordinary:x:{UID}:{GID}::{home}:/bin/sh"
    covers = "".join(f"{folder}\n" for folder in closed)
    script = ["sh", "-euc", _ENTERED, "sh", device, account, covers, *map(str, behind)]
    # With process numbers of their own everything that the user started ends with the first process.
    unshare = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    keeper = subprocess.Popen([*unshare, *script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert keeper.stdin is not None and keeper.stdout is not None
        assert keeper.stdout.readline() == b"ready\n"
        spaces = Path(f"/proc/{keeper.pid}/ns")
        entered = ("nsenter", f"--mount={spaces / 'mnt'}", f"--pid={spaces / 'pid_for_children'}", "--")
        yield OrdinaryUser(home, UID, GID, (*entered, *_become(UID, GID)))
    finally:
        keeper.communicate()


def _become(uid: int, gid: int, groups: Sequence[int] = ()) -> Sequence[str]:
    # Not --no-new-privs: fusermount3 is setuid, and its doing is what an ordinary user's mount is made of.
    others = f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"
    return ("setpriv", f"--reuid={uid}", f"--regid={gid}", others, "--inh-caps=-all", "--")


def _closed(path: Path) -> Path | None:
    """The first folder on the way to a path that others cannot enter."""
    for folder in reversed(path.parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            return folder
    return None
