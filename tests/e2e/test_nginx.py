"""Promises of the printed nginx site, in front of a real PetSage, asked by a real curl."""

import json
import re
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from petsage.serving.application import KEEPALIVE_SECONDS
from tests.e2e.proxy import nginx
from tests.support import PETSAGE, free_port, get, served, tool, wait_until

BODY = '{"status":"ok","message":"PetSage Smoke Test: Success!","feature":"smoke_test"}\n'


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with served(tmp_path_factory.mktemp("serve"), workers=1, proxies=1) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("nginx")


@pytest.fixture(scope="module")
def site(service, folder):
    with nginx(folder, service.main.removeprefix("http://")) as url:
        yield url


def curl(*arguments):
    """The head and the body of an answer."""
    command = [tool("curl"), "-sS", "-i", "--path-as-is", *arguments]
    answer = subprocess.check_output(command, text=True, timeout=60)
    head, _, body = answer.replace("\r\n", "\n").partition("\n\n")
    return head, body


def test_a_deployment_is_validated_end_to_end(site):
    head, body = curl(f"{site}/api/v1/smoke-test")
    assert head.startswith("HTTP/1.1 200 OK\n")
    assert "\nContent-Type: application/json\n" in head
    assert "\nCache-Control: no-store\n" in head
    assert "\nPetSage-Release: " in head
    assert body == BODY


def test_head_is_answered_without_a_body(site):
    head, body = curl("--head", f"{site}/api/v1/smoke-test")
    assert f"\nContent-Length: {len(BODY)}" in head
    assert body == ""


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz"])
def test_the_three_probes_pass_without_details(site, path):
    assert curl(f"{site}{path}?verbose")[1] == "ok\n"


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/api/v1/openapi.json"])
def test_the_openapi_document_and_the_docs_pass(site, path):
    assert curl(f"{site}{path}")[0].startswith("HTTP/1.1 200")


@pytest.mark.parametrize(
    "path",
    ["/", "/status", "/metrics", "/livez/workers", "/readyz/", "/docs/../status", "/x%00"],
)
def test_every_other_url_is_not_found(site, path):
    head, body = curl(f"{site}{path}")
    assert head.split()[1] in ("404", "400")
    assert json.loads(body)["code"] in (404, 400)
    assert "application/json" in head


def test_petsages_own_errors_pass_as_they_are(site):
    head, body = curl("-X", "DELETE", f"{site}/api/v1/smoke-test")
    assert head.startswith("HTTP/1.1 405")
    assert "\nAllow: " in head
    assert body == '{"code":405,"status":"Method Not Allowed"}\n'


def test_a_harmless_request_id_is_kept_and_any_other_replaced(site):
    head, _ = curl("-H", "X-Request-ID: order-12345", f"{site}/livez")
    assert "\nX-Request-ID: order-12345" in head
    for hostile in ("short", "x" * 65, 'a"b,c;d e-f', "<script>alert</script>"):
        head, _ = curl("-H", f"X-Request-ID: {hostile}", f"{site}/livez")
        made = head.partition("\nX-Request-ID: ")[2].split("\n")[0]
        assert len(made) == 32
        assert hostile not in head


def test_a_body_of_two_megabytes_is_a_413_in_json(site, tmp_path):
    (tmp_path / "body").write_bytes(b"x" * 2_000_000)
    head, body = curl("--data-binary", f"@{tmp_path}/body", f"{site}/api/v1/smoke-test")
    assert "HTTP/1.1 413" in head + body
    assert body.endswith('{"code":413,"status":"Content Too Large"}\n')


TLS_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(range(128, 256)) + b"\r\n\r\n"

ERRORS = {
    "the null byte in a header": (400, b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Id: a\x00b\r\n\r\n"),
    "the null byte in a path": (400, b"GET /a%00b HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a host that is none": (400, b"GET /livez HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "two hosts": (400, b"GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
    "no host": (400, b"GET /livez HTTP/1.1\r\n\r\n"),
    "no request": (400, b"NONSENSE\r\n\r\n"),
    "a method that is none": (400, b"g\xc3\xa9t /livez HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a TLS hello": (400, TLS_HELLO),
    "an agent that is not UTF-8": (404, b"GET /x HTTP/1.1\r\nHost: x\r\nUser-Agent: \xff\r\n\r\n"),
    "a path that is not UTF-8": (404, b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a path above the root": (400, b"GET /../../etc HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a bad version": (400, b"GET /livez HTTP/x\r\nHost: x\r\n\r\n"),
    "a length that is none": (400, b"POST /api/x HTTP/1.1\r\nHost: x\r\nContent-Length: a\r\n\r\n"),
    "two lengths": (
        400,
        b"POST /api/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    ),
    "a length and chunks": (
        400,
        b"POST /api/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
        b"Transfer-Encoding: chunked\r\n\r\na",
    ),
    "a chunk that is none": (
        400,
        b"POST /api/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
    ),
    "an encoding that nobody knows": (
        501,
        b"POST /api/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: br\r\n\r\n",
    ),
    "another version": (505, b"GET /livez HTTP/2.0\r\nHost: x\r\n\r\n"),
    "the preface of HTTP/2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "a trace": (405, b"TRACE /livez HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a tunnel": (400, b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a tunnel to a path": (405, b"CONNECT /livez HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a path that is too long": (414, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a header that is too long": (
        431,
        b"GET /livez HTTP/1.1\r\nHost: x\r\nCookie: " + b"a" * 9000 + b"\r\n\r\n",
    ),
    "headers that are too many": (
        431,
        b"GET /livez HTTP/1.1\r\nHost: x\r\n"
        + b"X-Id: "
        + b"a" * 7000
        + b"\r\n"
        + 5 * (b"X-Id: " + b"a" * 7000 + b"\r\n")
        + b"\r\n",
    ),
    "a body that is too long": (
        413,
        b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n",
    ),
    "what is not there": (404, b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n"),
    "the folder of the API": (404, b"GET /api HTTP/1.1\r\nHost: x\r\n\r\n"),
}
"""Requests that nginx answers with an error of its own, without asking PetSage."""


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_of_nginxs_own_is_json_that_nobody_stores_and_so_is_its_log_line(
    site, folder, name
):
    status, request_ = ERRORS[name]
    with socket.create_connection(("127.0.0.1", int(site.rpartition(":")[2])), 10) as client:
        client.sendall(request_)
        answer = b""
        while not answer.endswith(b"}\n") and (piece := client.recv(65536)):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0].split()[1] == str(status)
    assert {"Content-Type: application/json", "Cache-Control: no-store"} <= set(lines)
    assert json.loads(body)["code"] == status
    assert json.loads(body)["status"] != "Error"

    def logged():  # nginx may log the request of another test in between
        log = [json.loads(line) for line in (folder / "access.log").read_text("utf-8").splitlines()]
        return [one for one in log if f"X-Request-ID: {one['request_id']}" in lines]

    assert [one["status"] for one in wait_until(logged)] == [status]


@pytest.mark.parametrize("agent", ["Pétra/1.0 😀", '\x01\x02"\\'])
def test_a_log_line_keeps_what_is_utf_8(site, folder, agent):
    asked = f"GET /livez?ü HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUser-Agent: {agent}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(site.rpartition(":")[2])), 10) as client:
        client.sendall(asked.encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 ")

    def logged():
        lines = (folder / "access.log").read_text("utf-8").splitlines()
        return agent in [json.loads(line)["agent"] for line in lines]

    wait_until(logged)


def test_the_one_line_that_fails_without_ipv6_can_be_deleted():
    printed = subprocess.check_output([PETSAGE, "deploy", "nginx"], text=True)
    (line,) = [line for line in printed.splitlines() if "[::]" in line]
    assert line == "    listen [::]:80;"


def test_an_upstream_that_is_down_is_a_502_in_json(tmp_path):
    with nginx(tmp_path, f"127.0.0.1:{free_port()}") as url:
        head, body = curl(f"{url}/api/v1/smoke-test")
    assert head.startswith("HTTP/1.1 502")
    assert body == '{"code":502,"status":"Bad Gateway"}\n'
    assert "\nCache-Control: no-store" in head


def test_an_upstream_that_hangs_is_a_504_in_json(tmp_path):
    with (
        socket.create_server(("127.0.0.1", 0)) as hung,
        nginx(
            tmp_path,
            f"127.0.0.1:{hung.getsockname()[1]}",
            also=(("proxy_read_timeout    30s", "proxy_read_timeout    1s"),),
        ) as url,
    ):
        head, body = curl(f"{url}/livez")
    assert head.startswith("HTTP/1.1 504")
    assert body == '{"code":504,"status":"Gateway Timeout"}\n'


def test_a_failing_smoke_test_is_not_tried_elsewhere_and_takes_no_other_url_down(tmp_path):
    down = f"database=tcp://127.0.0.1:{free_port()}#probes=smoke"
    with (
        served(tmp_path, workers=1, checks=down) as one,
        served(tmp_path, workers=1, checks=down) as two,
        nginx(tmp_path, *(s.main.removeprefix("http://") for s in (one, two))) as url,
    ):
        for _ in range(5):
            head, body = curl(f"{url}/api/v1/smoke-test")
            assert head.startswith("HTTP/1.1 503")
            assert body.endswith('"failed":["database"]}\n')
            assert curl(f"{url}/readyz")[1] == "ok\n"
        log = (tmp_path / "access.log").read_text().splitlines()[-10:]
        assert all(", " not in json.loads(line)["upstream"] for line in log)


def test_one_client_cannot_run_the_smoke_test_without_limit(tmp_path, service):
    # An nginx of its own: the limit that is used up here would be missing in other tests.
    with nginx(tmp_path, service.main.removeprefix("http://")) as site:
        codes = [get(f"{site}/api/v1/smoke-test") for _ in range(80)]
        refused = [answer for answer in codes if answer.status == 429]
        assert refused
        assert refused[0].data == b'{"code":429,"status":"Too Many Requests"}\n'
        assert get(f"{site}/livez").status == 200


def test_a_client_that_is_slow_is_cut_off_before_it_holds_a_thread(service, tmp_path):
    with (
        nginx(
            tmp_path,
            service.main.removeprefix("http://"),
            also=(("client_header_timeout     10s", "client_header_timeout     1s"),),
        ) as url,
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 10) as slow,
    ):
        slow.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
        with suppress(ConnectionResetError):
            assert b" 200 " not in slow.recv(1000)


def test_forged_headers_about_the_client_are_overwritten(tmp_path):
    (tmp_path / "mirror.py").write_text(
        "import json\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'application/json')])\n"
        "    return [json.dumps({k: v for k, v in environ.items() if k.startswith('HTTP_')})"
        ".encode()]\n"
    )
    forged = [
        "-H", "X-Forwarded-For: 6.6.6.6", "-H", "X-Forwarded-Host: evil.example",
        "-H", "X-Forwarded-Proto: https", "-H", "Forwarded: for=6.6.6.6",
        "-H", "X-Forwarded-Prefix: /evil", "-H", "X_Forwarded_For: 6.6.6.6",
    ]  # fmt: skip
    with (
        served(tmp_path, "mirror:app", cwd=tmp_path, workers=1) as mirror,
        nginx(tmp_path, mirror.main.removeprefix("http://")) as url,
    ):
        _, body = curl(*forged, "-H", "Host: petsage.example", f"{url}/api/x")
    seen = json.loads(body)
    assert seen["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
    assert seen["HTTP_X_FORWARDED_PROTO"] == "http"
    assert seen["HTTP_HOST"] == seen["HTTP_X_FORWARDED_HOST"] == "petsage.example"
    assert "evil" not in body
    assert "6.6.6.6" not in body
    assert len(seen["HTTP_X_REQUEST_ID"]) == 32


def test_a_unix_socket_can_be_the_upstream(tmp_path):
    with TemporaryDirectory() as run:  # nginx's own user can enter it
        Path(run).chmod(0o755)
        main = Path(run) / "main.sock"
        with (
            served(tmp_path, workers=1, bind=f"unix:{main}", ready=main.is_socket),
            nginx(tmp_path, f"unix:{main}") as url,
        ):
            wait_until(lambda: get(f"{url}/livez").data == b"ok\n")


def test_nginx_closes_an_idle_connection_before_gunicorn_does():
    site = subprocess.check_output([PETSAGE, "deploy", "nginx"], text=True)
    proxy = int(re.search(r"\n    keepalive_timeout (\d+)s;", site)[1])
    assert proxy < KEEPALIVE_SECONDS
