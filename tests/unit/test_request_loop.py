"""The request loop over a socket in place of the device: what is answered, and what waits for what."""

import errno
import os
import socket
import stat
import struct
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import trio

from imagefs.errors import LayerError, NoSuchAttribute, NoSuchEntry, NotUnpacked
from imagefs.fuse import answers, wire
from imagefs.fuse.answers import Answers
from imagefs.fuse.loop import RequestLoop
from imagefs.tree.filesystem import FOREVER, VOLATILE, Attributes, Statistics

FILE, DIRECTORY, SLOW_DIRECTORY, SLOW_FILE = 2, 3, 4, 5
CONTENT = b"0123456789"


class File:
    """An open file; `cached` tells whether its content is in memory, `arrived` when the disk has it."""

    def __init__(self, files: "Files") -> None:
        self._files = files

    def read(self, offset: int, size: int) -> bytes:
        self._files.arrived.wait(10)
        if self._files.failure is not None:
            raise self._files.failure
        return CONTENT[offset : offset + size]

    def read_cached(self, offset: int, size: int) -> bytes | None:
        return CONTENT[offset : offset + size] if self._files.cached else None

    def close(self) -> None:
        self._files.closed += 1


class Directory:
    def __init__(self, entries: Sequence[tuple[bytes, Attributes]], files: "Files") -> None:
        self.entries = entries
        self._files = files

    def close(self) -> None:
        self._files.closed += 1


class Files:
    """A file system of a file, a directory, and a directory whose layer has to be uncompressed first."""

    has_xattrs = True

    def __init__(self, *, fixed: bool = True) -> None:
        self.fixed = fixed
        self.names_stay = True
        self.listed = 100
        self.cached = True
        self.arrived = threading.Event()
        self.unpacked = threading.Event()
        self.unpacking = threading.Event()
        self.preparations = 0
        self.failure: Exception | None = None
        self.ready = False
        self.told: list[int] = []
        self.forgotten: list[tuple[int, int]] = []
        self.opened = self.closed = 0

    def remember(self, ino: int) -> None:
        self.told.append(ino)

    def forget(self, ino: int, count: int) -> None:
        self.forgotten.append((ino, count))

    def _prepare(self) -> None:
        self.preparations += 1
        self.unpacking.set()
        assert self.unpacked.wait(10)
        if self.failure is not None:
            raise self.failure
        self.ready = True

    def getattr(self, ino: int) -> Attributes:
        if ino == SLOW_DIRECTORY and not self.ready:
            raise NotUnpacked("sha256:1", self._prepare)
        if ino == 99:
            raise RuntimeError("a fault of ours")
        return Attributes(ino, stat.S_IFREG | 0o644, size=len(CONTENT))

    def lookup(self, parent: int, name: bytes) -> Attributes:
        if name != b"file":
            raise NoSuchEntry
        return self.getattr(FILE)

    def unchanging(self, ino: int) -> bool:
        return self.names_stay

    def opendir(self, ino: int) -> Directory:
        self.opened += 1
        entries = [(b"%03d" % number, Attributes(100 + number, stat.S_IFREG)) for number in range(self.listed)]
        return Directory(entries, self)

    def readlink(self, ino: int) -> bytes:
        return b"target"

    def xattrs(self, ino: int) -> Mapping[bytes, bytes]:
        return {b"user.a": b"1", b"trusted.b": b"2"}

    def xattr(self, ino: int, name: bytes) -> bytes:
        if name != b"user.a":
            raise NoSuchAttribute
        return b"value"

    def open(self, ino: int) -> File:
        if ino == SLOW_FILE and not self.ready:
            raise NotUnpacked("sha256:1", self._prepare)
        self.opened += 1
        return File(self)

    def statistics(self) -> Statistics:
        return Statistics(1, 2)


class Kernel:
    """The other end of the device."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._numbers = iter(range(1, 1000))

    def send(self, operation: int, inode: int = 1, body: bytes = b"", *, uid: int = 0) -> int:
        number = next(self._numbers)
        size = wire.IN_HEADER.size + len(body)
        self._end.send(wire.IN_HEADER.pack(size, operation, number, inode, uid, 0, 0, 0, 0) + body)
        return number

    def receive(self) -> tuple[int, int, bytes]:
        """(number of the request, errno, the rest) of the next answer."""
        self._end.settimeout(10)
        raw = self._end.recv(1 << 21)
        size, error, number = struct.unpack_from("=IiQ", raw)
        assert size == len(raw)
        return number, -error, raw[16:]

    def ask(self, operation: int, inode: int = 1, body: bytes = b"", *, uid: int = 0) -> tuple[int, bytes]:
        number = self.send(operation, inode, body, uid=uid)
        answered, error, rest = self.receive()
        assert answered == number
        return error, rest

    def silent(self) -> bool:
        self._end.settimeout(0.1)
        try:
            self._end.recv(1 << 21)
        except TimeoutError:
            return True
        return False


@pytest.fixture
def serving():
    """Serves a file system in a thread; answers the kernel's end."""
    ended = []

    def start(files: Files, **options: object) -> Kernel:
        ours, kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, kernels):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 21)
        loop = RequestLoop(ours.fileno(), Answers(files, **options))
        started = threading.Event()
        tokens = []

        async def run() -> None:
            tokens.append(trio.lowlevel.current_trio_token())
            started.set()
            await loop.run()

        thread = threading.Thread(target=trio.run, args=(run,))
        thread.start()
        assert started.wait(10)

        def end() -> None:
            files.unpacked.set()
            files.arrived.set()
            tokens[0].run_sync_soon(loop.stop)
            thread.join(10)
            assert not thread.is_alive()
            ours.close()
            kernels.close()

        ended.append(end)
        return Kernel(kernels)

    yield start
    for end in ended:
        end()


def read_in(handle: int, offset: int, size: int) -> bytes:
    return struct.pack("=QQIIQII", handle, offset, size, 0, 0, 0, 0)


def names(listing: bytes) -> list[tuple[bytes, int]]:
    """(name, position of the next one) of each entry in an answer to READDIRPLUS."""
    found = []
    while listing:
        _, position, length, _ = struct.unpack_from("=QQII", listing, 128)
        found.append((listing[152 : 152 + length], position))
        listing = listing[152 + length + -length % 8 :]
    return found


def test_attributes_and_names(serving):
    files = Files()
    kernel = serving(files)
    assert kernel.ask(wire.GETATTR, FILE) == (0, wire.attr_out(files.getattr(FILE)))
    assert kernel.ask(wire.LOOKUP, 1, b"file\0") == (0, wire.entry_out(files.getattr(FILE)))
    assert kernel.ask(wire.LOOKUP, 1, b"other\0") == (0, wire.miss_out(FOREVER))
    files.names_stay = False
    assert kernel.ask(wire.LOOKUP, 1, b"other\0") == (0, wire.miss_out(VOLATILE))
    assert kernel.ask(wire.READLINK, FILE) == (0, b"target")
    assert kernel.ask(wire.STATFS) == (0, wire.statfs_out(Statistics(1, 2)))
    assert files.told == [FILE]


def test_owners_change_every_answer_with_attributes(serving):
    files = Files()
    mine = Attributes(FILE, stat.S_IFREG, uid=7)
    kernel = serving(files, owners=lambda _: mine)
    assert kernel.ask(wire.GETATTR, FILE) == (0, wire.attr_out(mine))
    assert kernel.ask(wire.LOOKUP, 1, b"file\0") == (0, wire.entry_out(mine))
    _, listing = kernel.ask(wire.READDIRPLUS, DIRECTORY, read_in(0, 99, 4096))
    assert listing == wire.direntry_plus(b"099", mine, 100)


def test_what_is_not_known_is_not_implemented(serving):
    kernel = serving(Files())
    write = 16
    assert kernel.ask(write, FILE, b"body") == (errno.ENOSYS, b"")


def test_a_fault_is_an_error_and_the_loop_goes_on(serving, caplog):
    kernel = serving(Files())
    assert kernel.ask(wire.GETATTR, 99) == (errno.EIO, b"")
    assert "a fault of ours" in caplog.text
    assert kernel.ask(wire.GETATTR, FILE)[0] == 0


def test_forgetting_has_no_answer(serving):
    files = Files()
    kernel = serving(files)
    kernel.send(wire.FORGET, FILE, struct.pack("=Q", 3))
    kernel.send(wire.BATCH_FORGET, 0, struct.pack("=IIQQQQ", 2, 0, 5, 1, 6, 2))
    assert kernel.ask(wire.GETATTR, FILE)[0] == 0
    assert files.forgotten == [(FILE, 3), (5, 1), (6, 2)]


def test_where_nothing_changes_nothing_is_opened(serving):
    files = Files()
    kernel = serving(files)
    assert kernel.ask(wire.OPEN, FILE, bytes(8)) == (errno.ENOSYS, b"")
    assert kernel.ask(wire.OPENDIR, DIRECTORY, bytes(8)) == (errno.ENOSYS, b"")
    assert kernel.ask(wire.READ, FILE, read_in(0, 2, 3)) == (0, b"234")
    assert kernel.ask(wire.READ, FILE, read_in(0, 8, 9)) == (0, b"89")
    assert files.opened == 1


@pytest.mark.parametrize("names_stay", [False, True])
def test_where_things_change_what_is_open_is_known(serving, names_stay):
    files = Files(fixed=False)
    files.names_stay = names_stay
    kernel = serving(files)
    error, opened = kernel.ask(wire.OPEN, FILE, bytes(8))
    handle, flags, _ = struct.unpack("=QII", opened)
    assert (error, flags) == (0, wire.KEEP_CACHE)
    assert kernel.ask(wire.READ, FILE, read_in(handle, 2, 3)) == (0, b"234")
    assert files.closed == 0
    assert kernel.ask(wire.RELEASE, FILE, struct.pack("=QIIQ", handle, 0, 0, 0)) == (0, b"")
    assert files.closed == 1
    _, opened = kernel.ask(wire.OPENDIR, DIRECTORY, bytes(8))
    handle, flags, _ = struct.unpack("=QII", opened)
    assert flags == (wire.KEEP_CACHE | wire.CACHE_DIRECTORY if names_stay else 0)
    assert len(names(kernel.ask(wire.READDIRPLUS, DIRECTORY, read_in(handle, 0, 1 << 20))[1])) == 100
    assert kernel.ask(wire.RELEASEDIR, DIRECTORY, struct.pack("=QIIQ", handle, 0, 0, 0)) == (0, b"")
    assert files.closed == 2


@pytest.mark.parametrize("size", [160, 500, 4096, 1 << 20])
def test_a_listing_in_pieces(serving, size):
    files = Files()
    kernel = serving(files)
    position, found = 0, []
    while True:
        error, listing = kernel.ask(wire.READDIRPLUS, DIRECTORY, read_in(0, position, size))
        assert error == 0
        assert len(listing) <= size
        entries = names(listing)
        if not entries:
            break
        found += [name for name, _ in entries]
        position = entries[-1][1]
    assert found == [b"%03d" % number for number in range(100)]
    assert files.told == list(range(100, 200)), "once for each entry that the kernel got"


def test_a_large_listing_in_one_piece(serving):
    files = Files()
    files.listed = 3000
    kernel = serving(files)
    for operation in (wire.READDIRPLUS, wire.READDIR):
        error, listing = kernel.ask(operation, DIRECTORY, read_in(0, 0, 1 << 20))
        assert error == 0
        assert listing.count(b"2999") == 1


def test_an_answer_that_the_kernel_does_not_take_becomes_an_error(serving, monkeypatch, caplog):
    kernel = serving(Files())

    def refuse(descriptor: int, pieces: object) -> int:
        raise OSError(errno.EINVAL, "no such answer")

    monkeypatch.setattr(os, "writev", refuse)
    assert kernel.ask(wire.GETATTR, FILE) == (errno.EIO, b"")
    assert "no such answer" in caplog.text


def test_before_linux_5_1_everything_is_opened(serving, monkeypatch):
    monkeypatch.setattr(answers, "_linux", lambda: (5, 0))
    kernel = serving(Files())
    assert kernel.ask(wire.OPEN, FILE, bytes(8))[0] == 0
    assert kernel.ask(wire.OPENDIR, DIRECTORY, bytes(8))[0] == 0


def test_a_plain_listing(serving):
    files = Files()
    kernel = serving(files)
    _, listing = kernel.ask(wire.READDIR, DIRECTORY, read_in(0, 98, 4096))
    assert listing == b"".join(wire.direntry(b"%03d" % n, Attributes(100 + n, stat.S_IFREG), n + 1) for n in (98, 99))
    assert files.told == [], "the kernel looks these up when it wants to know"


def test_extended_attributes(serving):
    kernel = serving(Files())
    assert kernel.ask(wire.GETXATTR, FILE, struct.pack("=II", 0, 0) + b"user.a\0") == (0, struct.pack("=II", 5, 0))
    assert kernel.ask(wire.GETXATTR, FILE, struct.pack("=II", 5, 0) + b"user.a\0") == (0, b"value")
    assert kernel.ask(wire.GETXATTR, FILE, struct.pack("=II", 4, 0) + b"user.a\0") == (errno.ERANGE, b"")
    assert kernel.ask(wire.GETXATTR, FILE, struct.pack("=II", 4, 0) + b"user.b\0") == (errno.ENODATA, b"")
    assert kernel.ask(wire.LISTXATTR, FILE, struct.pack("=II", 99, 0)) == (0, b"user.a\0trusted.b\0")
    assert kernel.ask(wire.LISTXATTR, FILE, struct.pack("=II", 99, 0), uid=1000) == (0, b"user.a\0")


def test_without_extended_attributes_the_kernel_need_not_ask_again(serving):
    kernel = serving(Files(), answer_xattrs=False)
    assert kernel.ask(wire.GETXATTR, FILE, struct.pack("=II", 9, 0) + b"user.a\0") == (errno.ENOSYS, b"")
    assert kernel.ask(wire.LISTXATTR, FILE, struct.pack("=II", 9, 0)) == (errno.ENOSYS, b"")


def test_a_read_that_waits_for_the_disk_holds_up_no_other_request(serving):
    files = Files()
    files.cached = False
    kernel = serving(files)
    reading = [kernel.send(wire.READ, FILE, read_in(0, start, 2)) for start in (0, 2)]
    assert kernel.ask(wire.GETATTR, FILE)[0] == 0
    files.arrived.set()
    assert sorted(kernel.receive() for _ in reading) == [(reading[0], 0, b"01"), (reading[1], 0, b"23")]


def test_a_thread_that_cannot_be_had_is_an_error_of_the_one_who_asked(serving, monkeypatch, caplog):
    files = Files()
    files.cached = False
    kernel = serving(files)

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(ThreadPoolExecutor, "submit", refuse)
        assert kernel.ask(wire.READ, FILE, read_in(0, 0, 2)) == (errno.EIO, b"")
    assert "can't start new thread" in caplog.text
    files.arrived.set()
    assert kernel.ask(wire.READ, FILE, read_in(0, 0, 2)) == (0, b"01")


def test_an_answer_that_is_none_is_an_error(serving, monkeypatch, caplog):
    kernel = serving(files := Files())
    files.cached = False
    files.arrived.set()
    monkeypatch.setattr(File, "read", lambda *_: None)
    assert kernel.ask(wire.READ, FILE, read_in(0, 0, 2)) == (errno.EIO, b"")
    assert "the answer to read failed" in caplog.text


def test_what_cannot_be_forgotten_is_logged(serving, monkeypatch, caplog):
    kernel = serving(files := Files())

    def refuse(*_: object) -> None:
        raise KeyError(7)

    monkeypatch.setattr(files, "forget", refuse)
    kernel.send(wire.FORGET, FILE, struct.pack("=Q", 1))
    assert kernel.ask(wire.GETATTR, FILE)[0] == 0
    assert f"forget of inode {FILE} failed" in caplog.text
    assert "KeyError: 7" in caplog.text


@pytest.mark.parametrize("inode", [FILE, SLOW_FILE])
def test_a_read_that_fails_on_the_disk_is_an_error(serving, inode):
    files = Files()
    files.cached = False
    kernel = serving(files)
    files.unpacked.set()
    number = kernel.send(wire.READ, inode, read_in(0, 0, 2))
    if inode == SLOW_FILE:
        assert files.unpacking.wait(10)
        while not files.ready:
            pass
    files.failure = OSError(errno.EBADMSG, "the disk is broken")
    files.arrived.set()
    assert kernel.receive() == (number, errno.EIO, b"")
    assert kernel.ask(wire.GETATTR, FILE)[0] == 0


def test_a_layer_that_is_being_uncompressed_holds_up_no_other_request(serving):
    files = Files()
    kernel = serving(files)
    waiting = [kernel.send(wire.GETATTR, SLOW_DIRECTORY) for _ in range(3)]
    assert files.unpacking.wait(10)
    assert kernel.ask(wire.GETATTR, FILE)[0] == 0
    files.unpacked.set()
    assert sorted(kernel.receive()[:2] for _ in waiting) == [(number, 0) for number in waiting]
    assert files.preparations == 1, "once for all"


def test_a_layer_that_cannot_be_uncompressed_is_tried_again_by_the_next(serving):
    files = Files()
    files.failure = LayerError("broken")
    kernel = serving(files)
    files.unpacked.set()
    assert kernel.ask(wire.GETATTR, SLOW_DIRECTORY) == (errno.EIO, b"")
    files.failure = None
    assert kernel.ask(wire.GETATTR, SLOW_DIRECTORY)[0] == 0
    assert files.preparations == 2


def test_who_is_interrupted_waits_no_longer(serving):
    files = Files()
    kernel = serving(files)
    impatient, patient = (kernel.send(wire.GETATTR, SLOW_DIRECTORY) for _ in range(2))
    assert files.unpacking.wait(10)
    kernel.send(wire.INTERRUPT, 0, struct.pack("=Q", impatient))
    assert kernel.receive() == (impatient, errno.EINTR, b"")
    assert kernel.silent()
    files.unpacked.set()
    assert kernel.receive()[:2] == (patient, 0)


def test_an_interrupt_that_comes_at_once_is_not_lost(serving):
    files = Files()
    kernel = serving(files)
    for _ in range(10):
        number = kernel.send(wire.GETATTR, SLOW_DIRECTORY)
        kernel.send(wire.INTERRUPT, 0, struct.pack("=Q", number))
        assert kernel.receive() == (number, errno.EINTR, b"")
    assert files.preparations <= 1


def test_an_interrupt_of_what_is_answered_already_is_nothing(serving):
    kernel = serving(Files())
    number = kernel.send(wire.GETATTR, FILE)
    assert kernel.receive()[0] == number
    kernel.send(wire.INTERRUPT, 0, struct.pack("=Q", number))
    assert kernel.ask(wire.GETATTR, FILE)[0] == 0


def test_no_thread_writes_to_the_device_after_the_end():
    ours, kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    files = Files()
    files.cached = False
    kernel = Kernel(kernels)
    loop = RequestLoop(ours.fileno(), Answers(files))

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(loop.run)
            reading = kernel.send(wire.READ, FILE, read_in(0, 0, 2))
            await trio.sleep(0.1)
            threading.Timer(0.3, files.arrived.set).start()
            loop.stop()
        # What was being read is answered by now, and not later.
        assert kernel.receive() == (reading, 0, b"01")

    trio.run(run)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read")]
    ours.close()
    kernels.close()


def test_other_tasks_get_their_turn_however_many_requests_there_are():
    ours, kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    loop = RequestLoop(ours.fileno(), Answers(Files()))
    request = wire.IN_HEADER.pack(wire.IN_HEADER.size, wire.GETATTR, 1, FILE, 0, 0, 0, 0, 0)
    flooding = True

    def flood() -> None:
        while flooding:
            kernels.send(request)
            kernels.recv(4096)

    async def run() -> int:
        nonlocal flooding
        async with trio.open_nursery() as nursery:
            nursery.start_soon(loop.run)
            flooder = threading.Thread(target=flood)
            flooder.start()
            turns = 0
            with trio.move_on_after(0.5):
                while True:
                    await trio.sleep(0)
                    turns += 1
            flooding = False
            await trio.to_thread.run_sync(flooder.join)
            loop.stop()
        return turns

    assert trio.run(run) >= 5
    ours.close()
    kernels.close()


def test_the_end_of_the_mount_is_the_end_of_the_loop(monkeypatch):
    ours, kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def gone(descriptor: int, buffers: object) -> int:
        raise OSError(errno.ENODEV, "unmounted")

    monkeypatch.setattr(os, "readv", gone)
    kernels.send(b"anything")
    trio.run(RequestLoop(ours.fileno(), Answers(Files())).run)
    ours.close()
    kernels.close()
