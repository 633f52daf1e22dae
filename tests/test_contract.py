"""What an answer must be, in words that are the same for a rollout and for a check."""

import json
import re

import pytest

from petsage.client import MAX_ANSWER_BYTES, Answer
from petsage.contract import (
    SMOKE_TEST_CONTRACT,
    Source,
    expectation,
    expectations,
    first_breach,
)

UP = {"status": "UP", "version": "2.0.0", "up": True, "n": 1, "a/b": ["x", {"~": None}], "": 0}


def answer(body: object = UP, status: int = 200, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer("", status, {k.replace("_", "-"): v for k, v in headers.items()}, content, 0.1)


@pytest.mark.parametrize(
    "text",
    [
        "status=200",
        "status=200-299",
        "json:/status=UP",
        "json:/up=true",
        "json:/n=1",
        "json:/n=1.0",
        "json:/a~1b/0=x",
        "json:/a~1b/1/~0=null",
        'json:/a~1b=["x", {"~": null}]',
        "json:/=0",
        "header:X-Ready=yes",
        "header:x-ready=yes",
        'body="UP"',
    ],
)
def test_what_is_as_expected_is_no_breach(text: str) -> None:
    assert expectation(text)(answer(x_ready=" yes")) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("status=201-299", "status: expected 201-299, saw 200"),
        ("json:/status=DOWN", "json:/status: expected DOWN, saw UP"),
        ("json:/up=1", "json:/up: expected 1, saw true"),
        ("json:/up=UP", "json:/up: expected UP, saw true"),
        ("json:/n=true", "json:/n: expected true, saw 1"),
        ("json:/a~1b/2=x", "json:/a~1b/2: expected x, saw none"),
        ("json:/a~1b/-1=x", "json:/a~1b/-1: expected x, saw none"),
        ("json:/a~1b/00=x", "json:/a~1b/00: expected x, saw none"),
        ("json:/status/x=1", "json:/status/x: expected 1, saw none"),
        ("json:=UP", "json: expected UP, saw an object"),
        ("header:X-Ready=no", "header:x-ready: expected no, saw yes"),
        ("header:X-Other=no", "header:x-other: expected no, saw none"),
        ("body=DOWN", 'body: expected DOWN, saw {"status": "UP", "version'),
    ],
)
def test_what_is_not_as_expected_is_named_exactly(text: str, words: str) -> None:
    assert str(expectation(text)(answer(x_ready="yes"))).startswith(words)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "json:/status: expected UP, saw no JSON: Expecting value"),
        (b'{"status":"DOWN","status":"UP"}', "saw no JSON: a key twice"),
        (b"\xff", "saw no JSON: not UTF-8"),
        (b"[" * 60000, "saw no JSON: nested too deeply"),
        (
            b" " * (MAX_ANSWER_BYTES + 1),
            f"body: expected at most {MAX_ANSWER_BYTES} bytes, saw more",
        ),
    ],
)
def test_json_is_read_strictly_and_to_a_bound(body: bytes, words: str) -> None:
    assert words in str(expectation("json:/status=UP")(answer(body)))


def test_a_member_too_many_is_a_breach_even_if_it_is_null() -> None:
    body: dict[str, object] = {"status": "ok", "feature": "smoke_test"}
    body["message"] = "PetSage Smoke Test: Success!"
    breach = first_breach(answer(body, content_type="application/json"), SMOKE_TEST_CONTRACT.parts)
    assert breach is None
    body |= {"note": None}
    breach = first_breach(answer(body, content_type="application/json"), SMOKE_TEST_CONTRACT.parts)
    assert str(breach) == "body: expected no note, saw note=null"


def test_a_status_of_2xx_is_expected_where_none_is_named() -> None:
    down = answer(UP, status=503)
    assert str(first_breach(down, expectations(["json:/status=UP"]))).startswith("status: expected")
    assert first_breach(down, expectations(["json:/status=UP", "status=503"])) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stauts=200", "did you mean status?"),
        ("status=2xx", "as in status=200 or status=200-299"),
        ("status=600", "100 to 599"),
        ("status=299-200", "100 to 599"),
        ("json:status=UP", "json:/POINTER"),
        ("json:/~2=UP", "RFC 6901"),
        ("header:=yes", "header:NAME"),
        ("UP", "json:/POINTER=VALUE"),
    ],
)
def test_a_wrong_expectation_says_what_would_be_right(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        expectation(text)


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("header:X-Version", "2.0"),
        ("json:/version", "2.0.0"),
        ("json:/n", "1"),
        ("json:/none", ""),
        ("header:None", ""),
    ],
)
def test_a_release_stands_where_it_is_said_to(where: str, text: str) -> None:
    assert Source.parse(where).text(answer(x_version="2.0")) == text


def test_a_body_is_the_whole_stripped() -> None:
    assert Source.parse("body").text(answer(b" 2.0.1\r\n")) == "2.0.1"
    assert Source.parse("json:/version").text(answer(b"2.0.1")) == ""
    assert Source.parse("body").text(answer(b"\x1b[2J" * 1000)).isprintable()
