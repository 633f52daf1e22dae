"""Promises of the log's queue: who logs never waits, and what is lost is counted."""

import logging
import os
import resource
import signal
import threading
import time
from contextlib import contextmanager

import pytest

from petsage import log_queue
from petsage.log_queue import MOST_RECORDS, QueueHandler
from tests.fakes import in_a_child


@contextmanager
def standard_error(log):
    """Puts a pipe in the place of standard error; returns the end to read from."""
    kept, (reading, writing) = os.dup(2), os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    with os.fdopen(reading, "rb") as reader:
        try:
            yield reader
        finally:
            rest = threading.Thread(target=reader.read)
            rest.start()
            log.handlers[0].flush()
            os.dup2(kept, 2)
            os.close(kept)
            rest.join(10)


@pytest.fixture
def log():
    logger = logging.Logger("queue")
    logger.addHandler(QueueHandler())
    return logger


def test_lines_are_written_in_their_order(log):
    with standard_error(log) as reader:
        for number in range(100):
            log.info("line %d", number)
        assert [reader.readline() for _ in range(100)] == [b"line %d\n" % n for n in range(100)]


def test_nobody_waits_for_a_reader_and_what_is_dropped_is_counted_once_there_is_one(log):
    with standard_error(log) as reader:
        began = time.monotonic()
        for _ in range(2 * MOST_RECORDS):
            log.info("x" * 1000)
        assert time.monotonic() - began < 5
        written = 0
        while (said := reader.readline()).startswith(b"x"):
            written += 1
    assert int(said.split()[0]) == 2 * MOST_RECORDS - written
    assert said.endswith(b" log records were dropped: nobody read them\n")


def test_an_exit_waits_a_second_at_most(log):
    with standard_error(log):
        for _ in range(200):
            log.info("x" * 1000)
        began = time.monotonic()
        log.handlers[0].flush()
        assert 1 <= time.monotonic() - began < 2


def test_a_child_writes_its_own_lines_and_not_its_parents_again(log):
    with standard_error(log) as reader:
        log.info("parent")
        assert reader.readline() == b"parent\n"

        def child():
            log.info("child")
            log.handlers[0].flush()
            return ""

        in_a_child(child)
        log.info("end")
        assert [reader.readline(), reader.readline()] == [b"child\n", b"end\n"]


def test_a_standard_error_that_is_closed_stops_nobody(log):
    with standard_error(log):
        os.close(2)
        log.info("nowhere")
        log.handlers[0].flush()
        assert not log.handlers[0]._records


def test_a_standard_error_that_does_not_block_is_waited_for(log):
    with standard_error(log) as reader:
        os.set_blocking(2, False)
        writer = threading.Thread(target=lambda: [log.info("y" * 1000) for _ in range(300)])
        writer.start()
        assert [len(reader.readline()) for _ in range(300)] == [1001] * 300
        writer.join(10)
        os.set_blocking(2, True)
    assert log_queue.FLUSH_SECONDS == 1


def test_a_signal_that_the_process_blocks_is_not_delivered_to_the_writer(log):
    def child():
        log.info("it runs")
        log.handlers[0].flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        os.kill(os.getpid(), signal.SIGUSR1)  # it would end the process
        return str(signal.SIGUSR1 in signal.sigpending())

    with standard_error(log):
        assert in_a_child(child) == "True"


def test_a_system_without_threads_stops_nobody_and_the_line_comes_once_there_is_one(log):
    def child():
        log.handlers[0]._begin()
        limits = resource.getrlimit(resource.RLIMIT_NPROC)
        if os.geteuid() == 0:  # the limit does not hold for root
            os.setuid(65534)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, limits[1]))
        log.info("first")
        resource.setrlimit(resource.RLIMIT_NPROC, limits)
        log.info("second")
        log.handlers[0].flush()
        return str(signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    with standard_error(log) as reader:
        assert in_a_child(child) == "set()"
        assert [reader.readline(), reader.readline()] == [b"first\n", b"second\n"]
