"""Promises of the gate's look at a request: it sees its end, and no end where there is none."""

import pytest

from petsage.serving.arrival import LARGE_BYTES, Arrival

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


def enough_after(data: bytes) -> int | None:
    """After how many bytes, one by one, the request counts as arrived."""
    arrival = Arrival()
    for count, byte in enumerate(data, 1):
        arrival.data.append(byte)
        if arrival.can_begin():
            return count
    return None


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        HEAD + b"Content-Length: 5\r\n\r\nhello",
        HEAD + b"content-length:5 \r\nX: y\r\n\r\n\r\n\r\n\r",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        HEAD
        + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\n0\r\n\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n",
    ],
)
def test_a_request_is_enough_with_its_last_byte(request_):
    assert enough_after(request_) == len(request_)
    arrival = Arrival(request_ + b"GET /next HTTP/1.1\r\n")
    assert arrival.can_begin()


@pytest.mark.parametrize(
    "refused",
    [
        b"GET / HTTP/1.1\nHost: x\n",
        HEAD + b"X: y\nZ",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nno size\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 9000,
        HEAD + b"Content-Length: 1\r\nX: " + b"y" * LARGE_BYTES,
        HEAD + b"Content-Length: 999999\r\n\r\n" + b"y" * LARGE_BYTES,
    ],
)
def test_what_will_be_refused_or_is_large_does_not_wait_for_an_end(refused):
    assert enough_after(refused) is not None


@pytest.mark.parametrize(
    ("head", "expects"),
    [
        (HEAD + b"Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n", True),
        (b"POST / HTTP/1.1\r\nexpect:100-continue\r\nContent-Length: 5\r\n\r\n", True),
        (b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", False),
        (HEAD + b"X-Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", False),
    ],
)
def test_a_client_that_waits_for_a_hundred_is_known(head, expects):
    arrival = Arrival(head)
    assert not arrival.can_begin()
    assert arrival.expects_continue == expects


@pytest.mark.parametrize(
    ("head", "looked_at", "otherwise"),
    [
        (b"", b"GET / HTTP/1.1\r\nHost: x", b"\r\n\r\n"),
        (b"", b"GET / HTTP/1.1\r\nHost: x", b"\n\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n5\r\n", b"no size\r\n"),
    ],
)
def test_no_byte_is_looked_at_again_when_more_arrive(head, looked_at, otherwise):
    arrival = Arrival(head + looked_at)
    assert not arrival.can_begin()
    arrival.data[len(head) : len(head) + len(otherwise)] = otherwise  # it would notice this
    arrival.data += b"h"
    assert not arrival.can_begin()
    assert Arrival(bytes(arrival.data)).can_begin()


@pytest.mark.parametrize(
    ("head", "length"),
    [
        (HEAD + b"Content-Length: 999999\r\n\r\n", 160 * 1024),
        (
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
            len(HEAD + b"Transfer-Encoding: chunked\r\n\r\n") + 8192,
        ),
    ],
)
def test_a_request_that_grows_without_an_end_waits_up_to_a_limit(head, length):
    body = b"1" * (length - len(head))
    assert not Arrival(head + body[1:]).can_begin()
    assert Arrival(head + body).can_begin()
