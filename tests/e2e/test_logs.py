"""Promises of the log that a real instance writes."""

import json
import os
import signal
import subprocess
from contextlib import contextmanager, suppress

import pytest
import urllib3

from tests.support import PETSAGE, environment_of, free_port, get, holders, served, wait_until
from tests.test_logs import LINE

APPLICATION = """\
import logging
from flask import Flask, request
from petsage import Check, CheckFailed, health

app = Flask("shop")
unwell = []

def stock():
    if unwell:
        raise CheckFailed("no shelf")

health.init_app(app, [Check("stock", stock, {"ready"}, fresh_seconds=0)])

@app.get("/broken")
def broken():
    raise RuntimeError(request.args.get("why", "an error of the program"))

@app.get("/say")
def say():
    logging.getLogger("shop.sales").info(request.args["what"])
    return "said"

@app.get("/empty")
def empty():
    unwell.append(True)
    return "emptied"
"""

RAW = """\
def app(environ, start_response):
    raise RuntimeError("an error of the program")
"""


@pytest.fixture(scope="module", params=["text", "json"])
def shop(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(APPLICATION)
    settings = {"log_format": request.param, "release": "r1", "instance": "i1", "threads": 1}
    with served(folder, "shop:app", cwd=folder, workers=1, **settings) as running:
        yield running


def lines(service):
    """Every line of the log, parsed; a line of a traceback has only `trace`."""
    found = []
    for line in service.log.read_text().splitlines():
        if line.startswith("{"):
            found.append(json.loads(line))
        elif line.startswith("    "):
            found.append({"event": "", "trace": line})
        else:
            match = LINE.fullmatch(line)
            assert match, line
            found.append(match.groupdict())
    return found


def logged(service, *words, **fields):
    """The lines that have these words in their event, and these fields."""

    def those():
        found = [one for one in lines(service) if fields.items() <= one.items()]
        return [one for one in found if all(w in one["event"] for w in words)]

    return wait_until(those)


def test_gunicorn_petsage_and_the_application_write_in_one_form(shop):
    get(f"{shop.main}/say?what=sold")
    (said,) = logged(shop, "sold")
    assert (said["logger"], said["level"], said["release"]) == ("shop.sales", "info", "r1")
    assert logged(shop, "Starting gunicorn")[0]["instance"] == "i1"


def test_an_unhandled_error_has_its_trace_once_beside_its_request_id(shop):
    answer = get(f"{shop.main}/broken?why=once", headers={"X-Request-ID": "order-12345"})
    assert answer.status == 500
    (line,) = logged(shop, "Exception on /broken", request_id="order-12345")
    assert line["level"] == "error"
    assert shop.log.read_text().count("RuntimeError: once") == 1


def test_the_id_of_one_request_does_not_stay_for_the_next(shop):
    get(f"{shop.main}/livez", headers={"X-Request-ID": "order-67890"})
    for what in ("first", "second", "third", "fourth"):
        get(f"{shop.main}/say?what={what}")
        assert logged(shop, what)[0].get("request_id", "-") == "-"


def test_the_id_of_one_request_does_not_stay_for_what_is_no_request(shop):
    get(f"{shop.main}/livez", headers={"X-Request-ID": "order-24680"})
    get(f"{shop.main}/livez", headers={"Bad Header": "x", "X-Request-ID": "order-13579"})
    (line,) = logged(shop, "Invalid request")
    assert line.get("request_id", "-") == "-"


def test_a_change_is_logged_and_healthy_probes_are_not(shop):
    for _ in range(20):
        for side in (shop.main, shop.management):
            for probe in ("livez", "readyz", "startupz"):
                get(f"{side}/{probe}")
    assert not [one for one in lines(shop) if one.get("logger") == "petsage.monitor"]
    get(f"{shop.main}/empty")
    wait_until(lambda: get(f"{shop.main}/readyz").status == 503)
    for _ in range(5):
        get(f"{shop.main}/readyz")
    (line,) = logged(shop, "check stock: fail")
    assert line["level"] == "warning"
    assert line["event"].endswith(": no shelf")


def test_a_forged_line_stays_where_it_was_sent(shop):
    forged = "%0A2026-11-23T00:00:00+00:00%20info%20r1%20i1%20forged[1]%20-%20x"
    get(f"{shop.main}/say?what=attack{forged}")
    get(f"{shop.main}/broken?why=attack{forged}")
    logged(shop, "attack")
    assert not [one for one in lines(shop) if one.get("logger") == "forged"]


def test_an_error_of_any_wsgi_application_is_traced_once_with_its_request_id(tmp_path):
    (tmp_path / "raw.py").write_text(RAW)
    with served(tmp_path, "raw:app", cwd=tmp_path, workers=1, log_format="json") as service:
        answer = get(f"{service.main}/x", headers={"X-Request-ID": "order-12345"})
        assert answer.data == (
            b'{"code":500,"status":"Internal Server Error","request_id":"order-12345"}\n'
        )
        (line,) = logged(service, "Error handling request GET /x", request_id="order-12345")
        assert line["trace"].endswith("RuntimeError: an error of the program\n")


@pytest.mark.parametrize("level", ["error", "debug"])
def test_the_level_holds_for_all_and_at_none_an_access_is_logged(tmp_path, level):
    with served(tmp_path, workers=1, log_level=level) as service:
        get(f"{service.main}/livez?once", headers={"User-Agent": "a-visitor"})
        written = service.log.read_text()
    assert ("Booting worker" in written) == (level == "debug")
    assert (" debug " in written) == (level == "debug")
    assert "livez" not in written
    assert "a-visitor" not in written


PRINTS = """\
import sys
def app(environ, start_response):
    for stream in (sys.stdout, sys.stderr, environ["wsgi.errors"]):
        print("x" * 4000, file=stream, flush=True)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""

CHATTY = """\
import logging
def app(environ, start_response):
    for _ in range(20):
        logging.getLogger("chatty").warning("x" * 5000)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@contextmanager
def unread(folder, application, workers=1):
    """An instance whose output nobody reads; yields its process and its listeners' URLs."""
    (folder / "shop.py").write_text(application)
    main, management = (f"127.0.0.1:{free_port()}" for _ in range(2))
    settings = {"bind": main, "management_bind": management, "workers": workers}
    with subprocess.Popen(
        [PETSAGE, "serve", "shop:app"],
        cwd=folder,
        env=environment_of({**settings, "drain_seconds": 0}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            wait_until(lambda: get(f"http://{management}/startupz").status == 200)
            yield process, f"http://{main}", f"http://{management}"
        finally:
            with suppress(ProcessLookupError):  # it has ended, as it should
                os.killpg(process.pid, signal.SIGKILL)


def test_an_output_that_nobody_reads_stops_no_worker_and_loses_no_part_of_a_line(tmp_path):
    with unread(tmp_path, PRINTS) as (process, main, _):
        for _ in range(100):
            assert get(f"{main}/", timeout=2).data == b"ok"
        process.send_signal(signal.SIGTERM)
        printed, errors = process.communicate(timeout=8)
    assert printed == ("x" * 4000 + "\n") * 100
    assert errors.count("x" * 4000) == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_log_that_nobody_reads_stops_no_worker_and_no_signal(tmp_path, number):
    with unread(tmp_path, CHATTY, workers=2) as (process, main, management):
        for _ in range(150):  # 15 MB
            assert get(f"{main}/", timeout=2).data == b"ok"
        assert get(f"{management}/livez", timeout=1).status == 200
        process.send_signal(number)
        assert process.wait(8) == 0


def test_what_was_dropped_is_counted_in_the_log(tmp_path):
    with unread(tmp_path, CHATTY) as (process, main, _):
        for _ in range(150):
            get(f"{main}/")
        said = next(line for line in process.stderr if "log records were dropped" in line)
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait(8) == 0
    assert LINE.fullmatch(said.rstrip())["logger"] == "petsage.logs"


HANGS = """\
import re
def app(environ, start_response):
    if environ["PATH_INFO"] == "/hang":
        re.match("(a+)+$", "a" * 40 + "b")  # holds the GIL: no other thread runs
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def test_the_log_shows_where_an_aborted_worker_hung(tmp_path):
    (tmp_path / "hangs.py").write_text(HANGS)
    with served(tmp_path, "hangs:app", cwd=tmp_path, workers=1, threads=2) as service:
        (worker,) = holders(service, service.main)
        with pytest.raises(urllib3.exceptions.HTTPError):
            get(f"{service.main}/hang", timeout=0.5)
        os.kill(worker, signal.SIGABRT)
        wait_until(lambda: 'hangs.py", line 4 in app' in service.log.read_text())
        os.kill(worker, signal.SIGKILL)
