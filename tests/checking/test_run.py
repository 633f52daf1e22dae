"""Promises of `petsage check`: once, or until it holds."""

import json
import os
import pty
import signal
import socket
import subprocess
import threading

import pytest

from petsage import CheckFailed, CheckWarns, Status, Value
from petsage.checking.output import as_json, as_table
from petsage.health.run import run_checks
from tests.fakes import ManualClock, Subject, check
from tests.support import PETSAGE, environment_of, free_port, running, wait_until


def petsage_check(*arguments, **settings):
    return subprocess.run(
        [PETSAGE, "check", *arguments],
        env=environment_of(settings),
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_every_check_is_run_whatever_its_probes():
    subjects = [Subject(), Subject(CheckFailed("down"))]
    report = run_checks(
        [check("a", subjects[0], probes={"live"}), check("b", subjects[1], probes={})]
    )
    assert [(r.name, r.status) for r in report.results] == [("a", "pass"), ("b", "fail")]


def test_what_a_check_has_observed_is_printed():
    def growing():
        raise CheckWarns("growing", value=Value(73, "messages"))

    report = run_checks([check("queue", growing), check("load", lambda: 0.5)])
    queue, load = as_table(report).splitlines()
    assert queue.startswith("queue  warn ")
    assert queue.endswith(" s  73 messages: growing")
    assert load.endswith(" s  0.5")
    observed = [one["value"] for one in json.loads(as_json(report))["checks"]]
    assert observed == [{"number": 73, "unit": "messages"}, {"number": 0.5, "unit": ""}]


def test_a_check_may_take_its_own_timeout():
    clock = ManualClock(patience_seconds=0.01)
    subject = Subject(hung=True)
    report = run_checks([check(run=subject, timeout_seconds=20)], clock=clock)
    assert clock.time == pytest.approx(1020)
    assert report.results[0].reason == "timed out after 20 s"
    subject.go.set()


def test_a_quick_check_is_not_too_old_beside_a_slow_one():
    clock, slow = ManualClock(), Subject(hung=True)

    class Waiting(ManualClock):
        def wait(self, event, seconds):
            if not event.is_set() and not event.wait(0.05):
                self.time += 1.2
                slow.go.set()
            return super().wait(event, seconds)

    clock = Waiting()
    report = run_checks([check("quick"), check("slow", slow)], clock=clock)
    assert report.status is Status.PASS
    assert clock.time > 1001


def test_without_waiting_it_is_run_once():
    subject = Subject(CheckFailed("down"))
    assert run_checks([check(run=subject)]).status is Status.FAIL
    assert subject.runs == 1


def test_it_is_run_again_until_it_holds():
    subject, waited = Subject(CheckFailed("down")), []

    class MendingClock(ManualClock):
        def wait(self, event, seconds):
            if self.time > 1005:
                subject.error = None
            return super().wait(event, seconds)

    def progress(report, left):
        waited.append((report.failed, round(left)))

    clock = MendingClock(patience_seconds=0.02)
    assert run_checks([check(run=subject)], 60, progress, clock).status is Status.PASS
    assert waited[0] == (("database",), 60)
    assert len(waited) == subject.runs - 1 == 7


def test_it_gives_up_when_the_time_is_over():
    clock = ManualClock(patience_seconds=0.01)
    assert (
        run_checks([check(run=Subject(CheckFailed("down")))], 5, clock=clock).status is Status.FAIL
    )
    assert clock.time == pytest.approx(1005)


def test_a_check_that_hangs_is_never_started_twice():
    clock, subject = ManualClock(patience_seconds=0.01), Subject(hung=True)
    run_checks([check(run=subject)], 30, clock=clock)
    assert subject.runs == 1
    subject.go.set()


def test_declared_checks_are_printed_in_a_table():
    done = petsage_check(
        checks=f"queue=tcp://127.0.0.1:{free_port()} disk=disk:///#free=0% name=dns://localhost"
    )
    assert done.returncode == 1
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [(line[0], line[1]) for line in lines] == [
        ("queue", "fail"),
        ("disk", "pass"),
        ("name", "pass"),
    ]
    assert lines[0][4:] == ["Connection", "refused"]
    assert done.stderr == ""


def test_urls_can_be_given_and_machines_get_json():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = petsage_check("--json", f"tcp://127.0.0.1:{port}", "disk:///#free=0%")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert document["status"] == "pass"
    assert [c["name"] for c in document["checks"]] == [f"tcp-127.0.0.1-{port}", "disk"]


def test_what_is_not_critical_does_not_fail_the_command():
    done = petsage_check(f"tcp://127.0.0.1:{free_port()}#critical=no")
    assert done.returncode == 0
    assert " warn " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "There is nothing to check: give a URL, or set PETSAGE_CHECKS."),
        (["redi://:hunter2@cache"], "URL 1: unknown scheme; did you mean redis?"),
        (["dns://a", "postgresql://u:hunter#2@db/x"], "URL 2: must be of the form postgresql://"),
        (["--wait", "soon", "dns://a"], "Invalid value for '--wait'"),
        (["--wait", "-1", "dns://a"], "Invalid value for '--wait'"),
        (["--wait", "nan", "dns://a"], "Invalid value for '--wait'"),
    ],
)
def test_wrong_usage_is_2_and_repeats_no_password(arguments, message):
    done = petsage_check(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "hunter" not in done.stderr


def test_a_wrong_declaration_is_78():
    done = petsage_check(checks="database=postgres://u:hunter2@db/x")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith("petsage: PETSAGE_CHECKS: check 'database': unknown scheme; ")
    assert "hunter2" not in done.stderr


def test_it_waits_for_a_dependency_that_comes_late():
    port = free_port()
    with running(
        [PETSAGE, "check", "--wait", "60", f"tcp://127.0.0.1:{port}"],
        env=environment_of({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        with socket.create_server(("127.0.0.1", port)):
            out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert " pass " in out
    assert err == ""


def test_on_a_terminal_one_line_of_progress_is_printed():
    ours, terminal = pty.openpty()
    command = [PETSAGE, "check", "--wait", "60", f"tcp://127.0.0.1:{free_port()}"]
    with running(
        command, env=environment_of({}), stdout=subprocess.DEVNULL, stderr=terminal
    ) as process:
        os.close(terminal)
        seen = bytearray()
        reader = threading.Thread(target=_drain, args=(ours, seen))
        reader.start()
        wait_until(lambda: seen.count(b"waiting ") >= 2)
        process.terminate()
        process.wait(10)
    reader.join(10)
    os.close(ours)
    assert b"s for tcp-127.0.0.1-" in seen
    assert seen.endswith(b"\r\x1b[Kpetsage: terminated\r\n")
    assert seen.count(b"\n") == 1


def _drain(descriptor, seen):
    try:
        while received := os.read(descriptor, 1000):
            seen += received
    except OSError:  # the other side is closed
        return


def test_a_reader_that_has_gone_is_no_error_of_its_own():
    command = f"{PETSAGE} check 'disk:///#free=0%' | true"
    done = subprocess.run(
        command, shell=True, env=environment_of({}), capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""


def test_interrupted_is_130():
    with running(
        [PETSAGE, "check", "--wait", "60", f"tcp://127.0.0.1:{free_port()}"],
        env=environment_of({}),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "petsage: interrupted\n")


def test_an_applications_own_checks_are_run(tmp_path):
    (tmp_path / "small.py").write_text(
        "print('loading')\nfrom flask import Flask\nfrom petsage import Check, health\n"
        "def create_app():\n    app = Flask('small')\n"
        "    health.init_app(app, [Check('stock', lambda: 7)])\n    return app\n"
        "bare = Flask('bare')\n"
        "def create_wrong():\n    app = Flask('wrong')\n"
        "    health.init_app(app, [Check('stock', lambda app: 7)])\n    return app\n"
    )

    def check_app(name, *urls):
        return subprocess.run(
            [PETSAGE, "check", *urls, "--app", name],
            cwd=tmp_path,
            env=environment_of({}),
            capture_output=True,
            text=True,
        )

    done = check_app("small:create_app()")
    assert (done.returncode, [line.split()[0] for line in done.stdout.splitlines()]) == (
        0,
        ["smoke_test", "stock"],
    )
    for name, words in (
        ("small:bare", "petsage.health.init_app was not called on it"),
        ("nowhere:app", "there is no module 'nowhere' here"),
    ):
        refused = check_app(name)
        assert (refused.returncode, refused.stdout) == (78, "")
        assert refused.stderr.splitlines()[-1] == f"petsage: {name!r}: {words}"
    assert check_app("small:bare", "tcp://127.0.0.1:9").returncode == 2
    wrong = check_app("small:create_wrong()")
    assert (wrong.returncode, wrong.stderr.splitlines()[-1]) == (
        78,
        "petsage: check 'stock': run must be a function without parameters",
    )


@pytest.mark.parametrize(("rest", "code"), [("health.init_app(app)\n", 0), ("", 78)])
def test_no_thread_of_the_application_keeps_the_command_alive(tmp_path, rest, code):
    (tmp_path / "busy.py").write_text(
        "import threading, time\nfrom flask import Flask\nfrom petsage import health\n"
        "app = Flask('busy')\nthreading.Thread(target=time.sleep, args=[60]).start()\n" + rest
    )
    done = subprocess.run(
        [PETSAGE, "check", "--app", "busy:app"],
        cwd=tmp_path,
        env=environment_of({}),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == code
    assert ("smoke_test  pass" in done.stdout) == (code == 0)
