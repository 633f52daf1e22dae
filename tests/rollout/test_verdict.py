"""An answer is judged by the contract alone, and a breach is named exactly."""

import json
import socket
import ssl
from http.client import BadStatusLine, IncompleteRead
from typing import Any

import pytest

from petsage.client import MAX_ANSWER_BYTES, Answer, NoAnswer, Target
from petsage.contract import Breach, Contract, Kind, Source, expectations, gravest
from petsage.printable import ascii_line
from petsage.rollout.plan import RolloutPlan
from petsage.rollout.verdict import (
    Finding,
    judge,
    judge_failure,
    judge_instances,
    judge_releases,
)
from tests.hostile import BODY

GOOD = json.loads(BODY)
PETS = Target.parse("http://pets")


def answered(body: bytes = BODY, status: int = 200, seconds: float = 0.1, **headers: str) -> Answer:
    named = {"content_type": "application/json", **headers}
    return Answer("", status, {k.replace("_", "-"): v for k, v in named.items()}, body, seconds)


def judged(answer: Answer, **options: Any) -> Finding:
    return judge(RolloutPlan(targets=(PETS,), **options), PETS, "", answer)


def breach(answer: Answer, **options: Any) -> Breach:
    found = judged(answer, **options).breach
    assert found
    return found


def body_breach(body: bytes | dict[str, Any]) -> str:
    found = breach(answered(body if isinstance(body, bytes) else json.dumps(body).encode()))
    assert found.kind is Kind.WRONG
    assert not found.retryable
    return str(found)


def test_an_answer_as_the_contract_has_it_is_no_breach() -> None:
    row = judged(answered(petsage_release="2", petsage_instance="a"))
    assert row == Finding(PETS.url, "", None, 200, "2", "a", 0.1)


@pytest.mark.parametrize("said", ["application/json; charset=utf-8", "Application/JSON"])
def test_a_media_type_may_be_written_in_several_ways(said: str) -> None:
    assert judged(answered(content_type=said)).breach is None


@pytest.mark.parametrize("said", ["text/html", "", "application/jsonp", "text/application/json"])
def test_another_media_type_is_named(said: str) -> None:
    found = breach(answered(content_type=said))
    assert str(found) == f"content type: expected application/json, saw {said}"
    assert not found.retryable


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        (500, True),
        (502, True),
        (404, True),
        (408, True),
        (425, True),
        (429, True),
        (401, False),
        (403, False),
        (204, False),
    ],
)
def test_another_status_is_named_and_may_be_retryable(status: int, retryable: bool) -> None:
    found = breach(answered(b"", status))
    assert str(found) == f"status: expected 200, saw {status}"
    assert (found.kind, found.retryable) == (Kind.WRONG, retryable)


def test_a_redirect_is_reported_with_its_location() -> None:
    found = breach(answered(b"", 302, location="/log\nin"))
    assert (found.seen, found.retryable) == ("302 to /log\\nin", False)


def test_a_failed_smoke_test_is_reported_with_the_checks_that_failed() -> None:
    body = {
        "status": "error",
        "message": "PetSage Smoke Test: Failed!",
        "feature": "smoke_test",
        "failed": ["database", "cache"],
    }
    found = breach(answered(json.dumps(body).encode(), 503))
    assert (found.seen, found.retryable) == ("503 (failed: database, cache)", True)
    assert breach(answered(b"[" * 60000, 503)).seen == "503"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({**GOOD, "status": "error"}, 'body: expected status="ok", saw status="error"'),
        ({**GOOD, "status": ["ok"]}, 'body: expected status="ok", saw status=a list'),
        ({**GOOD, "extra": {}}, "body: expected no extra, saw extra=an object"),
        (
            {"status": "ok", "feature": "smoke_test"},
            'body: expected message="PetSage Smoke Test: Success!", saw no message',
        ),
        (b"[1]", "body: expected an object, saw a list"),
        (b'"ok"', 'body: expected an object, saw "ok"'),
        (b"", "body: expected JSON, saw Expecting value"),
        (b"<html>\x1b[31m", "Expecting value: line 1 column 1 (char 0): <html>\\x1b[31m"),
        (BODY + b"}", "Extra data"),
        (BODY.replace(b"{", b'{"status":"ok",'), "a key twice"),
        (BODY.decode().encode("utf-16"), "not UTF-8"),
        (b"[" * 60000, "nested too deeply"),
        (b'{"status":NaN}', "NaN is no JSON"),
        (b'{"status":' + b"9" * 5000 + b"}", "body: expected JSON"),
        (bytes(MAX_ANSWER_BYTES + 1), f"expected at most {MAX_ANSWER_BYTES} bytes, saw more"),
    ],
)
def test_a_wrong_body_is_reported(body: bytes | dict[str, Any], message: str) -> None:
    assert message in body_breach(body)


def test_latency_is_judged_when_all_else_is_well() -> None:
    found = breach(answered(seconds=0.25), max_latency_seconds=0.2)
    assert str(found) == "latency: expected at most 0.2 s, saw 0.250 s"
    assert found.retryable
    assert judged(answered(seconds=0.2), max_latency_seconds=0.2).breach is None


def test_a_breach_of_another_release_is_retryable() -> None:
    old = answered(b"{}", petsage_release="1")
    assert breach(old, release="2").retryable
    assert not breach(old, release="1").retryable
    assert not breach(answered(b"{}"), release="2").retryable


@pytest.mark.parametrize("hostile", ["\n", "\x1b[2J", "\x00", "]]>\x07", "\u202e", "\ud800", "é"])
def test_what_a_server_says_is_shown_in_one_line_of_printable_ascii(hostile: str) -> None:
    assert ascii_line(hostile).isascii()
    assert ascii_line(hostile).isprintable()
    body = {**GOOD, hostile: hostile}
    row = judged(answered(json.dumps(body).encode(), petsage_release=hostile))
    assert f"{row.breach}{row.release}".isprintable()


def test_a_command_to_a_pipeline_within_a_line_is_broken_up() -> None:
    assert "##" not in ascii_line("x ##vso[task.complete] ###[error]")
    assert ascii_line("x" * 1000) == "x" * 197 + "..."


def cut_off(cause: BaseException) -> NoAnswer:
    error = NoAnswer("connecting")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "message", "kind", "retryable"),
    [
        (
            TimeoutError(),
            "time: expected an answer within 5 s, saw a time-out connecting",
            Kind.UNREACHED,
            True,
        ),
        (
            ConnectionRefusedError(111, "Connection refused"),
            "connection: expected an answer, saw Connection refused connecting",
            Kind.UNREACHED,
            True,
        ),
        (
            socket.gaierror(-2, "Name or service not known"),
            "name: expected an address, saw Name or service not known",
            Kind.UNREACHED,
            True,
        ),
        (
            ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"),
            "wrong version number connecting",
            Kind.UNREACHED,
            False,
        ),
        (
            ssl.SSLEOFError(8, "EOF occurred (_ssl.c:1006)"),
            "EOF occurred connecting",
            Kind.UNREACHED,
            True,
        ),
        (IncompleteRead(b""), "a whole answer, saw only a part of it", Kind.UNREACHED, True),
        (
            BadStatusLine("SSH\r\n"),
            "protocol: expected HTTP, saw BadStatusLine: SSH\\r\\n",
            Kind.WRONG,
            False,
        ),
    ],
)
def test_a_failure_is_named_by_its_cause(
    cause: BaseException, message: str, kind: Kind, retryable: bool
) -> None:
    found = judge_failure(PETS, "", cut_off(cause), 5).breach
    assert found
    assert message in str(found)
    assert (found.kind, found.retryable) == (kind, retryable)


def test_a_refused_certificate_is_not_retryable() -> None:
    cause = ssl.SSLCertVerificationError(1, "certificate verify failed")
    cause.verify_message = "certificate has expired"
    found = judge_failure(PETS, "", cut_off(cause), 5).breach
    assert str(found) == "certificate: expected a valid one, saw certificate has expired"
    assert found
    assert not found.retryable


def row(release: str, instance: str = "", address: str = "", broken: bool = False) -> Finding:
    wrong = Breach(Kind.WRONG, "", "", "", True) if broken else None
    return Finding("", address, wrong, 200, release, instance)


def test_a_mix_of_releases_is_reported_with_the_instances_of_each() -> None:
    rows = [row("2", "a", "10.0.0.1"), row("1", "b", "10.0.0.2"), row("2", "c", "10.0.0.3")]
    found = judge_releases(rows, "2")
    assert str(found) == (
        "release: expected 2, saw 1 from instance b at 10.0.0.2; "
        "2 from instance a at 10.0.0.1, instance c at 10.0.0.3"
    )
    assert found
    assert (found.kind, found.retryable) == (Kind.RELEASE, True)


def test_a_mix_is_a_breach_though_no_release_is_expected() -> None:
    assert judge_releases([row("1"), row("2")])
    assert judge_releases([row("1"), row("")])
    assert judge_releases([row("1"), row("1")]) is None
    assert judge_releases([row(""), row("")]) is None


def test_releases_that_are_too_long_to_be_printed_still_differ() -> None:
    contract = Contract(expectations(["status=200"]), Source("body"))
    pages = [answered(b"<html>" * 100 + version) for version in (b"1", b"2", b"2")]
    found = [judged(page, contract=contract) for page in pages]
    assert judge_releases(found)
    assert judge_releases(found[1:]) is None


def test_each_answer_must_carry_the_release() -> None:
    assert judge_releases([row("2"), row("2")], "2") is None
    assert str(judge_releases([row("")], "2")) == "release: expected 2, saw none from an answer"
    assert str(judge_releases([row("1", "a")], "2")) == "release: expected 2, saw 1 from instance a"


def test_a_release_may_have_any_printable_character() -> None:
    odd = "v1'\"\\##+"
    found = judged(answered(petsage_release=odd))
    assert judge_releases([found], odd) is None
    assert not breach(answered(b"{}", petsage_release=odd), release=odd).retryable


def test_a_proxys_error_page_needs_no_release() -> None:
    assert judge_releases([row("2"), row("", broken=True)], "2") is None
    assert judge_releases([row("2"), row("1", broken=True)], "2")


def test_of_many_instances_with_a_release_the_first_few_are_named() -> None:
    found = judge_releases([row("1", str(number)) for number in range(1000)], "2")
    assert found
    assert found.seen.endswith("instance 4 and 995 more")
    found = judge_releases([row(f"1.{number}") for number in range(1000)], "2")
    assert found
    assert found.seen.endswith("1.4 from an answer and 995 more")


def test_instances_are_counted_once_each() -> None:
    assert judge_instances({"a", "b"}, 4, 2) is None
    assert judge_instances({"a", "b"}, 4, 0) is None
    found = judge_instances({"a", "b"}, 4, 3)
    assert str(found) == "instances: expected 3, saw 2 of 3 in 4 requests"
    assert found
    assert found.kind is Kind.INCONCLUSIVE


def test_of_several_kinds_the_first_in_the_documented_order_decides() -> None:
    assert gravest(set(Kind)) == 130
    order = [Kind.WRONG, Kind.RELEASE, Kind.UNREACHED, Kind.INCONCLUSIVE]
    assert [gravest(set(order[start:])) for start in range(5)] == [1, 4, 3, 5, 0]
