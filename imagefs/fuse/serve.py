"""Serving one mount in this process, until it is unmounted or told to end."""

import logging
import os
import resource
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from functools import partial

import pyfuse3
import trio

from imagefs.fuse import readahead, takeover
from imagefs.fuse.answers import Answers
from imagefs.fuse.counting import Counts
from imagefs.fuse.describing import described
from imagefs.fuse.loop import RequestLoop
from imagefs.fuse.notify import notify
from imagefs.fuse.operations import FuseOperations
from imagefs.fuse.options import MountOptions, parse
from imagefs.fuse.record import MountRecord
from imagefs.fuse.request import MountRequest
from imagefs.fuse.session import devices, open_session
from imagefs.fuse.takeover import Server, StockLoop, TakenOver
from imagefs.store.leases import mount_label
from imagefs.store.store import Store
from imagefs.tree.filesystem import FileSystem
from imagefs.tree.mounted import MountedImages
from imagefs.tree.namespace import Namespace
from imagefs.tree.rootfs import RootfsView

log = logging.getLogger(__name__)

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_WATCH_INTERVAL = 0.5  # seconds between two looks for new and removed images


def serve(request: MountRequest, ready: Callable[[], None]) -> None:
    """Mount, call `ready` once the tree can be read, and serve until unmounted or signalled.

    Raises `MountError` and whatever opening the store and finding the images raises; then nothing is mounted.
    """
    request.check()
    _allow_descriptors()
    options = parse(request.options)
    with Store(request.store) as store:
        # Two images can have one layer as different blobs: what says where it comes from is not shared.
        label, sharing = mount_label(request.mountpoint), not options.provenance
        images = MountedImages(store, request.images, label, sharing=sharing, verify=options.verify)
        record = MountRecord(images, request.mountpoint)
        try:
            files = _files(images, request.view, options)
            files.open_ahead()
            answer_xattrs, owners = files.has_xattrs and not options.noxattr, options.owners()
            operations = FuseOperations(files, answer_xattrs=answer_xattrs, owners=owners)
            mountpoint = os.fsencode(os.path.realpath(request.mountpoint))
            # From the mount on, a signal must find somebody who undoes it.
            ending = [each for each in _ENDING if signal.getsignal(each) != signal.SIG_IGN]  # nohup is respected
            signal.pthread_sigmask(signal.SIG_BLOCK, ending)
            before = devices()
            open_session(operations, request.mountpoint, request.store, options.passed_on)
            unmount = True
            try:
                counts = Counts()
                answers = Answers(
                    files,
                    answer_xattrs=answer_xattrs,
                    owners=owners,
                    describe=partial(described, request, images, counts),
                )
                server = _server(
                    operations, partial(RequestLoop, answers=answers, counts=counts), devices() - before, mountpoint
                )
                announce = partial(_announce, partial(_tell, request, ready), record)
                unmount = trio.run(_run, files, server, announce, ending)
            finally:
                notify("STOPPING=1", f"STATUS=unmounting {request.mountpoint}")
                pyfuse3.close(unmount=unmount)
        finally:
            record.end()
            images.close()


def _allow_descriptors() -> None:
    """Layers and blobs of many images may be open at once: as many as the system allows, not as a shell begins with."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _files(images: MountedImages, view: str, options: MountOptions) -> FileSystem:
    if view == "rootfs":
        return RootfsView(images, provenance=options.provenance)
    return Namespace(images, show_images=view == "all", show_layers=options.layers, provenance=options.provenance)


def _server(
    operations: FuseOperations, loop: Callable[[int], RequestLoop], new: Collection[int], mountpoint: bytes
) -> Server:
    if not takeover.possible() or len(new) != 1:
        return StockLoop()
    (device,) = new
    return TakenOver(operations, loop(device), lambda: readahead.extend(mountpoint))


async def _run(
    files: FileSystem, server: Server, announce: Callable[[], Awaitable[None]], ending: Sequence[signal.Signals]
) -> bool:
    """Serve; answers whether it is still mounted in the end, because a signal ended it."""
    signalled = False

    async def end_on_signal(signals: AsyncIterator[int]) -> None:
        nonlocal signalled
        async for number in signals:
            log.info("ended by %s", signal.Signals(number).name)
            signalled = True
            server.stop()

    async def watch() -> None:
        while True:
            await trio.sleep(_WATCH_INTERVAL)
            try:
                files.refresh()
                # The kernel goes by what it has for a while; and until it forgets, a removed image is in use.
                for directory, name in files.outdated():
                    pyfuse3.invalidate_entry_async(directory, name, ignore_enoent=True)
            except Exception:
                log.exception("looking for new images failed")

    with trio.open_signal_receiver(*ending) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ending)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_on_signal, signals)
            if not files.fixed:
                nursery.start_soon(watch)
            nursery.start_soon(announce)
            await server.run()
            nursery.cancel_scope.cancel()
    return signalled


def _tell(request: MountRequest, ready: Callable[[], None]) -> None:
    log.info("%s: mounted", request.mountpoint)
    ready()
    count = len(request.images)
    shown = f"{count} image{'s' * (count > 1)}" if count else "all images"
    notify("READY=1", f"STATUS={shown} of {request.store} on {request.mountpoint}")


async def _announce(ready: Callable[[], None], record: MountRecord) -> None:
    # The kernel has the mount from init() on and keeps requests until the loop, which runs by now, takes them.
    begun = record.begin()
    ready()
    while not begun:
        await trio.sleep(_WATCH_INTERVAL)
        begun = record.begin()
