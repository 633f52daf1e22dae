"""Promises of the main listener's health answers, to the byte."""

import pytest
from flask import Flask

from petsage import CheckFailed, health
from petsage.health import schemas
from tests.fakes import Subject, check

BODY = b'{"status":"ok","message":"PetSage Smoke Test: Success!","feature":"smoke_test"}\n'


@pytest.fixture
def answer(config, scoreboard):
    """Asks an application that has these checks."""

    def get(path, *checks, method="GET", **options):
        app = Flask("embedding")
        health.init_app(app, checks, config=config, scoreboard=scoreboard)
        return app.test_client().open(path, method=method, **options)

    return get


def test_the_smoke_test_answers_its_contract_to_the_byte(answer):
    response = answer("/api/v1/smoke-test")
    assert response.status_code == 200
    assert response.data == BODY
    assert response.headers["Content-Type"] == "application/json"


def test_head_is_answered_as_get_without_a_body(answer):
    get, head = answer("/api/v1/smoke-test"), answer("/api/v1/smoke-test", method="HEAD")
    assert head.data == b""
    assert head.headers == get.headers
    assert head.headers["Content-Length"] == str(len(BODY))


def test_a_failing_critical_smoke_check_is_a_503_that_names_it(answer):
    down, fine = Subject(CheckFailed("down")), Subject()
    response = answer("/api/v1/smoke-test", check("db", down), check("a", fine), check("z", down))
    assert response.status_code == 503
    assert response.data == (
        b'{"status":"error","message":"PetSage Smoke Test: Failed!",'
        b'"feature":"smoke_test","failed":["db","z"]}\n'
    )


def test_each_answer_names_what_fails_now(config, scoreboard):
    app, subjects = Flask("embedding"), {"one": Subject(), "other": Subject()}
    checks = [check(name, subject, fresh_seconds=0) for name, subject in subjects.items()]
    health.init_app(app, checks, config=config, scoreboard=scoreboard)
    for failing in (["one"], ["other"], ["one", "other"], ["one"]):
        for name, subject in subjects.items():
            subject.error = CheckFailed("down") if name in failing else None
        assert app.test_client().get("/api/v1/smoke-test").json["failed"] == failing


def test_a_smoke_check_that_is_not_critical_does_not_fail_the_smoke_test(answer):
    response = answer("/api/v1/smoke-test", check("db", Subject(CheckFailed("x")), critical=False))
    assert response.data == BODY


def test_an_exception_with_a_password_in_it_shows_none_of_it(answer, caplog):
    response = answer("/api/v1/smoke-test", check("db", Subject(RuntimeError("pw=hunter2"))))
    assert response.status_code == 503
    assert b"hunter2" not in response.data
    assert "hunter2" not in str(response.headers) + caplog.text


def test_the_smoke_test_really_runs_its_checks(answer):
    subject = Subject()
    answer("/api/v1/smoke-test", check("db", subject))
    assert subject.runs == 1


def test_success_is_what_the_schema_loads():
    schemas.contract_holds()
    assert schemas.SmokeTestSchema().loads(BODY)["feature"] == "smoke_test"


@pytest.mark.parametrize("path", ["/api/v1/smoke-test", "/livez", "/readyz", "/startupz"])
@pytest.mark.parametrize("error", [None, CheckFailed("down")])
def test_every_health_answer_says_who_answers_and_is_not_stored(answer, path, error):
    headers = answer(path, check("db", Subject(error))).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["PetSage-Release"] == "r1"
    assert headers["PetSage-Instance"] == "i1"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz"])
def test_a_probe_says_ok_in_plain_text(answer, path):
    response = answer(path)
    assert (response.status_code, response.data) == (200, b"ok\n")
    assert response.mimetype == "text/plain"


@pytest.mark.parametrize("path", ["/readyz", "/startupz", "/readyz?verbose"])
def test_a_failing_probe_shows_no_details_on_the_public_side(answer, path):
    response = answer(path, check("db", Subject(CheckFailed("10.0.0.7 refused"))))
    assert (response.status_code, response.data) == (503, b"failed\n")


def test_a_dependency_that_is_down_does_not_fail_the_live_probe(answer):
    assert answer("/livez", check("db", Subject(CheckFailed("down")))).status_code == 200


def test_readiness_ends_when_the_drain_begins(answer, scoreboard):
    scoreboard.draining = True
    assert answer("/readyz").status_code == 503
    assert answer("/livez").status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/smoke-test", "/livez", "/readyz", "/startupz"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_another_method_is_a_405_that_names_those_allowed(answer, path, method):
    response = answer(path, method=method)
    assert response.status_code == 405
    assert {"GET", "HEAD"} <= set(response.headers["Allow"].split(", "))
