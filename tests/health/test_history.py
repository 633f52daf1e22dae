"""Promises of what is remembered: the last results, the last changes, and it does not grow."""

from petsage import CheckFailed, Result, Status
from petsage.health.history import CHANGES, RESULTS, History
from petsage.health.monitor import Monitor
from petsage.health.outcome import RunOutcome
from petsage.health.report import ALL, Condition
from tests.fakes import ManualClock, Subject, check, condition


def result(status, at, name="db"):
    return Result(name, Status(status), "" if status == "pass" else "down", at, 0.1)


def remembered(history, result):
    """The changes that this result of a run makes."""
    before = len(history.changes())
    history.record(result, RunOutcome())
    return history.changes()[: len(history.changes()) - before]


def test_results_and_changes_are_rings_and_runs_are_counted():
    history = History(["db"])
    for at in range(1000):
        remembered(history, result("fail" if at % 2 else "pass", at))
    past = history.past("db")
    assert [r.at for r in past.results] == list(range(1000 - RESULTS, 1000))
    assert past.runs == {Status.PASS: 500, Status.FAIL: 500}
    assert [c.result.at for c in history.changes()] == list(range(999, 999 - CHANGES, -1))


def test_a_first_pass_is_no_change_and_a_first_failure_is():
    history = History(["db", "cache"])
    assert not remembered(history, result("pass", 1))
    (change,) = remembered(history, result("fail", 1, "cache"))
    assert (change.was, change.held_seconds) == (None, 0)


def test_a_change_says_from_to_and_how_long():
    history = History(["db"])
    for at, status in ((10, "pass"), (20, "pass"), (25, "fail"), (30, "fail"), (70, "warn")):
        remembered(history, result(status, at))
    assert [(c.was, c.result.status, c.held_seconds) for c in history.changes()] == [
        (Status.FAIL, Status.WARN, 45),
        (Status.PASS, Status.FAIL, 15),
    ]
    assert history.past("db").status_start.at == 70


def test_what_comes_belated_is_no_change():
    history = History([])
    for at, status in ((10, "pass"), (20, "fail"), (15, "pass"), (30, "fail")):
        history.notice(result(status, at))
    (change,) = history.changes()
    assert (change.result.at, change.held_seconds) == (20, 10)
    history.notice(result("pass", 20))  # at the same moment it is not belated
    assert len(history.changes()) == 2


def test_of_an_unknown_name_nothing_is_remembered():
    assert History([]).past("nope").results == ()


def test_the_monitor_remembers_its_runs():
    clock, subject = ManualClock(), Subject()
    monitor = Monitor([check(run=subject)], clock=clock)
    for error in (None, CheckFailed("down"), None):
        clock.time += 31
        subject.error = error
        monitor.report("ready")
    past = monitor.past("database")
    assert [r.status for r in past.results] == [Status.PASS, Status.FAIL, Status.PASS]
    assert past.runs == {Status.PASS: 2, Status.FAIL: 1}
    assert [c.result.reason for c in monitor.changes()] == ["", "down"]


def test_a_change_of_a_condition_is_remembered_and_logged_once(caplog):
    caplog.set_level("INFO")
    clock, unwell = ManualClock(), []
    drain = condition("drain", ready=lambda: "stopping" if unwell else "")
    monitor = Monitor([], [drain], clock)
    monitor.report("ready")
    unwell.append(True)
    clock.time += 60
    for _ in range(3):
        monitor.report("ready")
    (change,) = monitor.changes()
    assert (change.name, change.was, change.held_seconds) == ("drain", Status.PASS, 60)
    assert caplog.messages == ["check drain: fail (was pass for 60.0 s): stopping"]


def test_who_looks_at_all_asks_every_check_but_none_more_often_than_its_freshness():
    clock, smoke, ready = ManualClock(), Subject(), Subject()
    checks = [check("a", smoke, probes={"smoke"}), check("b", ready, probes={"ready"})]
    monitor = Monitor(checks, clock=clock)
    for _ in range(50):
        assert [r.name for r in monitor.report(ALL).results] == ["a", "b"]
        clock.time += 0.09
    assert (smoke.runs, ready.runs) == (1, 1)


def test_a_condition_is_unwell_if_it_is_for_any_probe_but_startup():
    reasons = {"live": "", "ready": "", "startup": "not yet"}
    workers = Condition("workers", tuple(reasons), lambda: reasons)
    monitor = Monitor([], [workers], ManualClock())
    assert monitor.report(ALL).status is Status.PASS
    reasons["live"] = "stuck"
    assert monitor.report(ALL).results[0].reason == "stuck"
