"""What the smoke test costs in process, as a multiple of a Flask view that returns constant bytes.

    python -m pytest tests/bench/bench_smoke_test.py

The views are run in turn, so that a machine that changes its speed changes it for all of them.
"""

import timeit
from statistics import median
from typing import Any

from flask import Flask, jsonify
from marshmallow import Schema, fields
from werkzeug.test import EnvironBuilder

from petsage import Check, create_app, health
from petsage.config import Config

BODY = b'{"status":"ok","message":"PetSage Smoke Test: Success!","feature":"smoke_test"}\n'
ROUNDS, REQUESTS = 40, 500


class AnswerSchema(Schema):
    status = fields.String()
    message = fields.String()
    feature = fields.String()


def constant() -> Flask:
    app = Flask("constant")
    app.add_url_rule("/api/v1/smoke-test", "smoke_test", lambda: BODY)
    return app


def hand_written() -> Flask:
    app, schema = Flask("hand_written"), AnswerSchema()
    answer = {"status": "ok", "message": "PetSage Smoke Test: Success!", "feature": "smoke_test"}
    app.add_url_rule("/api/v1/smoke-test", "smoke_test", lambda: jsonify(schema.dump(answer)))
    return app


def with_checks(number: int) -> Flask:
    app = Flask("embedding")
    probes = frozenset({"ready", "smoke"})
    checks = [Check(f"check-{i}", lambda: None, probes) for i in range(number)]
    health.init_app(app, checks, config=Config())
    return app


def request(app: Flask, path: str = "/api/v1/smoke-test"):
    """One request through the application, without a server."""
    environ = EnvironBuilder(path=path).get_environ()

    def run():
        body: Any = app(dict(environ), lambda status, headers, error=None: bytes)
        b"".join(body)
        body.close()

    return run


def ratios(subjects):
    """The median over all rounds of each subject's time, as a multiple of the first one's."""
    times = {name: [] for name in subjects}
    for _ in range(ROUNDS):
        for name, run in subjects.items():
            times[name].append(timeit.timeit(run, number=REQUESTS))
    base = times[next(iter(times))]
    return {
        name: median(own / other for own, other in zip(taken, base, strict=True))
        for name, taken in times.items()
    }


def show(title, measured):
    print(f"\n{title}")
    for name, ratio in measured.items():
        print(f"  {name:28} {ratio:5.2f}")


def test_the_smoke_test_beside_a_constant_view(capsys):
    measured = ratios(
        {
            "constant bytes": request(constant()),
            "hand-written": request(hand_written()),
            "PetSage": request(create_app(Config())),
            "PetSage, ten checks": request(with_checks(10)),
        }
    )
    with capsys.disabled():
        show("The smoke test, as a multiple of a constant view:", measured)
    assert measured["PetSage"] < measured["hand-written"] * 2  # a blunder, not a figure


def test_readiness_with_a_hundred_checks_beside_one(capsys):
    measured = ratios(
        {
            "/readyz, one check": request(with_checks(1), "/readyz"),
            "/readyz, a hundred checks": request(with_checks(100), "/readyz"),
        }
    )
    with capsys.disabled():
        show("Readiness, as a multiple of one check:", measured)
    assert measured["/readyz, a hundred checks"] < 10  # a blunder, not a figure
