"""How far the kernel reads ahead in the files of a mount.

Each read request costs the same however much it asks for, and what is behind a mount is one large file: larger
requests are all gain. Only root may say so; the negotiation with the kernel can only lower what it has by itself.
"""

import os
from contextlib import suppress
from pathlib import Path

from imagefs.mountinfo import mounts

READ_AHEAD = 512
"""How far, in KiB; beyond, requests become no larger and page faults read in vain."""


def extend(mountpoint: bytes) -> None:
    """Let the kernel read further ahead in the mount at this path, where this process may say so.

    The path has no links in it, and is not looked up: whoever serves a mount must not ask it for anything.
    """
    devices = [mount.device for mount in mounts() if mount.mountpoint == mountpoint]
    if devices and os.geteuid() == 0:
        device = devices[-1]  # the last one mounted is on top
        setting = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
        with suppress(OSError):  # in a container /sys may be read-only; then it is as it was
            if int(setting.read_text()) < READ_AHEAD:
                setting.write_text(str(READ_AHEAD))
