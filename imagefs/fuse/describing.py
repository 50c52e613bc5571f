"""What a serving process answers to whoever asks how its mount is doing."""

import os
import threading

import msgspec

from imagefs.fuse import counting
from imagefs.fuse.counting import Counts
from imagefs.fuse.request import MountRequest
from imagefs.fuse.stats import SIZE, MountStats, pid_namespace
from imagefs.tree.mounted import MountedImages

_NAMES_ROOM = SIZE // 2
"""Bytes of the answer for names of images; the rest is for the figures, which are a few thousand at most."""


def described(request: MountRequest, images: MountedImages, counts: Counts) -> bytes:
    """The `MountStats` of a mount as JSON."""
    names = _fitting(request.images)
    latencies = counts.latencies()
    return msgspec.json.encode(
        MountStats(
            mountpoint=request.mountpoint,
            store=request.store,
            view=request.view,
            images=names if request.images else None,
            more_images=len(request.images) - len(names),
            pid=os.getpid(),
            pid_namespace=pid_namespace(),
            uptime=counts.uptime,
            memory=counting.memory(),
            open_files=counting.open_files(),
            threads=threading.active_count(),
            open_layers=len(images.layers),
            unpacked_layers=counts.unpacked_layers,
            reads=latencies["read"].count if "read" in latencies else 0,
            cached_reads=counts.cached_reads,
            bytes_read=counts.bytes_read,
            errors=counts.errors(),
            requests=latencies,
        )
    )


def _fitting(names: tuple[str, ...]) -> tuple[str, ...]:
    room = _NAMES_ROOM
    for number, name in enumerate(names):
        room -= len(msgspec.json.encode(name)) + 1
        if room < 0:
            return names[:number]
    return names
