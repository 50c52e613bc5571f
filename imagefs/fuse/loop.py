"""The request loop: requests from the device to `fuse.answers`, and answers back, as fast as one thread can.

pyfuse3's own loop goes through trio's scheduler for every request, which takes several times longer than to answer
it. This one stays with the device while there are requests, and lets trio run when there are none, and once in a
while. What has to wait does so elsewhere: for the disk in a few threads, for a layer to be uncompressed in a task of
its own.
"""

import errno
import logging
import os
import select
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import trio

from imagefs.errors import NotUnpacked
from imagefs.fuse import wire
from imagefs.fuse.answers import Answers, Refused, Reply, Waits
from imagefs.fuse.counting import Counts, kind
from imagefs.fuse.errnos import errno_of
from imagefs.fuse.wire import Request

log = logging.getLogger(__name__)

Answer = Reply | int
"""A reply, or the errno that there is instead."""

_LINGER = 2
"""Milliseconds to wait for the next request before trio is asked to: whoever reads a tree has it ready sooner."""

_READERS = 8
"""How many threads wait for the disk: as many reads as a disk does well to know of."""

_BREATH = 0.02
"""Seconds after which the other tasks, signals among them, get a turn however many requests there are."""


class RequestLoop:
    """The loop over one device descriptor; `run` returns when it is unmounted, or after `stop`."""

    def __init__(self, descriptor: int, answers: Answers, counts: Counts | None = None) -> None:
        self._descriptor = descriptor
        self._counts = counts or Counts()
        self._tells_each = log.isEnabledFor(logging.DEBUG)
        # A request can be taken back before it is read: nobody must wait for the next one then.
        os.set_blocking(descriptor, False)
        self._answers = answers
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._memory = bytearray(wire.buffer_size())
        self._scope = trio.CancelScope()
        self._readers = ThreadPoolExecutor(_READERS, "read")
        self._preparing: dict[str, _Preparation] = {}
        self._waiting: dict[int, trio.CancelScope] = {}

    def stop(self) -> None:
        """Return from `run`; call from trio's thread."""
        self._scope.cancel()

    async def run(self) -> None:
        """Serve."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    await self._serve(nursery)
                    nursery.cancel_scope.cancel()
        finally:
            # The descriptor is closed next, and may be another file's then.
            self._readers.shutdown(wait=True, cancel_futures=True)

    async def _serve(self, nursery: trio.Nursery) -> None:
        view = memoryview(self._memory)
        breath = 0.0
        while True:
            if time.monotonic() > breath:
                await trio.lowlevel.checkpoint()
                breath = time.monotonic() + _BREATH
            if not self._poll.poll(_LINGER):
                await trio.lowlevel.wait_readable(self._descriptor)
            try:
                size = os.readv(self._descriptor, (self._memory,))
            except OSError as error:
                if error.errno == errno.ENODEV:  # unmounted
                    return
                if error.errno in (errno.ENOENT, errno.EAGAIN):  # the request was taken back
                    continue
                raise
            request = wire.request(view[:size])
            request.began = time.perf_counter_ns()
            try:
                self._take(request, nursery)
            except Exception as error:  # no thread to be had, or no memory: whatever it is, the mount goes on
                self._reply(request, self._errno(error, request))

    def _take(self, request: Request, nursery: trio.Nursery) -> None:
        if self._tells_each:
            log.debug("%s %d, inode %d", kind(request.operation), request.unique, request.inode)
        if request.operation in (wire.FORGET, wire.BATCH_FORGET):
            try:
                self._answers.forget(request)
            except Exception as error:  # nobody waits for an answer, but the loop has to go on
                self._errno(error, request)
            self._counts.answered(request, b"")
        elif request.operation == wire.INTERRUPT:
            self._interrupt(request)
        else:
            try:
                self._reply(request, self._answer(request))
            except Waits as waiting:
                self._readers.submit(self._read_and_reply, request, waiting)
            except NotUnpacked as waiting:
                request.body = memoryview(bytes(request.body))
                scope = self._waiting[request.unique] = trio.CancelScope()
                nursery.start_soon(self._prepare_and_reply, request, waiting, scope, nursery)

    def _read_and_reply(self, request: Request, waiting: Waits) -> None:
        answer: Answer
        try:
            answer = waiting.read()
        except Exception as error:
            answer = self._errno(error, request)
        self._reply(request, answer, late=True)

    def _answer(self, request: Request) -> Answer:
        """The reply, or the errno that there is instead. Raises only `NotUnpacked` and `Waits`."""
        handler = self._answers.handlers.get(request.operation)
        if handler is None:
            return errno.ENOSYS
        try:
            return handler(request)
        except (NotUnpacked, Waits):
            raise
        except Refused as refused:
            return refused.number
        except Exception as error:  # whatever it is, the mount goes on
            return self._errno(error, request)

    def _reply(self, request: Request, answer: Answer, *, late: bool = False) -> None:
        try:
            if isinstance(answer, int):
                os.write(self._descriptor, wire.reply_header(request.unique, 0, answer))
            else:
                os.writev(self._descriptor, (wire.reply_header(request.unique, len(answer)), answer))
            (self._counts.answered_late if late else self._counts.answered)(request, answer)
        except Exception as error:
            # Who asked may be gone; and when the mount is, reading the next request tells.
            if not isinstance(error, OSError) or error.errno not in (errno.ENOENT, errno.ENODEV):
                number = errno_of(error, f"the answer to {kind(request.operation)}")
                with suppress(OSError):  # whatever it was, somebody waits for an answer
                    os.write(self._descriptor, wire.reply_header(request.unique, 0, number))

    def _errno(self, error: Exception, request: Request) -> int:
        return errno_of(error, f"{kind(request.operation)} of inode {request.inode}")

    # -- what has to wait

    async def _prepare_and_reply(
        self, request: Request, waiting: NotUnpacked, scope: trio.CancelScope, nursery: trio.Nursery
    ) -> None:
        answer: Answer = errno.EINTR
        with scope:
            try:
                answer = await self._prepared(request, waiting, nursery)
            except Exception as error:  # the layer cannot be unpacked
                answer = self._errno(error, request)
        del self._waiting[request.unique]
        self._reply(request, answer, late=True)

    async def _prepared(self, request: Request, waiting: NotUnpacked, nursery: trio.Nursery) -> Answer:
        while True:
            preparation = self._preparing.get(waiting.diff_id)
            if preparation is None:
                preparation = self._preparing[waiting.diff_id] = _Preparation()
                nursery.start_soon(self._prepare, waiting, preparation)
            await preparation.finished.wait()
            if preparation.error is not None:
                raise preparation.error
            try:
                return self._answer(request)
            except Waits as reading:
                return await trio.to_thread.run_sync(reading.read)
            except NotUnpacked as another:
                waiting = another

    async def _prepare(self, waiting: NotUnpacked, preparation: "_Preparation") -> None:
        # Once for all who wait, and to its end even if all of them are interrupted: the next one will be glad. Only
        # with the mount it ends half done, and leaves what nobody's lease protects.
        log.info("%s: unpacking", waiting.diff_id)
        try:
            await trio.to_thread.run_sync(waiting.prepare, abandon_on_cancel=True)
            self._counts.unpacked_layers += 1
            log.info("%s: unpacked", waiting.diff_id)
        except Exception as error:
            preparation.error = error
        del self._preparing[waiting.diff_id]
        preparation.finished.set()

    def _interrupt(self, request: Request) -> None:
        (unique,) = wire.INTERRUPT_IN.unpack_from(request.body)
        scope = self._waiting.get(unique)
        if scope is not None:
            scope.cancel()


class _Preparation:
    """A layer being uncompressed, and how that ended."""

    def __init__(self) -> None:
        self.finished = trio.Event()
        self.error: Exception | None = None
