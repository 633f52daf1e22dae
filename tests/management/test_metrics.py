"""Promises of the metrics: read off the monitor, with names and labels that stay bounded."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from petsage import CheckFailed, CheckWarns, Value
from petsage.config import package_version
from petsage.health.conditions import drain_condition
from petsage.health.monitor import Monitor
from petsage.health.service import Health
from petsage.management import views as management
from tests.fakes import ManualClock, Subject, check, condition


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def operator(scoreboard, identity, clock):
    """Asks the management application of an instance that has these checks."""

    def client(*checks, conditions=()):
        monitor = Monitor(checks, [drain_condition(scoreboard), *conditions], clock)
        return management.management_app(Health(monitor, scoreboard, identity)).test_client()

    return client


STATUS_OF_PARTNER = ("petsage_check_status", ("check", "partner"))


def samples(client):
    """The samples of a scrape: the value by name and labels."""
    response = client.get("/metrics")
    assert response.status_code == 200
    families = text_string_to_metric_families(response.text)
    return {
        (s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples
    }


def status_of(name, read):
    """The statuses that this check has: one, or none if it is not known."""
    key = "petsage_check_status"
    statuses = ("pass", "warn", "fail")
    return [s for s in statuses if read.get((key, ("check", name), ("status", s)))]


def test_a_scrape_asks_each_check_but_none_more_often_than_its_freshness(operator, clock):
    subject = Subject(CheckFailed("down"))
    client = operator(check(run=subject, probes={"startup"}))
    for _ in range(50):
        assert status_of("database", samples(client)) == ["fail"]
        clock.time += 0.09
    assert subject.runs == 1


@pytest.mark.parametrize("external", [True, False])
def test_what_only_the_smoke_test_asks_is_shown_by_a_scrape_and_not_run(operator, clock, external):
    subject = Subject()
    partner = check("partner", subject, probes={"smoke"}, stale_seconds=30, external=external)
    client = operator(partner)

    def unknown():
        """The check's three statuses are all 0, or absent if it is no dependency."""
        clock.time += 31
        found = [v for key, v in samples(client).items() if key[:2] == STATUS_OF_PARTNER]
        return found == ([0, 0, 0] if external else [])

    assert unknown()
    assert subject.runs == 0
    client.application.extensions["petsage"].report("smoke")
    clock.time += 2
    assert status_of("partner", samples(client)) == ["pass"]
    assert unknown()
    assert subject.runs == 1


def test_a_scrape_takes_no_longer_than_a_probe(operator, clock):
    clock.patience_seconds = 0.01
    hung = [Subject(hung=True) for _ in range(10)]
    client = operator(*(check(f"c{i}", subject) for i, subject in enumerate(hung)))
    asked = clock.time
    assert status_of("c9", samples(client)) == ["fail"]
    assert clock.time - asked == pytest.approx(0.8)
    for subject in hung:
        subject.go.set()


def test_what_a_check_has_observed_is_a_gauge_with_its_unit(operator):
    def growing():
        raise CheckWarns("growing", value=Value(73, "messages"))

    read = samples(operator(check("queue", growing), check("load", lambda: 0.5), check()))
    assert read["petsage_check_value", ("check", "queue"), ("unit", "messages")] == 73
    assert read["petsage_check_value", ("check", "load"), ("unit", "")] == 0.5
    assert len([key for key in read if key[0] == "petsage_check_value"]) == 2


def test_each_check_is_scraped_with_status_duration_age_and_runs(operator, clock):
    client = operator(check(run=Subject(CheckFailed("down"))), check("disk"))
    client.get("/readyz")
    clock.time += 4
    read = samples(client)
    assert (status_of("database", read), status_of("disk", read)) == (["fail"], ["pass"])
    assert read["petsage_check_duration_seconds", ("check", "database")] == 0
    assert read["petsage_check_age_seconds", ("check", "database")] == 4
    runs = {
        outcome: read["petsage_check_runs_total", ("check", "database"), ("outcome", outcome)]
        for outcome in ("pass", "warn", "fail")
    }
    assert runs == {"pass": 0, "warn": 0, "fail": 1}


def test_answers_to_probes_are_counted_by_probe_and_code(operator):
    client = operator(check(run=Subject(CheckFailed("down"))))
    for path in ("/livez", "/livez", "/readyz", "/readyz/nope"):
        client.get(path, headers={"User-Agent": path})
    client.get("/status")
    read = samples(client)
    answers = {key[1:]: n for key, n in read.items() if key[0] == "petsage_probe_answers_total"}
    assert answers == {
        (("code", "200"), ("probe", "live")): 2,
        (("code", "503"), ("probe", "ready")): 1,
        (("code", "404"), ("probe", "ready")): 1,
    }


def test_the_instance_is_named(operator, scoreboard, clock):
    client = operator()
    read = samples(client)
    assert ("petsage_last_request_finished_age_seconds",) not in read
    assert read[("petsage_draining",)] == 0
    labels = (("instance", "i1"), ("release", "r1"), ("version", package_version()))
    assert read["petsage_info", *labels] == 1
    clock.time += 1
    scoreboard.finished_at, scoreboard.draining = clock.time - 4, True
    read = samples(client)
    assert read[("petsage_last_request_finished_age_seconds",)] == 4
    assert read[("petsage_draining",)] == 1
    clock.time += 1
    scoreboard.finished_at = clock.time + 0.1  # while the scrape was under way
    assert samples(client)[("petsage_last_request_finished_age_seconds",)] == 0
    assert status_of("drain", read) == ["fail"]


def test_no_client_makes_a_series(operator):
    client = operator(check())
    client.get("/readyz")
    before = set(samples(client))
    for i in range(200):
        client.get(f"/readyz?x={i}", headers={"User-Agent": f"agent {i}", "X-Request-ID": f"{i}"})
        client.get(f"/nope/{i}")
    assert set(samples(client)) == before


def test_a_hostile_name_is_a_label_and_nothing_else(operator):
    name = 'x"} 1\npetsage_forged 1\n#\\'
    read = samples(operator(conditions=[condition(name, ready=str)]))
    assert status_of(name, read) == ["pass"]
    assert ("petsage_forged",) not in read


def test_two_instances_in_one_process_have_their_own(operator):
    one, other = operator(check("a")), operator(check("b"))
    one.get("/livez")
    assert ("petsage_check_runs_total", ("check", "a"), ("outcome", "pass")) in samples(one)
    assert not any("petsage_probe_answers_total" in key for key in samples(other))


def test_metrics_are_not_stored(operator):
    response = operator().get("/metrics")
    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
