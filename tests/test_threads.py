"""Promises of the threads that do jobs, where the system has no thread left."""

from functools import partial
from threading import Event, active_count

import pytest

from petsage.rollout.pool import Pool
from petsage.threads import Threads
from tests.fakes import in_a_child, with_threads, without_threads
from tests.support import wait_until


def test_a_job_for_which_the_system_had_no_thread_is_done_by_one_that_is_started_later() -> None:
    def job() -> str:
        done: list[str] = []
        threads = Threads[str](2, done.append)
        without_threads()
        threads.submit("the job", 1)
        with_threads()
        threads.start(1)
        wait_until(lambda: done)
        return done[0]

    assert in_a_child(job) == "the job"


def test_without_another_thread_the_jobs_wait_for_the_one_there_is() -> None:
    def jobs() -> str:
        pool = Pool[int]()
        pool.submit(partial(abs, -1))
        assert pool.result(5) == 1
        without_threads()
        for number in range(10):
            pool.submit(partial(abs, number))
        return str(sorted(pool.result(5) for _ in range(10)))

    assert in_a_child(jobs) == str([*range(10)])


def test_without_any_thread_a_job_is_refused_and_waited_for_by_nobody() -> None:
    def refused() -> str:
        without_threads()
        with pytest.raises(RuntimeError) as raised:
            Pool[int]().submit(partial(abs, 1))
        return str(raised.value)

    assert in_a_child(refused) == "the system has no thread left"


def test_a_shutdown_drops_what_waits_and_ends_the_threads() -> None:
    go, done = Event(), []
    threads = Threads[int](1, lambda job: done.append(job) if go.wait(10) else None)
    before = active_count()
    threads.submit(1, 1)
    threads.submit(2, 2)
    wait_until(lambda: active_count() == before + 1 and threads._jobs.qsize() == 1)
    threads.shutdown()
    go.set()
    wait_until(lambda: active_count() == before)
    assert done == [1]
