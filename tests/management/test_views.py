"""Promises of the operator's side: details, one check, some checks, and health+json."""

import json
from datetime import datetime

import pytest

from petsage import CheckFailed, CheckWarns, Value
from petsage.health.conditions import drain_condition
from petsage.health.monitor import Monitor
from petsage.health.service import Health
from petsage.management import views as management
from tests.fakes import ManualClock, Subject, check, condition


@pytest.fixture
def operator(scoreboard, identity):
    """Asks the management application of an instance that has these checks."""

    def client(*checks, conditions=()):
        monitor = Monitor(checks, [drain_condition(scoreboard), *conditions], ManualClock())
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


def test_all_is_well_in_one_word(operator):
    response = operator(check()).get("/readyz")
    assert (response.status_code, response.text) == (200, "ok\n")


def test_each_failing_check_is_a_line(mixed):
    response = mixed.get("/readyz")
    assert response.status_code == 503
    assert response.text == "[-]database failed: connection refused\nfailed\n"


def test_verbose_has_a_line_for_every_check(mixed):
    assert mixed.get("/readyz?verbose").text == (
        "[+]drain ok\n"
        "[!]cache warn: slow\n"
        "[-]database failed: connection refused\n"
        "[+]disk ok\n"
        "failed\n"
    )


def test_a_check_can_be_left_out(mixed):
    response = mixed.get("/readyz?verbose&exclude=database&exclude=cache")
    assert (response.status_code, response.text) == (200, "[+]drain ok\n[+]disk ok\nok\n")


def test_one_check_can_be_asked_by_its_name(mixed):
    assert mixed.get("/readyz/disk").text == "ok\n"
    assert mixed.get("/readyz/database").status_code == 503
    assert mixed.get("/readyz/cache?verbose").text == "[!]cache warn: slow\nok\n"


@pytest.mark.parametrize("path", ["/readyz/nope", "/readyz?exclude=nope", "/livez/database"])
def test_an_unknown_name_is_a_404_that_names_the_known_ones(operator, path):
    response = operator(check()).get(path)
    assert response.status_code == 404
    assert response.json["message"].startswith("This probe has no such check; it has: ")
    assert "nope" not in response.text


@pytest.mark.parametrize("path", ["/alivez", "/readyz/a/b", "/status/x"])
def test_an_unknown_url_is_a_404_in_json(operator, path):
    response = operator().get(path)
    assert (response.status_code, response.json["code"]) == (404, 404)


def test_the_live_probe_asks_no_dependency(operator):
    subject = Subject(CheckFailed("down"))
    assert operator(check(run=subject)).get("/livez").status_code == 200
    assert subject.runs == 0


def test_a_drain_ends_readiness_and_says_why(operator, scoreboard):
    scoreboard.draining = True
    response = operator().get("/readyz")
    assert (response.status_code, response.text) == (
        503,
        "[-]drain failed: the instance is stopping\nfailed\n",
    )


@pytest.mark.parametrize("media_type", ["application/health+json", "application/json"])
@pytest.mark.parametrize("parameters", ["", ";version=1", "; charset=utf-8;q=0.9"])
def test_a_machine_gets_the_fields_of_health_json(mixed, media_type, parameters):
    response = mixed.get("/readyz", headers={"Accept": media_type + parameters})
    assert response.status_code == 503
    assert response.mimetype == media_type
    assert response.vary.as_set() == {"accept"}
    body = response.json
    assert list(body) == ["status", "version", "releaseId", "serviceId", "checks"]
    assert (body["status"], body["releaseId"], body["serviceId"]) == ("fail", "r1", "i1")
    (database,) = body["checks"]["database:responseTime"]
    assert (database["status"], database["output"]) == ("fail", "connection refused")
    assert (database["observedValue"], database["observedUnit"]) == (0.0, "ms")
    assert abs((datetime.now().astimezone() - datetime.fromisoformat(database["time"])).days) < 1
    assert "output" not in body["checks"]["disk:responseTime"][0]
    types = {key: one["componentType"] for key, (one,) in body["checks"].items()}
    assert types.pop("drain:responseTime") == "system"
    assert set(types.values()) == {"component"}


def test_health_json_has_what_a_check_has_observed(operator):
    def growing():
        raise CheckWarns("growing", value=Value(73, "messages"))

    client = operator(check("queue", growing), check("load", lambda: 0.5))
    body = client.get("/readyz", headers={"Accept": "application/health+json"}).json
    (queue,), (load,) = body["checks"]["queue:value"], body["checks"]["load:value"]
    assert (queue["observedValue"], queue["observedUnit"]) == (73, "messages")
    assert (queue["status"], queue["output"], queue["componentType"]) == (
        "warn",
        "growing",
        "component",
    )
    assert load["observedValue"] == 0.5
    assert "observedUnit" not in load


def test_after_the_start_the_startup_probe_passes_and_still_shows_its_checks(operator):
    subject = Subject()
    client = operator(check(run=subject, fresh_seconds=0))
    assert client.get("/startupz").status_code == 200
    subject.error = CheckFailed("down")
    response = client.get("/startupz", headers={"Accept": "application/health+json"})
    assert (response.status_code, response.json["status"]) == (200, "pass")
    assert response.json["checks"]["database:responseTime"][0]["status"] == "fail"
    assert client.get("/startupz").text == "ok\n"
    verbose = client.get("/startupz?verbose")
    assert (verbose.status_code, verbose.text) == (200, "[-]database failed: down\nok\n")
    ledger = client.application.extensions["petsage_ledger"]
    assert not any(entry.failed or entry.reason for entry in ledger.entries())


@pytest.mark.parametrize("accept", ["*/*", "text/html", "text/plain", "", "nonsense;;q=x"])
def test_all_others_get_text(operator, accept):
    response = operator(check()).get("/readyz", headers={"Accept": accept})
    assert (response.mimetype, response.text) == ("text/plain", "ok\n")


def test_a_kubelet_can_keep_the_whole_body_however_much_fails(operator):
    down = Subject(CheckFailed("ü" * 300))
    response = operator(*(check(f"c{i:03}", down) for i in range(200))).get("/readyz")
    assert len(response.data) < 10 * 1024
    lines = response.text.splitlines()
    assert lines[-1] == "failed"
    assert lines[-2] == f"and {200 - (len(lines) - 2)} more"


def test_the_index_says_what_is_here(operator):
    text = operator().get("/").text
    for path in (
        "/livez",
        "/readyz",
        "/startupz",
        "?verbose",
        "?exclude=NAME",
        "/status",
        "/metrics",
    ):
        assert path in text


def test_a_condition_that_something_is_stuck_fails_the_live_probe(operator):
    stuck = condition("workers", live=lambda: "no worker has finished a request for 120 s")
    response = operator(conditions=[stuck]).get("/livez")
    assert response.status_code == 503
    assert response.text.startswith("[-]workers failed: no worker has finished")


def test_every_answer_says_who_answers_and_is_not_stored(mixed):
    for path in ("/livez", "/readyz", "/startupz?verbose", "/readyz/nope"):
        headers = mixed.get(path).headers
        assert headers["Cache-Control"] == "no-store"
    assert mixed.get("/readyz").headers["PetSage-Instance"] == "i1"


def test_the_report_is_one_line_of_json(mixed):
    body = mixed.get("/readyz", headers={"Accept": "application/json"}).data
    assert body.endswith(b"}\n")
    assert body.count(b"\n") == 1
    json.loads(body)
