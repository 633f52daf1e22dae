"""Promises of the monitor: its reports are true, in time, and cost one run of each check."""

import gc
import logging
import os
import resource
import threading
import weakref
from dataclasses import FrozenInstanceError

import pytest

from petsage import CheckFailed, Status
from petsage.clock import SystemClock
from petsage.health.monitor import Monitor
from tests.fakes import ManualClock, Subject, check, condition, in_a_child, without_threads
from tests.support import wait_until


def only(report):
    """The one result of a report."""
    (result,) = report.results
    return result


def threads_of(name):
    """The threads that run the check of this name."""
    return [thread for thread in threading.enumerate() if thread.name == f"check {name}"]


def test_nothing_runs_when_nobody_asks():
    subject = Subject()
    Monitor([check(run=subject)])
    assert subject.runs == 0


def test_a_check_that_returns_is_well_and_one_that_raises_is_not():
    clock = ManualClock()
    monitor = Monitor(
        [check("good"), check("bad", Subject(CheckFailed("the queue is full")))], clock=clock
    )
    report = monitor.report("ready")
    assert [(r.name, r.status, r.reason) for r in report.results] == [
        ("good", Status.PASS, ""),
        ("bad", Status.FAIL, "the queue is full"),
    ]
    assert report.status is Status.FAIL
    assert report.failed == ("bad",)


def test_a_check_that_is_not_critical_warns():
    monitor = Monitor([check(run=Subject(CheckFailed("slow")), critical=False)])
    report = monitor.report("ready")
    assert report.status is only(report).status is Status.WARN
    assert report.failed == ()


def test_a_report_cannot_be_changed():
    report = Monitor([check()]).report("ready")
    with pytest.raises(FrozenInstanceError):
        report.results = ()  # type: ignore[misc]


def test_a_probe_asks_only_the_checks_that_name_it():
    smoke, ready = Subject(), Subject()
    monitor = Monitor([check("a", smoke, probes={"smoke"}), check("b", ready, probes={"ready"})])
    assert monitor.names("ready") == ("b",)
    assert only(monitor.report("ready")).name == "b"
    assert (smoke.runs, ready.runs) == (0, 1)


def test_a_report_can_be_limited_to_some_names():
    a, b = Subject(), Subject()
    monitor = Monitor([check("a", a), check("b", b)])
    assert only(monitor.report("ready", ["b"])).name == "b"
    assert (a.runs, b.runs) == (0, 1)


@pytest.mark.parametrize(("probe", "names"), [("alive", None), ("ready", ["nope"])])
def test_an_unknown_probe_or_name_is_an_error(probe, names):
    with pytest.raises(KeyError):
        Monitor([check()]).report(probe, names)


def test_the_same_name_twice_is_refused():
    with pytest.raises(ValueError, match="check 'database' is declared twice"):
        Monitor([check(), check("cache"), check()])


def test_a_fresh_result_is_used_as_it_is():
    clock, subject = ManualClock(), Subject()
    monitor = Monitor([check(run=subject, fresh_seconds=5)], clock=clock)
    first = only(monitor.report("ready"))
    clock.time += 4.9
    assert only(monitor.report("ready")) is first
    assert subject.runs == 1
    clock.time += 0.1
    monitor.report("ready")
    wait_until(lambda: subject.runs == 2)


def test_a_stale_result_is_used_while_one_refresh_runs_beside():
    clock, subject = ManualClock(), Subject()
    monitor = Monitor([check(run=subject, fresh_seconds=5, timeout_seconds=20)], clock=clock)
    first = only(monitor.report("ready"))
    clock.time += 6
    subject.go.clear()
    for _ in range(3):
        assert only(monitor.report("ready")) is first
    wait_until(lambda: subject.runs == 2)
    subject.go.set()
    wait_until(lambda: only(monitor.report("ready")) is not first)
    assert subject.runs == 2


def test_at_its_age_limit_a_result_is_used_and_refreshed():
    clock, subject = ManualClock(patience_seconds=0.05), Subject()
    monitor = Monitor([check(run=subject, stale_seconds=30)], clock=clock)
    first = only(monitor.report("ready"))
    clock.time += 30
    subject.go.clear()
    assert only(monitor.report("ready")) is first
    wait_until(lambda: subject.runs == 2)
    subject.go.set()


def test_past_its_age_limit_no_result_is_used():
    clock, subject = ManualClock(), Subject()
    monitor = Monitor([check(run=subject, stale_seconds=30)], clock=clock)
    monitor.report("ready")
    clock.time += 30.1
    subject.error = CheckFailed("gone")
    assert only(monitor.report("ready")).reason == "gone"


def test_the_smoke_probe_accepts_younger_results_only():
    clock, subject = ManualClock(), Subject()
    monitor = Monitor([check(run=subject, fresh_seconds=60, stale_seconds=60)], clock=clock)
    monitor.report("smoke")
    clock.time += 0.9
    monitor.report("smoke")
    assert subject.runs == 1
    clock.time += 5
    subject.error = CheckFailed("gone")
    assert only(monitor.report("ready")).status is Status.PASS
    assert only(monitor.report("smoke")).status is Status.FAIL


def test_without_a_result_a_report_waits_no_longer_than_its_deadline():
    clock = ManualClock(patience_seconds=0.05)
    subject = Subject(hung=True)
    monitor = Monitor([check(run=subject)], clock=clock)
    asked = clock.time
    result = only(monitor.report("ready"))
    assert clock.time - asked == pytest.approx(0.8)
    assert (result.status, result.reason) == (Status.FAIL, "no result within 0.8 s")
    subject.go.set()


def test_however_many_checks_hang_a_report_keeps_its_deadline():
    clock = ManualClock(patience_seconds=0.01)
    subjects = [Subject(hung=True) for _ in range(20)]
    monitor = Monitor([check(f"c{i}", s) for i, s in enumerate(subjects)], clock=clock)
    asked = clock.time
    assert len(monitor.report("ready").failed) == 20
    assert clock.time - asked == pytest.approx(0.8)
    for subject in subjects:
        subject.go.set()


def test_a_hung_check_costs_one_thread_and_no_probe_waits_for_it_in_an_hour():
    clock = ManualClock(patience_seconds=0.01)
    subject = Subject(hung=True)
    monitor = Monitor([check("hung", subject)], clock=clock)
    monitor.report("ready")
    clock.time += 2
    while clock.time < 1000 + 3600:
        asked = clock.time
        result = only(monitor.report("ready"))
        assert clock.time - asked <= 0.8
        assert (result.status, result.reason) == (Status.FAIL, "timed out after 2 s")
        clock.time += 10
    assert subject.runs == 1
    assert len(threads_of("hung")) == 1
    subject.go.set()


def test_a_run_that_returns_after_its_timeout_frees_its_slot_and_is_dropped():
    clock = ManualClock(patience_seconds=0.05)
    subject = Subject(hung=True)
    monitor = Monitor([check("late", subject)], clock=clock)
    monitor.report("ready")
    clock.time += 10
    assert only(monitor.report("ready")).reason == "timed out after 2 s"
    subject.go.set()
    wait_until(lambda: not threads_of("late"))
    assert only(monitor.report("ready")).reason == "timed out after 2 s"
    clock.time += 31
    clock.patience_seconds = 5
    assert only(monitor.report("ready")).status is Status.PASS
    assert subject.runs == 2


def test_a_late_return_is_dropped_even_if_nobody_asked_meanwhile():
    clock = ManualClock(patience_seconds=0.05)
    subject = Subject(hung=True)
    monitor = Monitor([check("unasked", subject)], clock=clock)
    monitor.report("ready")
    clock.time += 20
    subject.go.set()
    wait_until(lambda: not threads_of("unasked"))
    assert only(monitor.report("ready")).reason == "timed out after 2 s"


def test_an_old_pass_does_not_outlive_a_refresh_that_hangs():
    clock, subject = ManualClock(), Subject()
    monitor = Monitor([check(run=subject)], clock=clock)
    monitor.report("ready")
    clock.time += 6
    subject.go.clear()
    assert monitor.report("ready").status is Status.PASS
    clock.time += 2
    assert only(monitor.report("ready")).reason == "timed out after 2 s"
    subject.go.set()


def test_a_fresh_pass_does_not_outlive_a_run_for_another_probe_that_hangs():
    clock, subject = ManualClock(), Subject()
    monitor = Monitor([check(run=subject, fresh_seconds=60, stale_seconds=60)], clock=clock)
    monitor.report("ready")
    clock.time += 2
    subject.go.clear()
    assert monitor.report("smoke").status is Status.PASS
    clock.time += 2
    assert only(monitor.report("ready")).reason == "timed out after 2 s"
    subject.go.set()


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), RecursionError(), MemoryError(), GeneratorExit()]
)
def test_a_check_can_end_nothing_but_itself(error):
    result = only(Monitor([check(run=Subject(error))]).report("ready"))
    assert result.status is Status.FAIL
    assert result.reason.startswith(f"raised {type(error).__name__} (tests.fakes:")


def test_a_check_that_recurses_without_end_is_contained():
    def forever():
        forever()

    assert only(Monitor([check(run=forever)]).report("ready")).reason.startswith("raised Recursion")


def test_of_an_unexpected_exception_only_its_class_and_line_are_reported(caplog):
    monitor = Monitor([check(run=Subject(RuntimeError("password=hunter2")))])
    result = only(monitor.report("ready"))
    assert result.reason.startswith("raised RuntimeError (tests.fakes:")
    assert "hunter2" not in caplog.text + repr(result)


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        ("two\nlines\x1b[31m", "two lines\\x1b[31m"),
        ("x" * 1000, "x" * 199 + "…"),
        ("x" + " " * 2000 + "y", "x…"),
        ("x" * 200 + "\n" * 800, "x" * 200),
        ("", "failed"),
    ],
)
def test_a_reason_is_one_bounded_printable_line(raised, reason):
    assert only(Monitor([check(run=Subject(CheckFailed(raised)))]).report("ready")).reason == reason


def test_an_exception_whose_message_cannot_be_read_is_reported_by_its_class():
    class Evil(CheckFailed):
        def __str__(self):
            raise RuntimeError

    result = only(Monitor([check(run=Subject(Evil()))]).report("ready"))
    assert result.reason.startswith("raised RuntimeError (tests.health.test_monitor:")


def test_a_clock_that_jumps_ahead_makes_results_old_and_not_wrong():
    clock, subject = ManualClock(), Subject()
    monitor = Monitor([check(run=subject)], clock=clock)
    monitor.report("ready")
    clock.time += 1e9
    assert monitor.report("ready").status is Status.PASS
    assert subject.runs == 2


def test_a_clock_that_jumps_back_keeps_no_result_alive():
    clock, subject = ManualClock(), Subject()
    monitor = Monitor([check(run=subject)], clock=clock)
    monitor.report("ready")
    clock.time -= 900
    subject.error = CheckFailed("gone")
    assert only(monitor.report("ready")).reason == "gone"
    assert subject.runs == 2


def test_a_check_that_took_every_descriptor_fails_alone_and_the_report_stays_right():
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []

    def greedy():
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))

    monitor = Monitor([check("greedy", greedy), check("modest")])
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limit[1]))
    try:
        report = monitor.report("ready")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        for descriptor in held:
            os.close(descriptor)
    assert report.failed == ("greedy",)
    assert report.results[0].reason.startswith("raised OSError")


def test_threads_do_not_grow_over_ten_thousand_reports():
    clock = ManualClock()
    monitor = Monitor([check("a", fresh_seconds=1), check("b", fresh_seconds=2)], clock=clock)
    before = threading.active_count()
    for _ in range(10_000):
        clock.time += 0.5
        monitor.report("ready")
    wait_until(lambda: threading.active_count() <= before)


@pytest.mark.parametrize("probe", ["smoke", "ready"])
def test_a_result_that_came_for_this_report_is_used_however_long_another_check_took(probe):
    clock, slow = ManualClock(), Subject(hung=True)

    class Waiting(ManualClock):
        """The first wait is for the quick check; time passes during the second."""

        def wait(self, event, seconds):
            if not event.is_set() and not event.wait(0.05):
                self.time += 0.7 if probe == "ready" else 4
                slow.go.set()
            return super().wait(event, seconds)

    clock = Waiting()
    quick = check("quick", fresh_seconds=0, stale_seconds=1)
    monitor = Monitor([quick, check("slow", slow, timeout_seconds=10)], clock=clock)
    report = monitor.report(probe)
    assert [(r.name, r.status) for r in report.results] == [("quick", "pass"), ("slow", "pass")]
    assert clock.time > 1000


def test_a_run_that_the_clock_left_behind_is_given_up_after_its_timeout():
    clock, subject = ManualClock(patience_seconds=0.05), Subject(hung=True)
    monitor = Monitor([check(run=subject)], clock=clock)
    monitor.report("ready")
    clock.time -= 500
    assert only(monitor.report("ready")).reason == "no result within 0.8 s"
    clock.time += 2
    assert only(monitor.report("ready")).reason == "timed out after 2 s"
    subject.go.set()


def test_a_report_waits_for_a_run_no_longer_than_its_timeout():
    clock, subject = ManualClock(patience_seconds=0.05), Subject(hung=True)
    monitor = Monitor([check(run=subject, timeout_seconds=0.25)], clock=clock)
    asked = clock.time
    assert only(monitor.report("ready")).reason == "timed out after 0.25 s"
    assert clock.time - asked == pytest.approx(0.25)
    subject.go.set()


def test_a_run_under_way_while_the_clock_is_set_back_still_counts():
    clock, subject = ManualClock(patience_seconds=0.05), Subject(hung=True)
    monitor = Monitor([check(run=subject)], clock=clock)
    monitor.report("ready")
    clock.time -= 500
    subject.go.set()
    clock.patience_seconds = 5
    assert only(monitor.report("ready")).status is Status.PASS
    assert subject.runs == 1


def test_nothing_is_reused_with_fresh_seconds_0_and_all_who_ask_share_the_next_run():
    runs, go = [], threading.Event()
    waiting = []

    def run():
        runs.append(len(runs) + 1)
        number = runs[-1]
        assert go.wait(30)
        raise CheckFailed(f"run {number}")

    class Counting(SystemClock):
        def wait(self, event, seconds):
            waiting.append(event)
            return super().wait(event, seconds)

    monitor = Monitor([check(run=run, fresh_seconds=0)], clock=Counting())
    reports = []
    callers = [
        threading.Thread(target=lambda: reports.append(only(monitor.report("smoke")).reason))
        for _ in range(6)
    ]
    for number in range(6):
        callers[number].start()
        wait_until(lambda: len(waiting) > number)  # noqa: B023
    go.set()
    for caller in callers:
        caller.join(10)
    assert runs == [1, 2]
    assert reports.count("run 2") >= 5  # the first may have been slow to look
    assert only(monitor.report("smoke")).reason == "run 3"


def test_a_system_without_threads_fails_the_check_and_not_the_report():
    monitor = Monitor([check(stale_seconds=1, fresh_seconds=0)])

    def reason():
        without_threads()
        return only(monitor.report("ready")).reason

    assert in_a_child(reason) == "no thread could be started"


def test_sixteen_callers_at_once_start_one_run():
    subject = Subject(hung=True)
    monitor = Monitor([check(run=subject)])
    reports = []
    callers = [
        threading.Thread(target=lambda: reports.append(monitor.report("smoke"))) for _ in range(16)
    ]
    for caller in callers:
        caller.start()
    wait_until(lambda: subject.runs)
    subject.go.set()
    for caller in callers:
        caller.join(10)
    assert [report.status for report in reports] == [Status.PASS] * 16
    assert subject.runs == 1


def test_after_a_fork_checks_run_in_the_child():
    subject = Subject(hung=True)
    clock = ManualClock(patience_seconds=0.05)
    monitor = Monitor([check(run=subject)], clock=clock)
    monitor.report("ready")  # leaves a run that no thread of the child will ever finish

    def answer():
        subject.go.set()
        clock.patience_seconds = 5
        return monitor.report("ready").status

    assert in_a_child(answer) == "pass"
    subject.go.set()


def test_after_a_fork_in_the_midst_of_a_report_the_child_is_not_locked():
    monitor = Monitor([check()])
    held, go = threading.Event(), threading.Event()

    def hold():
        with monitor._lock:
            held.set()
            go.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    try:
        assert in_a_child(lambda: monitor.report("ready").status) == "pass"
    finally:
        go.set()
        holder.join(10)


def test_a_monitor_that_nobody_holds_is_freed():
    monitor = Monitor([check()])
    monitor.report("ready")
    gone = weakref.ref(monitor)
    del monitor
    wait_until(lambda: gc.collect() is not None and gone() is None)


def test_the_lock_is_not_held_while_a_change_is_logged(caplog):
    asked = []

    class Reentrant(logging.Handler):
        def emit(self, record):
            asked.append(monitor.report("ready").status)

    monitor = Monitor([check(run=Subject(CheckFailed("down")))])
    logger = logging.getLogger("petsage.monitor")
    handler = Reentrant()
    logger.addHandler(handler)
    try:
        monitor.report("ready")
        wait_until(lambda: asked == [Status.FAIL])
    finally:
        logger.removeHandler(handler)


def test_a_report_does_not_wait_for_the_log():
    writing, go = threading.Event(), threading.Event()

    class Blocked(logging.Handler):
        def emit(self, record):
            if threading.current_thread().name.startswith("check "):
                writing.set()
                assert go.wait(30)

    clock = ManualClock()
    monitor = Monitor([check(run=Subject(CheckFailed("down")))], clock=clock)
    logger = logging.getLogger("petsage.monitor")
    handler = Blocked()
    logger.addHandler(handler)
    try:
        assert only(monitor.report("ready")).reason == "down"
        assert clock.time == 1000
        assert writing.wait(10)
    finally:
        go.set()
        logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("timeout", "reason"), [(10, "no result within 0.8 s"), (0.5, "timed out after 0.5 s")]
)
def test_what_a_check_raises_after_it_was_given_up_is_logged_once(caplog, timeout, reason):
    clock, subject = ManualClock(patience_seconds=0.05), Subject(OSError("hunter2"), hung=True)
    monitor = Monitor([check(run=subject, timeout_seconds=timeout)], clock=clock)
    assert only(monitor.report("ready")).reason == reason
    subject.go.set()
    wait_until(lambda: len(caplog.messages) == 2)
    clock.time, clock.patience_seconds = clock.time + 31, 5
    assert only(monitor.report("ready")).reason.startswith("raised OSError")
    change, frames = caplog.messages
    assert change == f"check database: fail (was not known): {reason}"
    assert frames.startswith("check database raised at tests.fakes:")


def test_a_condition_is_reported_at_once_beside_the_checks():
    unwell = condition("drain", ready=lambda: "stopping")
    monitor = Monitor([check()], [unwell])
    assert monitor.names("ready") == ("drain", "database")
    assert monitor.names("smoke") == ("database",)
    assert monitor.report("ready").failed == ("drain",)


class TestAChangeIsLoggedOnce:
    @pytest.fixture
    def lines(self, caplog):
        caplog.set_level(logging.INFO, logger="petsage.monitor")
        return lambda: [record.getMessage() for record in caplog.records]

    def report(self, monitor, clock):
        clock.time += 31
        return monitor.report("ready")

    def test_a_first_pass_is_not_news(self, lines):
        Monitor([check()]).report("ready")
        assert lines() == []

    def test_a_first_failure_is(self, lines):
        Monitor([check(run=Subject(CheckFailed("refused")))]).report("ready")
        wanted = ["check database: fail (was not known): refused"]
        wait_until(lambda: lines() == wanted)

    def test_from_to_reason_and_how_long_it_held_are_logged_and_nothing_while_it_lasts(self, lines):
        clock, subject = ManualClock(), Subject()
        monitor = Monitor([check(run=subject)], clock=clock)
        for _ in range(3):
            self.report(monitor, clock)
        subject.error = CheckFailed("refused")
        for _ in range(3):
            self.report(monitor, clock)
        subject.error = None
        for _ in range(3):
            self.report(monitor, clock)
        wanted = [
            "check database: fail (was pass for 93.0 s): refused",
            "check database: pass (was fail for 93.0 s)",
        ]
        wait_until(lambda: sorted(lines()) == wanted)
