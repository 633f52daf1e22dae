"""One GET reaches whom it should, and is over when its seconds are."""

import itertools
import ssl
import time
import tracemalloc
from http.client import BadStatusLine, HTTPException, IncompleteRead
from pathlib import Path

import pytest

from petsage import create_app
from petsage.client import MAX_ANSWER_BYTES, Answer, Client, NoAnswer, Target
from petsage.config import Config
from petsage.smoke_test import PATH
from petsage.sockets import MAX_RECEIVED_BYTES
from tests.certificates import Authority
from tests.hostile import BODY, Connection, answer, context_of, hangs, says, server
from tests.support import free_port

SHORT = 0.5


def get(
    url: str, address: str = "127.0.0.1", seconds: float = 10, client: Client | None = None
) -> Answer:
    return (client or Client()).get(Target.parse(url), (address,), seconds)


def fails_in_time(url: str, seconds: float = SHORT) -> NoAnswer:
    """The `NoAnswer` of a time-out, which must come within a few seconds of the promised moment."""
    began = time.monotonic()
    with pytest.raises(NoAnswer) as raised:
        get(url, seconds=seconds)
    assert isinstance(raised.value.__cause__, TimeoutError)
    assert seconds <= time.monotonic() - began < seconds + 3
    return raised.value


def test_the_path_is_the_smoke_tests_own() -> None:
    assert PATH in {rule.rule for rule in create_app(Config()).url_map.iter_rules()}


def test_an_answer_has_what_the_server_said() -> None:
    with server(says(answer())) as served:
        found = get(served.url)
    assert (found.status, found.body, found.address) == (200, BODY, "127.0.0.1")
    assert found.headers["petsage-release"] == "2"
    assert 0 < found.seconds < 10
    assert served.requests[0].startswith(f"GET {PATH} HTTP/1.1\r\n".encode())


def test_the_usual_headers_want_one_plain_answer() -> None:
    with server(says(answer())) as served:
        get(served.url)
    (request,) = served.requests
    assert b"Accept-Encoding: identity\r\n" in request
    assert b"Connection: close\r\n" in request


def test_a_header_in_several_lines_is_joined() -> None:
    twice = answer(release="1").replace(b"\r\n\r\n", b"\r\nPetSage-Release: 2\r\n\r\n", 1)
    with server(says(twice)) as served:
        assert get(served.url).headers["petsage-release"] == "1, 2"


def test_the_colons_of_an_ipv6_address_begin_no_port() -> None:
    with server(says(answer())) as served:
        assert get(f"http://[fd00::abcd]:{served.port}").status == 200
    assert f"Host: [fd00::abcd]:{served.port}\r\n".encode() in served.requests[0]


def test_a_pinned_address_keeps_the_host() -> None:
    with server(says(answer()), "127.0.0.7") as served:
        get(f"http://pets.example:{served.port}/a?b=c", "127.0.0.7")
    assert b"GET /a?b=c HTTP/1.1\r\n" in served.requests[0]
    assert f"Host: pets.example:{served.port}\r\n".encode() in served.requests[0]


def test_a_given_header_replaces_the_usual_one() -> None:
    client = Client(
        (
            ("host", "other.example"),
            ("Authorization", "Bearer sesame"),
            ("accept-encoding", "br"),
        )
    )
    with server(says(answer())) as served:
        get(served.url, client=client)
    (request,) = served.requests
    assert request.lower().count(b"host:") == 1
    assert b"host: other.example\r\n" in request
    assert request.lower().count(b"accept-encoding:") == 1
    assert b"accept-encoding: br\r\n" in request
    assert b"Authorization: Bearer sesame\r\n" in request
    assert "sesame" not in repr(client)


def test_a_unix_socket_is_asked_as_localhost(tmp_path: Path) -> None:
    path = tmp_path / "pets.sock"
    with server(says(answer()), path=path) as served:
        found = Client().get(Target.parse(f"unix:{path}:/ready"), (), 10)
    assert found.status == 200
    assert served.requests[0].startswith(b"GET /ready HTTP/1.1\r\n")
    assert b"\r\nHost: localhost\r\n" in served.requests[0]


def test_a_missing_unix_socket_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(NoAnswer) as raised:
        Client().get(Target.parse(f"unix:{tmp_path}/none"), (), 10)
    assert isinstance(raised.value.__cause__, FileNotFoundError)


def test_an_address_that_refuses_leaves_it_to_the_next() -> None:
    with server(says(answer()), "127.0.0.3") as served:
        target = Target.parse(f"http://pets.example:{served.port}")
        found = Client().get(target, ("127.0.0.2", "127.0.0.3"), 10)
    assert found.address == "127.0.0.3"


def test_when_all_refuse_the_last_one_is_reported() -> None:
    target = Target.parse(f"http://pets.example:{free_port()}")
    with pytest.raises(NoAnswer) as raised:
        Client().get(target, ("127.0.0.2", "127.0.0.3"), 10)
    assert isinstance(raised.value.__cause__, ConnectionRefusedError)
    assert raised.value.address == "127.0.0.3"


def test_without_addresses_there_is_no_answer() -> None:
    with pytest.raises(NoAnswer):
        Client().get(Target.parse("http://pets.example"), (), 10)


def test_a_server_that_hangs_is_given_up() -> None:
    with server(hangs) as served:
        assert fails_in_time(served.url).step == "waiting for an answer"


@pytest.mark.parametrize(
    ("before", "step"),
    [
        (b"", "waiting for an answer"),
        (b"HTTP/1.1 200 OK\r\nx: ", "waiting for an answer"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "in the middle of an answer"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "in the middle of an answer"),
    ],
)
def test_a_byte_now_and_then_does_not_hold_a_client(before: bytes, step: str) -> None:
    def drips(connection: Connection) -> None:
        connection.sock.sendall(before)
        connection.drip(itertools.repeat(b"1"))

    with server(drips) as served:
        assert fails_in_time(served.url).step == step


def test_endless_interim_answers_do_not_hold_a_client() -> None:
    def script(connection: Connection) -> None:
        connection.drip(itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"))

    with server(script) as served:
        fails_in_time(served.url)


INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"


@pytest.mark.parametrize(
    "interim", [INTERIM, 3 * INTERIM, b"HTTP/1.1 100 Continue\r\n\r\n" + INTERIM]
)
def test_interim_responses_precede_the_answer(interim: bytes) -> None:
    def byte_by_byte(connection: Connection) -> None:
        for byte in interim + answer():
            connection.sock.sendall(bytes([byte]))

    for script in (says(interim + answer()), byte_by_byte):
        with server(script) as served:
            found = get(served.url)
        assert (found.status, found.body) == (200, BODY)


def test_a_protocol_that_is_switched_is_the_answer() -> None:
    switched = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"
    with server(says(INTERIM + switched)) as served:
        assert get(served.url).status == 101


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "then"),
    [
        (CHUNKED + b"-1\r\n", bytes(65536)),
        (CHUNKED + b"-5\r\n", bytes(65536)),
        (CHUNKED + b"1;", bytes(65536)),
        (CHUNKED + b"-100000000000\r\n", b""),
        (b"HTTP/1.1 200 OK\r\n", b"x: " + b"y" * 60000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200, b""),
        (b"", INTERIM * 100),
    ],
)
def test_a_peer_that_lies_about_lengths_gets_one_error_and_little_memory(
    head: bytes, then: bytes
) -> None:
    def script(connection: Connection) -> None:
        connection.sock.sendall(head)
        for _ in range(1000 if then else 0):
            connection.sock.sendall(then)

    with server(script) as served:
        tracemalloc.start()
        try:
            with pytest.raises(NoAnswer) as raised:
                get(served.url)
            assert tracemalloc.get_traced_memory()[1] < 8 * MAX_RECEIVED_BYTES
        finally:
            tracemalloc.stop()
    assert isinstance(raised.value.__cause__, HTTPException)


@pytest.mark.parametrize("size", [b"ffffffffffffffff", b"7fffffffffffffff", b"20000"])
def test_a_huge_chunk_is_read_to_the_bound(size: bytes) -> None:
    with server(says(CHUNKED + size + b"\r\n" + bytes(MAX_ANSWER_BYTES + 9))) as served:
        assert len(get(served.url).body) == MAX_ANSWER_BYTES + 1


def test_a_body_that_nothing_judges_is_not_read() -> None:
    def events(connection: Connection) -> None:
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        connection.drip(itertools.repeat(b"data: x\n\n"))

    with server(events) as served:
        found = get(served.url, client=Client(bodies=()))
    assert (found.status, found.body) == (200, b"")


def test_a_handshake_that_hangs_is_given_up() -> None:
    with server(hangs) as served:
        error = fails_in_time(served.url.replace("http", "https"))
    assert error.step == "in the TLS handshake"


@pytest.mark.parametrize("head", ["", "content-length: 104857600\r\n"])
def test_no_more_of_a_body_is_read_than_its_bound(head: str) -> None:
    sent = []

    def script(connection: Connection) -> None:
        connection.sock.sendall(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode())
        for _ in range(100):
            connection.sock.sendall(bytes(1024 * 1024))
            sent.append(1)

    with server(script) as served:
        found = get(served.url)
    assert len(found.body) == MAX_ANSWER_BYTES + 1
    assert len(sent) < 50


@pytest.mark.parametrize(
    "cut",
    [
        answer()[:-10],
        answer()[: -len(BODY)],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n50\r\n{}",
    ],
)
def test_a_body_cut_short_is_no_answer(cut: bytes) -> None:
    with server(says(cut)) as served, pytest.raises(NoAnswer) as raised:
        get(served.url)
    assert isinstance(raised.value.__cause__, IncompleteRead)


def test_what_is_not_http_is_no_answer() -> None:
    with server(says(b"SSH-2.0-dropbear\r\n")) as served, pytest.raises(NoAnswer) as raised:
        get(served.url)
    assert isinstance(raised.value.__cause__, BadStatusLine)


def test_a_redirect_is_not_followed() -> None:
    with server(says(answer(b"", "302 Found", location="/elsewhere"))) as served:
        found = get(served.url)
    assert (found.status, found.headers["location"]) == (302, "/elsewhere")
    assert len(served.requests) == 1


def test_no_body_is_read_that_has_no_contract() -> None:
    def script(connection: Connection) -> None:
        connection.sock.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n")
        connection.over.wait(60)

    with server(script) as served:
        assert get(served.url).status == 404


def trusting(authority: Authority) -> Client:
    return Client(tls=ssl.create_default_context(cafile=authority.ca))


@pytest.mark.parametrize("host", ["pets.example", "pets.example."])
def test_a_pinned_address_keeps_the_server_name(tmp_path: Path, host: str) -> None:
    authority = Authority(tmp_path)
    context = context_of(authority, "pets.example")
    names: list[str] = []
    context.sni_callback = lambda _sock, name, _context: names.append(name)
    with server(says(answer()), "127.0.0.8", tls=context) as served:
        url = f"https://{host}:{served.port}"
        assert get(url, "127.0.0.8", client=trusting(authority)).status == 200
    assert names == ["pets.example"]


@pytest.mark.parametrize(("name", "days"), [("pets.example", -1), ("other.example", 1)])
def test_a_certificate_that_is_not_valid_is_refused(tmp_path: Path, name: str, days: int) -> None:
    authority = Authority(tmp_path)
    with server(says(answer()), tls=context_of(authority, name, days)) as served:
        with pytest.raises(NoAnswer) as raised:
            get(f"https://pets.example:{served.port}", client=trusting(authority))
        assert isinstance(raised.value.__cause__, ssl.SSLCertVerificationError)
        assert not served.requests


def test_a_client_certificate_is_shown(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = context_of(authority, "pets.example")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca)
    with server(says(answer()), tls=context) as served:
        url = f"https://pets.example:{served.port}"
        with pytest.raises(NoAnswer) as raised:
            get(url, client=trusting(authority))
        assert isinstance(raised.value.__cause__, OSError)
        client = trusting(authority)
        assert client.tls
        own = authority.issue(("ci.example",))
        client.tls.load_cert_chain(own.certificate, own.key)
        assert get(url, client=client).status == 200


@pytest.mark.parametrize(
    ("text", "url", "authority"),
    [
        ("http://pets", f"http://pets{PATH}", "pets"),
        ("http://Pets:80/", f"http://Pets:80{PATH}", "pets"),
        ("HTTP://pets", f"http://pets{PATH}", "pets"),
        ("http://pets:8000?a=b", f"http://pets:8000{PATH}?a=b", "pets:8000"),
        ("http://pets/x?token=s3cret&v=2", "http://pets/x?token=***&v=2", "pets"),
        ("http://pets/x?s3cret&format=js", "http://pets/x?***&format=js", "pets"),
        ("http://pets/x?a=b=s3cret&s3cret=", "http://pets/x?a=***&***", "pets"),
        ("unix:/run/pets.sock:/x?y=s3cret", "unix:/run/pets.sock:/x?y=***", "localhost"),
        ("https://pets:443/x", "https://pets:443/x", "pets"),
        ("https://pets:80/x", "https://pets:80/x", "pets:80"),
        ("http://[::1]:8000", f"http://[::1]:8000{PATH}", "[::1]:8000"),
        ("http://[fe80::1%25lo]:80", f"http://[fe80::1%25lo]:80{PATH}", "[fe80::1]"),
        ("unix:/run/pets.sock", f"unix:/run/pets.sock:{PATH}", "localhost"),
        ("unix:/run/pets.sock:/x?y", "unix:/run/pets.sock:/x?y", "localhost"),
    ],
)
def test_a_target_is_parsed(text: str, url: str, authority: str) -> None:
    target = Target.parse(text)
    assert (target.url, target.authority) == (url, authority)
    assert "s3cret" not in url
    assert ("s3cret" in target.path) == ("s3cret" in text)


@pytest.mark.parametrize("given", ["s3cr/t", "s3cr%2Ft"])
@pytest.mark.parametrize("said", ["s3cr/t", "s3cr%2Ft", "s3cr%2ft"])
def test_a_server_may_repeat_a_hidden_value_in_any_form(given: str, said: str) -> None:
    target = Target.parse(f"http://pets/x?token={given}")
    assert target.hidden(f"to /login?from={said}!") == "to /login?from=***!"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "printable ASCII"),
        ("pets:8000", "begin with http://"),
        ("htps://pets", "unknown scheme; did you mean https?"),
        ("http://", "a host"),
        ("http://pets:0", "a host, and maybe a port"),
        ("http://pets:x", "not valid"),
        ("http://pets:70000", "not valid"),
        ("http://a..b", "not valid"),
        ("http://" + "a" * 64, "not valid"),
        ("http://[::1", "not valid"),
        ("http://me:sesame@pets", "use --header"),
        ("http://pets/#top", "a scheme, a host"),
        ("http://pets/a b", "printable ASCII"),
        ("http://pets/\r\nx: y", "printable ASCII"),
        ("http://pet\xe9", "percent-encode"),
        ("unix:pets.sock", "unix:/SOCKET"),
        ("unix:/" + "a" * 107, "unix:/SOCKET"),
    ],
)
def test_a_text_that_is_no_target_is_refused(text: str, shown: str) -> None:
    with pytest.raises(ValueError, match=shown) as raised:
        Target.parse(text)
    assert "sesame" not in str(raised.value)
