"""Promises of the log: one form for all who write, and no line that a client could forge."""

import json
import logging
import re
from contextlib import contextmanager
from datetime import datetime

import pytest

from petsage import create_app, logs
from petsage.config import Config

LINE = re.compile(
    r"(?P<time>\S+) (?P<level>[a-z]+) (?P<release>\S+) (?P<instance>\S+)"
    r" (?P<logger>[\w.]+)\[(?P<process>\d+)\] (?P<request_id>\S+) (?P<event>.+)"
)


def record(message, *args, error=None):
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("shop", logging.WARNING, "shop.py", 1, message, args, info)


@pytest.fixture(params=[logs.TextFormatter, logs.JsonFormatter])
def form(request):
    return request.param("r1", "i1").format


@contextmanager
def serving(*identifiers):
    token = logs.request_headers.set([("X-REQUEST-ID", one) for one in identifiers])
    try:
        yield
    finally:
        logs.request_headers.reset(token)


def raised(message):
    def fails():
        raise RuntimeError(message)

    with pytest.raises(RuntimeError) as caught:
        fails()
    return caught.value


def test_a_line_of_text_says_when_how_bad_who_where_and_what():
    line = logs.TextFormatter("r1", "i1").format(record("check %s: %s", "db", "fail"))
    logged = LINE.fullmatch(line).groupdict()
    moment = datetime.fromisoformat(logged.pop("time"))
    assert moment.utcoffset() is not None
    assert abs((datetime.now().astimezone() - moment).total_seconds()) < 60
    assert logged.pop("process").isdigit()
    assert logged == {
        "level": "warning",
        "release": "r1",
        "instance": "i1",
        "logger": "shop",
        "request_id": "-",
        "event": "check db: fail",
    }


def test_a_line_of_json_says_the_same():
    with serving("order-12345"):
        line = logs.JsonFormatter("r1", "i1").format(record("check %s: %s", "db", "fail"))
    logged = json.loads(line)
    assert list(logged) == [
        "time",
        "level",
        "release",
        "instance",
        "logger",
        "process",
        "request_id",
        "event",
    ]
    assert (logged["level"], logged["event"]) == ("warning", "check db: fail")
    assert logged["request_id"] == "order-12345"


@pytest.mark.parametrize(
    "identifier", ["short", "x" * 65, "a b c d e f", 'quote"quote', "line\nbreak", "größer-als-8"]
)
def test_a_request_id_that_could_do_harm_is_not_logged(form, identifier):
    with serving(identifier):
        assert identifier not in form(record("said"))
        assert logs.request_id() is None


def test_of_two_request_ids_none_is_believed():
    with serving("order-12345", "order-67890"):
        assert logs.request_id() is None


@pytest.mark.parametrize(
    "forged", ["\n", "\r\n", "\x0b", "\x85", "\u2028", "\x1b[2K", "\0", "\ud800"]
)
def test_what_a_client_sent_makes_no_line_of_its_own(form, forged):
    hostile = f"/basket{forged}2026-11-23T00:00:00+00:00 info r1 i1 root[1] - all is well"
    line = form(record("Exception on %s", hostile))
    assert len(line.splitlines()) == 1
    assert forged not in line
    line.encode()


def test_what_a_client_sent_makes_no_line_in_a_trace_either(form):
    line = form(
        record("Exception", error=raised("no\n2026-11-23T00:00:00 info forged\r\n\x1b[31m"))
    )
    _, *rest = line.splitlines()
    assert all(re.match(r" {4}\S| {6}", one) for one in rest)
    assert not any(one.strip().startswith("2026") for one in rest)
    assert "\x1b" not in line
    assert "RuntimeError: no" in line


def test_a_trace_is_readable_below_its_line_of_text():
    text = logs.TextFormatter("r1", "i1").format(record("Exception", error=raised("gone")))
    lines = text.splitlines()
    assert lines[1] == "    Traceback (most recent call last):"
    assert lines[-2] == "        raise RuntimeError(message)"
    assert lines[-1] == "    RuntimeError: gone"


def test_the_trace_of_a_group_is_readable_too():
    error = ExceptionGroup("two\nlines", [raised("gone")])
    text = logs.TextFormatter("r1", "i1").format(record("Exception", error=error))
    assert re.search(r'\n +\|   File "[^\n]+fails\n +\|     raise RuntimeError', text)
    assert text.count("\\n") == 1  # the message's own


def test_a_message_whose_arguments_do_not_fit_is_one_line(form):
    line = form(record("%d pets", "no"))
    assert len(line.splitlines()) == 1
    assert all(word in line for word in ("%d pets", "no"))


def test_a_stack_that_was_asked_for_is_logged_as_a_trace(form):
    asked = record("where")
    asked.stack_info = 'Stack (most recent call last):\n  File "shop.py", line 1, in sell'
    head, *stack = form(asked).splitlines()
    assert "in sell" in (stack[-1] if stack else json.loads(head)["trace"])


def test_a_trace_is_one_field_of_json():
    line = logs.JsonFormatter("r1", "i1").format(record("Exception", error=raised("gone")))
    assert json.loads(line)["trace"].splitlines()[-1] == "RuntimeError: gone"


@pytest.mark.parametrize(
    ("text", "form"), [("text", logs.TextFormatter), ("json", logs.JsonFormatter)]
)
def test_the_configuration_says_which_form_and_how_much(text, form):
    settings = logs.settings(Config(log_format=text, log_level="error"))
    assert settings["formatters"]["petsage"]["()"] is form
    assert settings["root"]["level"] == "ERROR"
    assert settings["disable_existing_loggers"] is False


@pytest.mark.parametrize("identifier", ["order-12345", "sh ort", None])
def test_petsages_500_carries_the_request_id_if_it_is_harmless(config, identifier):
    app = create_app(config)

    @app.get("/broken")
    def broken():
        raise RuntimeError

    headers = {"X-Request-ID": identifier} if identifier else {}
    logged = b',"request_id":"order-12345"' if identifier == "order-12345" else b""
    assert app.test_client().get("/broken", headers=headers).data == (
        b'{"code":500,"status":"Internal Server Error"' + logged + b"}\n"
    )
    assert app.test_client().get("/nope", headers=headers).data == (
        b'{"code":404,"status":"Not Found"}\n'
    )
