"""No secret of any declared URL is in any output, whatever a peer echoes."""

import json
import random
import re
import socket
import struct
import subprocess
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from marshmallow import ValidationError

from petsage.checks import CheckFailed, CheckWarns, Value
from petsage.dependencies.declaration import checks_from_urls, declared_checks
from petsage.dependencies.scrubbing import scrubbed, secrets_of
from tests.declared import verdict
from tests.hostile import BODY, Connection, answer, peer, says, server
from tests.support import PETSAGE, environment_of, get, served, wait_until

SEED = 20261125
AWKWARD = "#?@/:%&=+ \"'\\,;<>[]{}|`$*()!~^äß猫\n\t"


def _loud_http(sock: socket.socket) -> None:
    head = sock.recv(65536).split(b"\r\n")
    words = b" ".join(head)
    location = b"\r\nLocation: /" + words.replace(b"/", b"") + b"\r\n\r\n"
    for first in (b"HTTP/1.1 302 " + words + location, words):
        sock.sendall(first)


def _loud_redis(sock: socket.socket) -> None:
    sock.sendall(b"-ERR " + b" ".join(sock.recv(65536).split(b"\r\n")) + b"\r\n")


def _loud_postgresql(sock: socket.socket) -> None:
    """Asks for the password in clear text, and repeats all that it has received in its refusal."""
    received = sock.recv(65536)
    if received.startswith(struct.pack("!ii", 8, 80877103)):  # the request for TLS
        sock.sendall(b"N")
        received = sock.recv(65536)
    sock.sendall(b"R" + struct.pack("!ii", 8, 3))
    words = (received + sock.recv(65536)).replace(b"\0", b" ")
    refusal = b"SFATAL\0C28000\0M" + words + b"\0\0"
    sock.sendall(b"E" + struct.pack("!i", 4 + len(refusal)) + refusal)


def _loud_mysql(sock: socket.socket) -> None:
    """The same for MySQL: it demands the plugin that sends the password in clear text."""

    def send(number: int, payload: bytes) -> None:
        sock.sendall(struct.pack("<I", len(payload))[:3] + bytes([number]) + payload)

    flags = struct.pack("<HBHHB", 0x8209, 45, 2, 0x8, 21)
    rest = bytes(10) + b"12345678901\0\0" + b"mysql_native_password\0"
    send(0, b"\x0a5.7\0" + bytes(4) + b"12345678\0" + flags + rest)
    received = sock.recv(65536)
    send(2, b"\xfemysql_clear_password\0")
    words = (received + sock.recv(65536)).replace(b"\0", b" ")
    send(4, b"\xff" + struct.pack("<H", 1045) + b"#28000" + words)


PEERS: dict[str, Callable[[socket.socket], None]] = {
    "http": _loud_http,
    "redis": _loud_redis,
    "postgresql": _loud_postgresql,
    "mysql": _loud_mysql,
}
_PLACES = (
    "{scheme}://app:{secret}@{at}/{path}",
    "{scheme}://:{secret}@{at}/{path}",
    "{scheme}://{secret}@{at}/{path}",
    "{scheme}://{secret}:@{at}/{path}",
    "{scheme}://app:{short}@{at}/{path}?password={secret}",
    "{scheme}://{at}/{path}?key={secret}",
    "{scheme}://{at}/{path}?{secret}",
    "{scheme}://{at}/{path}?a=b&key={secret}={secret}",
    "{scheme}://{at}/{path}?sslmode={secret}",
    "http://{http}/{secret}",  # a database's name is no secret: drivers say it, and people need it
    "{scheme}://{at}/{path}#{secret}",
    "{scheme}://{at}/{path}#timeout={secret}",
    "{scheme}://{at}/{path}#timeout=1&{secret}=1",
    "{scheme}://{at}:{secret}/{path}",
    "{secret}://{at}/{path}",
    "{secret}",
)


@dataclass(frozen=True)
class _Secret:
    url: str
    core: str
    """The characters of the secret that every form of it has."""
    login: str
    """As HTTP sends it."""

    def leaks(self, output: str) -> bool:
        return self.core in output or self.login in output


def _secrets(ports: dict[str, int], count: int) -> Iterator[_Secret]:
    chance = random.Random(SEED)
    for number in range(count):
        scheme = chance.choice(list(ports))
        core = f"{chance.getrandbits(64):016x}"
        around = ["".join(chance.choices(AWKWARD, k=chance.randrange(4))) for _ in range(2)]
        plain = around[0] + core + around[1]
        raw = plain if chance.random() < 0.3 else quote(plain, safe=chance.choice(("", "=/:")))
        url = _PLACES[number % len(_PLACES)].format(
            scheme=scheme,
            secret=raw,
            short=chance.choice("xyz"),
            at=f"127.0.0.1:{ports[scheme]}",
            http=f"127.0.0.1:{ports['http']}",
            path="" if scheme == "http" else "1",
        )
        login = b64encode(f"app:{plain}".encode()).decode().rstrip("=")
        yield _Secret(url, core, login)


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    with ExitStack() as stack:
        yield {scheme: stack.enter_context(peer(loud)) for scheme, loud in PEERS.items()}


def _output(url: str) -> tuple[str, str]:
    """The outcome of a declaration and of its run, and all their texts."""
    try:
        (check,) = checks_from_urls([url])
    except ValidationError as error:
        return "refused", "\n".join([*error.messages, *traceback.format_exception(error)])
    try:
        check.run()
    except CheckFailed as failure:
        shown = [str(failure), repr(failure), repr(check), repr(check.run)]
        return "failed", "\n".join([*shown, *traceback.format_exception(failure)])
    return "passed", repr(check)


def test_a_secret_in_any_position_of_a_thousand_urls_is_in_no_output(
    ports: dict[str, int],
) -> None:
    ends = {"refused": 0, "failed": 0, "passed": 0}
    for secret in _secrets(ports, 1000):
        end, output = _output(secret.url)
        # A refusal's traceback has the source line, but no value of a variable.
        assert not secret.leaks(output), (secret.url, output)
        ends[end] += 1
    assert min(ends["refused"], ends["failed"]) > 200, ends


def test_no_secret_is_in_what_a_command_prints_or_a_service_shows_and_logs(
    tmp_path: Path, ports: dict[str, int]
) -> None:
    secrets = [one for one in _secrets(ports, 400) if _output(one.url)[0] == "failed"][:40]
    checks = " ".join(f"c{number}={one.url}" for number, one in enumerate(secrets))
    assert len(declared_checks(checks)) == 40
    shown = []
    for option in ((), ("--json",)):
        done = subprocess.run(
            [PETSAGE, "check", *option],
            env=environment_of({"checks": checks}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        shown += [done.stdout, done.stderr]
    with served(tmp_path, checks=checks) as petsage:
        verbose = f"{petsage.management}/readyz?verbose"
        wait_until(lambda: get(verbose) and petsage.log.read_text().count(": fail") >= 40)
        for path in ("/readyz?verbose", "/readyz", "/status", "/metrics", "/readyz/c1"):
            for kind in ("text/plain", "application/health+json", "application/json"):
                answer = get(f"{petsage.management}{path}", headers={"Accept": kind})
                shown.append(answer.data.decode())
        shown.append(get(f"{petsage.main}/api/v1/smoke-test").data.decode())
    shown.append(petsage.log.read_text())
    assert not [(one.url, text) for one in secrets for text in shown if one.leaks(text)]


def test_a_token_in_the_query_of_a_target_is_in_no_report_of_a_smoke_test(tmp_path: Path) -> None:
    def path(connection: Connection) -> bytes:
        return connection.request.split()[1]

    def refuses(connection: Connection) -> None:
        connection.sock.sendall(
            answer(b"", "302 Found", location="/login?to=" + path(connection).decode())
        )

    def echoes(connection: Connection) -> None:
        connection.sock.sendall(connection.request)

    def answers_with_it(connection: Connection) -> None:
        connection.sock.sendall(answer(BODY.replace(b"PetSage", path(connection))))

    for behave in (says(answer()), refuses, echoes, answers_with_it):
        code = int(behave in (refuses, echoes, answers_with_it))
        with server(behave) as service:
            for options in ((), ("--json", "--junit", str(tmp_path / "junit.xml"))):
                target = f"{service.url}/api/v1/smoke-test?token=s3cret-t0ken"
                done = subprocess.run(
                    [PETSAGE, "smoke-test", target, *options],
                    env=environment_of({}) | {"GITHUB_ACTIONS": "true"},
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == code
                assert ("?token=***" in done.stdout) == (code == 1 or bool(options))
                assert "s3cret" not in done.stdout + done.stderr
        assert b"token=s3cret-t0ken" in service.requests[-1]
    assert "s3cret" not in (tmp_path / "junit.xml").read_text()


def test_each_line_of_a_secret_is_a_secret() -> None:
    with peer(_loud_redis) as port:  # of which the check reads a line
        reason = verdict(f"redis://:first%0D%0As3cond@127.0.0.1:{port}", "first")
    assert reason.endswith("***")


@pytest.mark.parametrize("said", [False, 73, Value(73, "messages"), None])
def test_what_a_run_returns_reaches_its_result(said: object) -> None:
    assert scrubbed(lambda: said, re.compile("hunter2"))() is said


@pytest.mark.parametrize("kind", [CheckFailed, CheckWarns])
def test_what_a_run_raises_keeps_its_level_and_value_and_loses_the_secrets(
    kind: type[CheckFailed],
) -> None:
    def growing() -> None:
        raise kind("hunter2 grows", value=73)

    with pytest.raises(CheckFailed, match=r"\*\*\* grows") as raised:
        scrubbed(growing, re.compile("hunter2"))()
    assert type(raised.value) is kind
    assert raised.value.value == Value(73)


AWKWARD_SECRET = """it's "ïs" \\ +/=?\t"""
FORMS = {
    "plain": AWKWARD_SECRET,
    "in a URL": quote(AWKWARD_SECRET),
    "in a URL, with each slash": quote(AWKWARD_SECRET, safe=""),
    "in a URL, in lower case": quote(AWKWARD_SECRET).lower(),
    "in a form": quote_plus(AWKWARD_SECRET),
    "in Python": repr(AWKWARD_SECRET)[1:-1],
    "in Python, in ASCII": ascii(AWKWARD_SECRET)[1:-1],
    "in Python, as bytes": repr(AWKWARD_SECRET.encode())[2:-1],
    "in JSON": json.dumps(AWKWARD_SECRET)[1:-1],
    "in SQL": AWKWARD_SECRET.replace("'", "''"),
    "in a connection string": AWKWARD_SECRET.replace("\\", "\\\\").replace("'", "\\'"),
    "in HTTP's login": b64encode(f"app1:{AWKWARD_SECRET}".encode()).decode(),
    "in HTTP's login, cut": b64encode(f"app1:{AWKWARD_SECRET}".encode()).decode().rstrip("="),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_scrubbed_in_each_form_in_which_a_driver_may_print_it(form: str) -> None:
    assert "=" in FORMS["in HTTP's login"]
    secrets = secrets_of("app1", AWKWARD_SECRET, "")
    assert secrets.sub("***", f"said <{FORMS[form]}>") == "said <***>"


def test_each_line_of_a_secret_is_scrubbed_and_a_short_secret_only_as_a_word() -> None:
    assert secrets_of("", "first\nsecond", "").sub("***", "at second!") == "at ***!"
    assert secrets_of("", "cat", "").sub("***", "cat, category") == "***, category"
    assert secrets_of("", "", "key=a%20b/c&v=3").sub("***", "a%20b%2Fc 3") == "*** 3"
