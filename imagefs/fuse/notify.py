"""Telling a service manager how it goes: systemd's protocol (sd_notify(3)), which is a datagram to a socket."""

import os
import socket
from contextlib import suppress

SOCKET = "NOTIFY_SOCKET"
"""The environment variable that names the socket, of a process that is a service."""


def notify(*lines: str) -> None:
    """Tell the service manager, where there is one and it wants to know; whether it listens, nobody waits for."""
    address = os.environ.get(SOCKET, "")
    if not address.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        manager.setblocking(False)
        # An @ stands for the NUL that addresses without a file begin with.
        manager.connect("\0" + address[1:] if address.startswith("@") else address)
        manager.send(os.fsencode("\n".join(line.replace("\n", " ") for line in lines)))
