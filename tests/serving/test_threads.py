"""Promises of a worker's threads."""

from queue import SimpleQueue

from petsage.serving.threads import Threads
from tests.fakes import in_a_child, with_threads, without_threads


def test_a_job_for_which_the_system_had_no_thread_is_done_by_one_that_is_started_later() -> None:
    def job() -> str:
        done = SimpleQueue[str]()
        threads = Threads(2, done.put)
        without_threads()
        threads.submit("the job", 1)
        with_threads()
        threads.start(1)
        return done.get(timeout=5)

    assert in_a_child(job) == "the job"
