"""Promises of the status page: complete, harmless, the same as JSON, and no probe itself."""

import base64
import hashlib
import re
from datetime import datetime

import pytest

from petsage import CheckFailed, CheckWarns, Result, Status, Value
from petsage.health.conditions import drain_condition
from petsage.health.history import Change
from petsage.health.monitor import Monitor
from petsage.health.service import Health
from petsage.management import views as management
from petsage.management.page import bars, counts, grouped, span
from tests.fakes import ManualClock, Subject, check, condition

JSON = {"Accept": "application/json"}


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def operator(scoreboard, identity, clock):
    """Asks the management application of an instance that has these checks."""

    def client(*checks, conditions=()):
        scoreboard.began_at = clock.time - 3600
        monitor = Monitor(checks, [drain_condition(scoreboard), *conditions], clock)
        return management.management_app(Health(monitor, scoreboard, identity)).test_client()

    return client


@pytest.fixture
def mixed(operator):
    """One check of each status."""
    return operator(
        check("cache", Subject(CheckFailed("slow")), critical=False),
        check("database", Subject(CheckFailed("connection refused"))),
        check("disk"),
    )


def test_the_verdict_comes_first_and_names_what_fails(mixed):
    page = mixed.get("/status")
    assert (page.status_code, page.content_type) == (200, "text/html; charset=utf-8")
    assert "<title>fail · i1 · PetSage</title>" in page.text
    assert page.text.index("1 check fails") < page.text.index("<table")
    verdict = page.text[: page.text.index("<table")]
    assert 'Failing: <a href="#check-database">database</a>.' in verdict
    assert 'Warning: <a href="#check-cache">cache</a>.' in verdict


def test_json_has_the_same(mixed, scoreboard, clock):
    scoreboard.finished_at = clock.time - 2
    body = mixed.get("/status", headers=JSON).json
    at = datetime.fromisoformat(body.pop("at"))
    assert abs((datetime.now().astimezone() - at).total_seconds()) < 60
    failed = {"status": "fail", "reason": "connection refused", "duration_seconds": 0.0}
    assert body.pop("since") == at.isoformat()
    (past,) = body["checks"][2]["results"]
    assert past.pop("at") == at.isoformat()
    assert body["checks"][2] == {
        **failed,
        "name": "database",
        "status_seconds": 0.0,
        "age_seconds": 0.0,
        "results": [failed],
    }
    assert [(c["name"], c["from"], c["to"], c["reason"]) for c in body["changes"][::-1]] in (
        [("cache", None, "warn", "slow"), ("database", None, "fail", "connection refused")],
        [("database", None, "fail", "connection refused"), ("cache", None, "warn", "slow")],
    )
    del body["checks"], body["changes"]
    assert body == {
        "status": "fail",
        "release": "r1",
        "instance": "i1",
        "uptime_seconds": 3600.0,
        "finished_seconds": 2.0,
        "draining": False,
        "probes": {"live": "pass", "ready": "fail", "startup": "fail"},
        "ledger": [],
    }


def test_what_changed_is_shown_with_when_from_to_why_and_how_long(operator, clock):
    subject = Subject()
    client = operator(check(run=subject))
    client.get("/status")
    clock.time += 90
    subject.error = CheckFailed("refused")
    (change,) = client.get("/status", headers=JSON).json["changes"]
    assert datetime.fromisoformat(change.pop("at")).utcoffset() is not None
    assert change == {
        "name": "database",
        "from": "pass",
        "to": "fail",
        "reason": "refused",
        "held_seconds": 90.0,
    }
    assert "for 1 min 30 s" in client.get("/status").text


def test_the_ledger_shows_who_probed_and_what_was_answered(mixed):
    for path in ("/livez", "/readyz", "/readyz?exclude=database", "/startupz/disk", "/readyz/nope"):
        mixed.get(path, headers={"User-Agent": "kube-probe/1.31"})
    mixed.post("/readyz")
    mixed.get("/nope")
    ledger = mixed.get("/status", headers=JSON).json["ledger"]
    assert {e["agent"] for e in ledger} == {"kube-probe/1.31"}
    assert [(e["probe"], e["asked"], e["code"], e["reason"]) for e in reversed(ledger)] == [
        ("live", "", 200, ""),
        ("ready", "", 503, "database: connection refused"),
        ("ready", "without database", 200, ""),
        ("startup", "disk", 200, ""),
        ("ready", "", 404, "no such check"),
    ]
    page = mixed.get("/status").text
    assert "ready without database" in page
    assert "kube-probe/1.31" in page
    assert "database: connection refused" in page


def test_options_is_no_probe_and_an_error_is_entered_as_one(operator):
    def broken():
        raise RuntimeError

    client = operator(conditions=[condition("broken", live=broken)])
    client.options("/readyz")
    client.get("/livez")
    ledger = client.application.extensions["petsage_ledger"]
    assert [(e.probe, e.code, e.reason) for e in ledger.entries()] == [("live", 500, "")]


def test_showing_the_page_is_no_probe_and_latches_nothing(operator, scoreboard):
    client = operator(check())
    for _ in range(3):
        assert client.get("/status", headers=JSON).json["ledger"] == []
    assert not scoreboard.started


def test_the_page_shows_the_start_as_latched_although_its_checks_fail_again(operator, clock):
    subject = Subject(CheckFailed("migrating"))
    client = operator(check(run=subject, probes={"startup"}))

    def shown():
        return client.get("/status", headers=JSON).json["probes"]["startup"]

    assert shown() == "fail"
    subject.error = None
    clock.time += 31
    assert shown() == "pass"
    subject.error = CheckFailed("down")
    clock.time += 31
    assert shown() == "fail"  # nobody but the startup probe latches it
    subject.error = None
    clock.time += 31
    assert client.get("/startupz").status_code == 200
    subject.error = CheckFailed("down")
    clock.time += 31
    body = client.get("/status", headers=JSON).json
    assert (body["probes"]["startup"], body["checks"][1]["status"]) == ("pass", "fail")


def test_the_page_asks_every_check_but_none_more_often_than_its_freshness(operator, clock):
    smoke = Subject()
    client = operator(check("partner", smoke, probes={"smoke"}, fresh_seconds=60, stale_seconds=90))
    for _ in range(50):
        assert "partner" in client.get("/status").text
        clock.time += 1
    assert smoke.runs == 1


def test_a_check_that_hangs_does_not_hang_the_page(operator, clock):
    clock.patience_seconds = 0.01
    hung = [Subject(hung=True) for _ in range(10)]
    client = operator(*(check(f"c{i}", subject) for i, subject in enumerate(hung)))
    asked = clock.time
    assert "no result within 0.8 s" in client.get("/status").text
    assert clock.time - asked == pytest.approx(0.8)
    for subject in hung:
        subject.go.set()


@pytest.mark.parametrize(("critical", "status"), [(True, "fail"), (False, "warn")])
def test_of_a_check_that_hangs_after_an_hour_of_passes_log_page_and_metrics_agree(
    operator, clock, caplog, critical, status
):
    subject = Subject()
    client = operator(check(run=subject, timeout_seconds=10, critical=critical))
    client.get("/readyz")
    clock.time += 3600
    clock.patience_seconds = 0.01
    subject.go.clear()
    assert client.get("/readyz").status_code == (503 if critical else 200)
    clock.time += 1
    body = client.get("/status", headers=JSON).json
    assert body["probes"] == {"live": "pass", "ready": status, "startup": status}
    row = next(row for row in body["checks"] if row["name"] == "database")
    assert (row["status"], row["status_seconds"]) == (status, pytest.approx(1.8))
    assert [(c["to"], c["held_seconds"]) for c in body["changes"]] == [
        (status, pytest.approx(3600.8))
    ]
    (line,) = caplog.messages
    assert line.endswith(f"{status} (was pass for 3600.8 s): no result within 0.8 s")
    sample = f'petsage_check_status{{check="database",status="{status}"}} 1.0'
    assert sample in client.get("/metrics").text
    subject.go.set()


def test_the_duration_of_a_status_that_another_probe_got_is_not_shown(operator, clock):
    subject = Subject()
    client = operator(check(run=subject, fresh_seconds=25, timeout_seconds=20))
    client.get("/status")
    clock.time += 10
    clock.patience_seconds = 0.01
    subject.go.clear()
    client.application.extensions["petsage"].report("smoke")
    row = client.get("/status", headers=JSON).json["checks"][-1]
    assert (row["status"], row["status_seconds"]) == ("pass", None)
    subject.go.set()


def test_what_a_check_has_observed_is_shown(operator):
    def growing():
        raise CheckWarns("growing", value=Value(73, "messages"))

    client = operator(check("queue", growing), check("load", lambda: 0.5))
    page = client.get("/status").text
    assert ">73 messages: growing</td>" in page
    assert ">0.5</td>" in page
    _, queue, load = client.get("/status", headers=JSON).json["checks"]
    assert queue["value"] == queue["results"][0]["value"] == {"number": 73, "unit": "messages"}
    assert load["value"] == {"number": 0.5, "unit": ""}


def test_a_drain_is_the_verdict(operator, scoreboard):
    scoreboard.draining = True
    client = operator(check())
    page = client.get("/status").text
    assert "<h1>Stopping</h1>" in page
    assert "under way" in page
    assert "the instance is stopping" in page
    body = client.get("/status", headers=JSON).json
    assert (body["draining"], body["probes"]["ready"]) == (True, "fail")


def test_without_changes_or_probes_it_says_so(operator):
    page = operator().get("/status").text
    for text in ("All is well", "never", "No status has changed.", "Nobody has probed"):
        assert text in page


def test_many_failures_leave_the_verdict_short(operator):
    client = operator(*(check(f"c{i}", Subject(CheckFailed("down"))) for i in range(9)))
    page = client.get("/status").text
    assert "9 checks fail" in page
    assert re.search(r">c4</a>\s+and 4 more\.", page)


@pytest.mark.parametrize("accept", ["*/*", "text/html", "", "nonsense;;q=x", "image/png"])
def test_all_but_machines_get_the_page(operator, accept):
    assert operator().get("/status", headers={"Accept": accept}).mimetype == "text/html"


def test_the_policy_allows_the_pages_own_style_and_script_and_nothing_else(operator):
    response = operator(check()).get("/status")
    policy = dict(
        part.strip().split(" ", 1)
        for part in response.headers["Content-Security-Policy"].split(";")
    )
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", response.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert policy.pop(directive) == f"'sha256-{digest}'"
    assert policy == {
        "default-src": "'none'",
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Vary"] == "Accept"
    assert not re.search(r"\son\w+=|\sstyle=|javascript:", response.text)
    hosts = set(re.findall(r"https?://[^'\"/ ]+", response.text))
    assert hosts == {"http://www.w3.org"}  # the name of SVG, which nobody asks


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_another_method_is_a_405(operator, method):
    assert operator().open("/status", method=method).status_code == 405


def test_head_is_answered_without_a_body(operator):
    response = operator().head("/status")
    assert (response.status_code, response.data) == (200, b"")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 ms"),
        (0.0004126, "0.413 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (270_000, "3 d 3 h"),
    ],
)
def test_a_duration_is_said_as_a_person_says_it(seconds, said):
    assert span(seconds) == said


def test_the_picture_sets_passes_and_failures_apart_without_colour():
    results = [
        Result("db", status, "", 0.0, seconds)
        for status, seconds in ((Status.PASS, 1.0), (Status.PASS, 2.0), (Status.FAIL, 0.1))
    ]
    assert bars(tuple(results)) == {
        "pass": "M108 12h3v-6h-3zM112 12h3v-12h-3z",
        "fail": "M116 12h3v12h-3z",
    }
    assert counts(tuple(results)) == "Last 3 results: 2 pass, 1 fail"


@pytest.mark.parametrize(
    ("moments", "rows"),
    [
        ((1000, 800, 600, 400), [4]),
        ((1000, 800, 600, 399), [1, 1, 1, 1]),
        ((1000, 800, 600), [1, 1, 1]),
        ((1000, 900, 800, 700, 300, 200), [4, 1, 1]),
        ((3000, 1000, 800, 600, 400), [1, 4]),
    ],
)
def test_a_check_that_changed_four_times_within_ten_minutes_is_one_row(moments, rows):
    changes = [
        Change("flapping", None, Result("flapping", Status.FAIL, "", at, 0.1), 0) for at in moments
    ]
    assert [number for _, number in grouped(changes)] == rows
    steady = Change("steady", None, Result("steady", Status.FAIL, "", 500, 0.1), 0)
    assert (steady, 1) in grouped([*changes, steady])
