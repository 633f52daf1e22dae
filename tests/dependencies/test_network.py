"""HTTP, TCP, TLS, DNS and disk checks, each against the real thing on this machine."""

import base64
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from petsage.checks import CheckFailed
from petsage.dependencies.network import FREE, disk, tcp
from petsage.dependencies.schemes import Location
from tests.certificates import Authority, Files, self_signed
from tests.declared import AWKWARD_PASSWORDS, silent, verdict, verdicts_where_names_have
from tests.hostile import answer, context_of, hangs, says, server, swallowing
from tests.support import free_port, wait_until

USER = "app"


class _Server(ThreadingHTTPServer):
    def __init__(self, files: Files | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.authorization: list[str | None] = []
        self.sent_bytes = 0
        self.stopped = threading.Event()
        self.elsewhere = ""
        self.raw = b""
        if files:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(files.certificate, files.key)
            self.socket = context.wrap_socket(self.socket, server_side=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_arguments: object) -> None: ...

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.authorization.append(self.headers["Authorization"])
        getattr(self, self.path.strip("/").partition("?")[0] or "ok")()

    def _answer(self, status: int, body: bytes = b"", **headers: Any) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def ok(self) -> None:
        self._answer(200, b"ok")

    def health(self) -> None:
        self._answer(200, b'{"status":"UP","secret":"sesame"}', X_Ready="yes")

    def teapot(self) -> None:
        self._answer(418)

    def here(self) -> None:
        self._answer(302, Location="/teapot?x=1")

    def loop(self) -> None:
        self._answer(302, Location="/loop")

    def raw(self) -> None:
        self.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: " + self.server.raw + b"\r\n\r\n")

    def away(self) -> None:
        self._answer(302, Location=self.server.elsewhere)

    def endless(self) -> None:
        self._answer(200, b"", **{"Content-Length": str(10**12)})
        with suppress(OSError):
            while not self.server.stopped.is_set():
                self.server.sent_bytes += self.wfile.write(b"x" * 65536)

    def events(self) -> None:
        self._answer(200, b"", **{"Content-Length": "", "Content-Type": "text/event-stream"})
        self.server.stopped.wait(20)


@contextmanager
def _served(files: Files | None = None) -> Iterator[_Server]:
    server = _Server(files)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.stopped.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def web() -> Iterator[_Server]:
    with _served() as server:
        yield server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def _url(server: _Server, path: str = "", scheme: str = "http") -> str:
    return f"{scheme}://localhost:{server.server_port}{path}"


def test_an_answer_between_200_and_399_is_well(web: _Server) -> None:
    assert verdict(_url(web, "/ok")) == ""
    assert verdict(_url(web)) == ""


@pytest.mark.parametrize(
    ("expected", "reason"),
    [
        ("json:/status=UP", ""),
        ("body=%22UP%22", ""),
        ("header:X_Ready=yes", ""),
        ("json:/status=DOWN", "answered 200: json:/status is not DOWN"),
        ("json:/secret=x", "answered 200: json:/secret is not x"),
        ("header:X_Ready=no", "answered 200: header:x_ready is not no"),
    ],
)
def test_an_answer_must_be_as_expected_and_no_reason_repeats_it(
    web: _Server, expected: str, reason: str
) -> None:
    assert verdict(_url(web, f"/health#expect={expected}")) == reason


def test_an_answer_outside_the_wanted_statuses_fails_with_both(web: _Server) -> None:
    assert verdict(_url(web, "/teapot")) == "answered 418: status is not 200-399"
    assert verdict(_url(web, "/ok#status=204")) == "answered 200: status is not 204"
    assert verdict(_url(web, "/teapot#status=418")) == ""


def test_path_and_query_reach_the_server_as_they_stand(web: _Server) -> None:
    assert verdict(_url(web, "/ok?a=%20b&c")) == ""
    assert web.asked == ["/ok?a=%20b&c"]


def test_a_redirect_on_the_same_host_is_followed(web: _Server) -> None:
    assert verdict(_url(web, "/here")) == "answered 418: status is not 200-399"
    assert web.asked == ["/here", "/teapot?x=1"]


def test_redirects_end_after_three(web: _Server) -> None:
    assert verdict(_url(web, "/loop")) == "more than 3 redirects"
    assert len(web.asked) == 4


@pytest.mark.parametrize(
    "place",
    [
        "http://127.0.0.1:{port}/ok",
        "http://localhost:{other}/ok",
        "https://localhost:{port}/ok",
    ],
)
def test_a_redirect_off_the_host_is_an_answer_and_never_followed(web: _Server, place: str) -> None:
    with _served() as other:
        web.elsewhere = place.format(port=web.server_port, other=other.server_port)
        assert verdict(_url(web, "/away")) == ""
        assert verdict(_url(web, "/away#status=200")) == "answered 302: status is not 200"
        assert (web.asked, other.asked) == (["/away", "/away"], [])


def test_the_port_of_a_redirect_may_be_the_schemes_default(web: _Server) -> None:
    web.elsewhere = "http://localhost/ok"
    assert verdict(_url(web, "/away#status=200")) == "answered 302: status is not 200"
    assert web.asked == ["/away"]


@pytest.mark.parametrize("path", ["/endless", "/events"])
def test_a_body_that_has_no_end_is_not_read(web: _Server, path: str) -> None:
    assert verdict(_url(web, path)) == ""
    # What the two sockets' buffers hold was sent, though nobody read it.
    assert web.sent_bytes < 32 * 2**20


@pytest.mark.parametrize(
    ("place", "asked"),
    [
        ("/teapot?q=caf\u00e9 au lait", "/teapot?q=caf%C3%A9%20au%20lait"),
        ("  /teapot?a%20b&c=\u732b ", "/teapot?a%20b&c=%E7%8C%AB"),
        ("http://LOCALHOST:{port}/teapot?x y", "/teapot?x%20y"),
        ("teapot?[x]|{{y}}", "/teapot?[x]|{{y}}"),
    ],
)
def test_a_redirect_with_raw_text_is_followed_as_browsers_do(
    web: _Server, place: str, asked: str
) -> None:
    web.raw = place.format(port=web.server_port).encode()
    assert verdict(_url(web, "/raw")) == "answered 418: status is not 200-399"
    assert web.asked == ["/raw", asked.replace("{{", "{").replace("}}", "}")]


@pytest.mark.parametrize(
    "place",
    ["http://localhost:99999/", "http://[::1", "//h\u00f6st/", "https://localhost:{port}/ok"],
)
def test_a_redirect_that_leads_nowhere_here_is_an_answer(web: _Server, place: str) -> None:
    web.raw = place.format(port=web.server_port).encode()
    assert verdict(_url(web, "/raw#status=302")) == ""
    assert web.asked == ["/raw"]


def test_an_answer_that_ends_before_its_length_is_reported_as_such() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{}"
    with server(lambda connection: connection.sock.sendall(head)) as liar:
        assert verdict(f"{liar.url}/#expect=body=x") == "answered only in part"


def test_an_answer_that_is_not_http_is_reported_without_the_peers_own_words() -> None:
    with server(lambda connection: connection.sock.sendall(connection.request)) as echo:
        assert verdict(f"{echo.url}/s3cret", "s3cret") == "answered what is not HTTP"


@pytest.mark.parametrize("password", AWKWARD_PASSWORDS)
def test_user_and_password_become_basic_authentication(web: _Server, password: str) -> None:
    url = f"http://{USER}:{quote(password, safe='')}@localhost:{web.server_port}/teapot"
    assert verdict(url, password) == "answered 418: status is not 200-399"
    (header,) = web.authorization
    assert base64.b64decode(str(header).removeprefix("Basic ")).decode() == f"{USER}:{password}"


def test_https_needs_a_certificate_that_is_trusted(authority: Authority) -> None:
    with _served(authority.issue()) as server:
        url = _url(server, "/ok", "https")
        assert verdict(f"{url}#ca={authority.ca}") == ""
        assert verdict(url) == "unable to get local issuer certificate"


@pytest.mark.parametrize(
    "scheme", ["http", "https", "tls", "redis", "rediss", "mysql", "postgresql"]
)
def test_a_server_that_says_nothing_is_given_up_in_time(scheme: str) -> None:
    with silent() as port:
        began = time.monotonic()
        assert "timed out" in verdict(f"{scheme}://127.0.0.1:{port}#timeout=0.3")
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "scheme", ["http", "https", "tcp", "tls", "redis", "rediss", "mysql", "postgresql"]
)
def test_a_server_that_is_down_refuses(scheme: str) -> None:
    reason = verdict(f"{scheme}://127.0.0.1:{free_port()}")
    assert "Connection refused" in reason
    assert "\n" not in reason


def test_tcp_connects_and_closes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert verdict(f"tcp://127.0.0.1:{listener.getsockname()[1]}") == ""
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.recv(1) == b""


def test_tcp_connects_to_an_ipv6_address() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        assert verdict(f"tcp://[::1]:{listener.getsockname()[1]}") == ""


def _tls_verdict(files: Files, options: str, host: str = "localhost") -> str:
    with _served(files) as server:
        return verdict(f"tls://{host}:{server.server_port}#{options}")


def test_a_certificate_with_days_left_is_well(authority: Authority) -> None:
    assert _tls_verdict(authority.issue(days=15), f"ca={authority.ca}") == ""


@pytest.mark.parametrize(
    ("days", "options", "reason"),
    [
        (10.5, "", "certificate expires in 10 days, sooner than 14 days"),
        (10.5, "&days=10", ""),
        (0.5, "&days=1", "certificate expires in less than a day, sooner than 1 day"),
        (-3.5, "", "certificate expired 3 days ago"),
        (-1.5, "&days=0", "certificate expired 1 day ago"),
    ],
)
def test_a_certificate_fails_before_its_end_and_says_when(
    authority: Authority, days: float, options: str, reason: str
) -> None:
    assert _tls_verdict(authority.issue(days=days), f"ca={authority.ca}{options}") == reason


def test_a_certificate_for_another_name_is_reported(authority: Authority) -> None:
    files = authority.issue(("pets.example", "localhost"))
    options = f"ca={authority.ca}"
    assert _tls_verdict(files, options) == ""
    assert "certificate is not valid for '127.0.0.1'" in _tls_verdict(files, options, "127.0.0.1")
    assert "certificate is not valid for 'localhost'" in _tls_verdict(
        authority.issue(("pets.example",)), options
    )


def test_an_expired_certificate_for_another_name_is_not_reported_as_expired_only(
    authority: Authority,
) -> None:
    files = authority.issue(("pets.example",), days=-3)
    assert "certificate is not valid for 'localhost'" in _tls_verdict(files, f"ca={authority.ca}")


def test_a_self_signed_certificate_is_well_only_if_it_is_the_one_to_trust(tmp_path: Path) -> None:
    files = self_signed(tmp_path)
    assert _tls_verdict(files, "") == "self-signed certificate"
    assert _tls_verdict(files, f"ca={files.certificate}") == ""


def test_a_server_without_tls_fails_without_a_line_of_pythons_source(web: _Server) -> None:
    for scheme in ("tls", "https"):
        reason = verdict(f"{scheme}://localhost:{web.server_port}")
        assert "SSL" in reason
        assert ".c:" not in reason


def test_a_name_with_a_trailing_dot_is_the_same_name(authority: Authority) -> None:
    with _served(authority.issue(("pets.example",))) as served:
        urls = [
            f"tls://{host}.example.:{served.server_port}#ca={authority.ca}"
            for host in ("pets", "other")
        ]
        well, another = verdicts_where_names_have(("127.0.0.1",), *urls)
    assert well == ""
    assert "certificate is not valid for 'other.example'" in another


def test_an_address_that_swallows_packets_leaves_time_for_the_next(authority: Authority) -> None:
    context = context_of(authority, "pets.example", 99)
    with (
        server(says(answer()), "127.0.0.3", tls=context) as served,
        swallowing("127.0.0.2", served.port),
    ):
        urls = [
            f"{scheme}://pets.example:{served.port}#timeout=1&ca={authority.ca}"
            for scheme in ("https", "tls")
        ]
        found = verdicts_where_names_have(("127.0.0.2", "127.0.0.3"), *urls)
    assert found == ["", ""]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_demands_a_client_certificate_is_judged_by_its_own(
    authority: Authority, version: ssl.TLSVersion
) -> None:
    def demanding(name: str, days: float) -> ssl.SSLContext:
        context = context_of(authority, name, days)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.ca)
        context.maximum_version = version
        return context

    def judged(name: str, days: float, trusted: str = f"&ca={authority.ca}") -> str:
        with server(hangs, tls=demanding(name, days)) as served:
            return verdict(f"tls://localhost:{served.port}#days=14{trusted}")

    assert judged("localhost", 15) == ""
    assert judged("localhost", 3.5) == "certificate expires in 3 days, sooner than 14 days"
    assert judged("localhost", -3.5) == "certificate expired 3 days ago"
    assert "not valid for 'localhost'" in judged("pets.example", 15)
    assert "self-signed certificate" in judged("localhost", 15, "")


@pytest.mark.parametrize(
    ("days", "reason"),
    [
        (5.5, "a certificate of its chain expires in 5 days, sooner than 14 days"),
        (-5.5, "a certificate of its chain expired 5 days ago"),
    ],
)
def test_the_earliest_end_of_the_whole_chain_counts(
    tmp_path: Path, days: float, reason: str
) -> None:
    authority = Authority(tmp_path, days)
    assert _tls_verdict(authority.issue(days=90), f"ca={authority.ca}") == reason


def test_an_authority_that_was_renewed_in_time_is_well_beside_its_old_certificate(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path, days=-5)
    authority.certify_itself(days=365)
    assert _tls_verdict(authority.issue(days=90), f"ca={authority.ca}") == ""


@pytest.mark.parametrize(
    ("free", "inodes", "reason"),
    [
        ("10%", (99, 1000), "99 free inodes of 1000, wanted 100"),
        ("10%", (100, 1000), ""),
        ("1GiB", (0, 1000), "0 free inodes of 1000, wanted 1"),
        ("1GiB", (1, 1000), ""),
        ("0%", (0, 1000), ""),
        ("10%", (0, 0), ""),
        ("60%", (0, 0), "2 GiB free of 4 GiB, wanted 2.4 GiB"),
    ],
)
def test_inodes_count_as_bytes_do(free: str, inodes: tuple[int, int], reason: str) -> None:
    favail, files = inodes
    # Its ten fields (statvfs(3)): 4 GiB, half of it free for users without privileges.
    found = os.statvfs_result((4096, 4096, 2**20, 2**20, 2**19, files, favail, favail, 0, 255))
    options = {"free": FREE.deserialize(free)}
    run = disk(Location("disk", "", 0, "", "", "/", "", 2, options), lambda _path: found)
    with pytest.raises(CheckFailed, match=reason) if reason else nullcontext():
        run()


def test_a_tcp_check_of_mysqls_port_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    host = f"127.{os.getpid() % 200 + 1}.{os.getpid() // 200 % 250}.9"  # whoever else runs this
    location = Location("tcp", host, 3306, "", "", "", "", 2, {})
    with socket.create_server((host, 3306)):
        run = tcp(location)
        run()
        run()
    (record,) = [one for one in caplog.records if one.name == "petsage.dependencies.network"]
    assert "declare mysql://" in record.getMessage()


def test_a_name_that_resolves_is_well() -> None:
    assert verdict("dns://localhost") == ""
    assert "not known" in verdict("dns://pets.invalid")


@pytest.mark.parametrize("free", ["0%", "1", "1KiB"])
def test_a_disk_with_enough_space_is_well(tmp_path: Path, free: str) -> None:
    assert verdict(f"disk://{tmp_path}#free={free}") == ""


@pytest.mark.parametrize("free", ["100%", "999999TiB"])
def test_a_disk_with_less_space_than_wanted_fails_with_both(tmp_path: Path, free: str) -> None:
    assert " free of " in verdict(f"disk://{tmp_path}#free={free}")


def test_a_disk_path_is_percent_decoded_and_its_absence_reported_without_it(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    assert verdict(f"disk://{tmp_path}/a%20b#free=1") == ""
    assert verdict(f"disk://{tmp_path}/a%20c") == "No such file or directory"


def test_connections_are_closed_after_each_run(web: _Server) -> None:
    def sockets() -> set[str]:
        # The folder's own descriptor is there and gone.
        entries = [entry for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
        return {name for entry in entries if (name := str(entry.readlink())).startswith("socket:")}

    before = wait_until(sockets)  # what a test before closes meanwhile is none of these
    for path in ("/ok", "/teapot", "/endless", "/loop"):
        verdict(_url(web, path))
    wait_until(lambda: not sockets() - before)
