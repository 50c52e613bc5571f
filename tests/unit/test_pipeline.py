import signal
import threading
import time

import pytest

from imagefs.streams.pipeline import Cancelled, Worker, finish

CHUNKS = [bytes([number]) for number in range(100)]


def test_what_is_fed_arrives_in_order():
    worker = Worker(list, "test")
    for chunk in CHUNKS:
        worker.feed(chunk)
    assert worker.result() == CHUNKS
    assert worker.result() == CHUNKS, "it can be asked again"
    assert not worker.failed


def test_a_worker_that_fails_takes_what_it_is_fed_and_tells_in_the_end():
    def fail(chunks):
        next(chunks)
        raise ValueError("broken")

    worker = Worker(fail, "test")
    for chunk in CHUNKS:  # more than may wait
        worker.feed(chunk)
    with pytest.raises(ValueError, match="broken"):
        worker.result()
    assert worker.failed


def test_a_worker_that_has_enough_takes_the_rest():
    worker = Worker(next, "test")
    for chunk in CHUNKS:
        worker.feed(chunk)
    assert worker.result() == CHUNKS[0]


def test_a_worker_whose_feeder_gives_up_does_not_take_that_for_the_end():
    ended = []

    def work(chunks):
        ended.append(len(list(chunks)))

    worker = Worker(work, "test")
    worker.feed(b"x")
    worker.cancel()
    assert worker.failed
    assert ended == []


def test_no_more_waits_than_may():
    taken = []
    worker = Worker(lambda chunks: taken.extend(chunk for chunk in chunks), "test")
    for chunk in CHUNKS:
        worker.feed(chunk)
        assert sum(map(len, taken)) >= chunk[0] - 5
    worker.result()


def test_what_the_first_of_several_raised_comes_out_when_all_have_ended():
    ended = []

    def fail(chunks):
        raise ValueError(next(chunks).decode())

    def work(chunks):
        ended.extend(chunks)

    workers = [Worker(work, "a"), Worker(fail, "b"), Worker(fail, "c"), Worker(work, "d")]
    for worker, chunk in zip(workers, [b"a", b"b", b"c", b"d"], strict=True):
        worker.feed(chunk)
    with pytest.raises(ValueError, match="b"):
        finish(workers, leaving=1)
    assert workers == []
    assert sorted(ended) == [b"a", b"d"]


def test_some_may_go_on():
    workers = [Worker(list, str(number)) for number in range(3)]
    finish(workers, leaving=2)
    assert len(workers) == 2
    finish(workers)
    assert workers == []


@pytest.mark.parametrize("wait", ["result", "cancel"])
def test_a_wait_that_a_signal_interrupts_can_be_taken_up_again(wait):
    working = threading.Event()
    ended = []

    def work(chunks):
        working.wait(10)
        time.sleep(0.2)
        ended.append(True)

    def interrupted(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupted)
    try:
        worker = Worker(work, "test")
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            getattr(worker, wait)()
        working.set()
        getattr(worker, wait)()
        assert ended, "it waits for the thread, not for what was interrupted"
    finally:
        signal.signal(signal.SIGALRM, before)


class Interrupted(BaseException):
    pass


@pytest.mark.parametrize("when", ["before it begins", "when it has begun"])
def test_a_worker_whose_maker_is_interrupted_is_known_and_waited_for(monkeypatch, when):
    """Or else it goes on with what its maker believes to be its own."""
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if when == "when it has begun":
            start(thread)
        raise Interrupted

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    done = []
    workers: list[Worker] = []
    with pytest.raises(Interrupted):
        Worker(lambda chunks: done.append(sum(map(len, chunks))), "test", among=workers)
    (worker,) = workers
    if when == "when it has begun":
        worker.result()
        assert done == [0]
    else:
        with pytest.raises(Cancelled):
            worker.result()
        worker._run()  # the thread may begin yet
        assert done == []
