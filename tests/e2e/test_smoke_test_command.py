"""`petsage smoke-test` against real servers, good and hostile, on loopback addresses."""

import itertools
import json
import os
import pty
import re
import shutil
import signal
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from petsage.cli import main
from petsage.smoke_test import PATH
from tests.certificates import Authority
from tests.e2e.proxy import nginx
from tests.hostile import (
    BODY,
    Connection,
    Script,
    Server,
    answer,
    context_of,
    hangs,
    says,
    server,
)
from tests.support import (
    PETSAGE,
    ROOT,
    environment_of,
    free_port,
    peak_kib,
    running,
    served,
    tool,
    wait_until,
)

Finished = subprocess.CompletedProcess[str]


def environment(**more: str) -> dict[str, str]:
    clean = {
        name: value
        for name, value in environment_of({}).items()
        if name != "GITHUB_ACTIONS" and not name.lower().endswith("_proxy")
    }
    return clean | more


def smoke_test(*arguments: object, lines: str = "", **variables: str) -> Finished:
    """Runs the command; `lines` are its standard input."""
    return subprocess.run(
        [PETSAGE, "smoke-test", *map(str, arguments)],
        env=environment(**variables),
        input=lines,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def in_this_process(*arguments: object, lines: str = "") -> Finished:
    """Runs the command in this process, for arguments with which no rollout begins."""
    ended = CliRunner().invoke(main, ["smoke-test", *map(str, arguments)], input=lines)
    return Finished([], ended.exit_code, ended.stdout, ended.stderr)


def is_refused(
    message: str,
    *arguments: object,
    lines: str = "",
    command: Callable[..., Finished] = in_this_process,
) -> str:
    """The usage is wrong, and the last line of standard error says why."""
    finished = command(*arguments, lines=lines)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert message in finished.stderr.splitlines()[-1]
    return finished.stderr


def balances(replicas: list[bytes]) -> Script:
    """Replicas behind one address that answer in turn."""

    def script(connection: Connection) -> None:
        connection.sock.sendall(replicas[connection.number % len(replicas)])

    return script


def test_a_served_petsage_is_proven(tmp_path: Path) -> None:
    with served(tmp_path, release="2.0", instance="a") as pets:
        finished = smoke_test(pets.main, "--release", "2.0", "--instances", 1)
        assert finished.returncode == 0, finished
        assert finished.stdout.startswith("proven: 1 of 1 keep the contract, release 2.0 (1)")
        assert finished.stderr == ""
        finished = smoke_test(pets.main, "--release", "2.1", "--json")
    data = json.loads(finished.stdout)
    assert (finished.returncode, data["exit_code"]) == (4, 4)
    assert data["rows"][1]["breach"]["seen"] == "2.0 from instance a"


README = (ROOT / "README.md").read_text(encoding="utf-8")
ENDED = {signal.SIGINT: 130, signal.SIGTERM: 143}
EARLY = ("petsage: interrupted\n", "petsage: terminated\n")
SECTION = README.partition("## Prove a rollout")[2].partition("### What users lose")[0]
_PIPELINE = r"(?m)(?:run: |script: |sh '|^)(petsage smoke-test https(?:\|\|\n|[^'\n])*)"
PIPELINES = re.findall(_PIPELINE, SECTION)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH whose `kubectl` writes its arguments down."""
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/kubectl.log\n')
    kubectl.chmod(0o755)
    return f"{kubectl.parent}:{Path(PETSAGE).parent}:/usr/bin:/bin"


@pytest.mark.parametrize("line", PIPELINES)
@pytest.mark.parametrize(("release", "code"), [("2", 0), ("1", 4)])
def test_the_pipelines_of_the_readme_prove_a_release(
    tmp_path: Path, path: str, line: str, release: str, code: int
) -> None:
    version = release.encode() if "version.txt" in line else BODY
    if "actuator" in line:
        version = b'{"status":"UP","version":"%b"}' % release.encode()
    replicas = [answer(version, release=release, instance=name) for name in "abc"]
    with server(balances(replicas)) as pets:
        # A command that must fail should not wait for long.
        wait = "--wait 1" if code else "--wait 30"
        line = re.sub(r"https://\w+.example", pets.url, line).replace("--wait 300", wait)
        finished = subprocess.run(
            line.replace("--release 2.1.0", "--release 2"),
            shell=True,
            cwd=tmp_path,
            env=environment(PATH=path, GITHUB_SHA="2", CI_COMMIT_SHA="2", GIT_COMMIT="2"),
            check=False,
        )
    undone = "rollout undo" in line and code
    assert finished.returncode == (1 if undone else code)
    assert (tmp_path / "kubectl.log").exists() == bool(undone)
    assert (tmp_path / "smoke.xml").exists() == ("--junit smoke.xml" in line)


def test_every_pipeline_of_the_readme_is_run() -> None:
    assert len(PIPELINES) == 6


def test_a_unix_socket_is_a_target(tmp_path: Path) -> None:
    with server(says(answer()), path=tmp_path / "pets.sock"):
        assert smoke_test(f"unix:{tmp_path}/pets.sock").returncode == 0


def test_a_late_start_is_waited_for() -> None:
    port = free_port()
    command = [PETSAGE, "smoke-test", f"http://127.0.0.1:{port}", "--wait", "30"]
    with running(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        first = process.stderr.readline()
        assert first.startswith("round 1: 0 of 1 keep the contract; ")
        assert "Connection refused" in first
        with server(says(answer()), port=port):
            output, _ = process.communicate(timeout=40)
    assert process.returncode == 0
    assert output.startswith("proven")


BAD: dict[str, tuple[Script, int, str]] = {
    "hangs": (hangs, 3, "time: expected an answer within 0.5 s, saw a time-out waiting for an"),
    "forbidden": (says(answer(b"", "403 Forbidden")), 1, "status: expected 200, saw 403"),
    "an old release": (says(answer(release="1")), 4, "release: expected 2, saw 1 from instance a"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_answer_is_reported_exactly(name: str) -> None:
    script, code, message = BAD[name]
    with server(script) as bad:
        finished = smoke_test(bad.url, "--timeout", "0.5", "--release", 2)
    assert finished.returncode == code, finished
    assert finished.stdout.startswith(f"FAIL {bad.url}/api/v1/smoke-test")
    assert message in finished.stdout


def test_a_slow_answer_breaches_the_latency() -> None:
    def slow(connection: Connection) -> None:
        connection.over.wait(0.3)
        connection.sock.sendall(answer())

    with server(slow) as pets:
        finished = smoke_test(pets.url, "--max-latency", 0.25)
    assert finished.returncode == 1
    assert "latency: expected at most 0.25 s, saw 0." in finished.stdout


# Several addresses of one name.


@contextmanager
def replicas(scripts: Mapping[str, Script]) -> Iterator[int]:
    """Servers at several addresses, all at one port, which is returned."""
    with ExitStack() as stack:
        port = 0
        for host, script in scripts.items():
            port = stack.enter_context(server(script, host, port)).port
        yield port


def by_name(port: int, scripts: Mapping[str, Script]) -> list[str]:
    return [
        f"http://pets:{port}",
        "--every-address",
        "--resolve",
        f"pets:{port}:{','.join(scripts)}",
    ]


def five(odd: Script) -> dict[str, Script]:
    scripts = {f"127.0.0.{n}": says(answer(instance=f"i{n}")) for n in range(11, 16)}
    return scripts | {"127.0.0.13": odd}


def test_one_old_replica_of_five_is_found() -> None:
    scripts = five(says(answer(release="1", instance="old")))
    with replicas(scripts) as port:
        finished = smoke_test(*by_name(port, scripts), "--release", 2, "--instances", 5)
    assert finished.returncode == 4
    assert "saw 1 from instance old at 127.0.0.13; 2 from instance i11 at" in finished.stdout
    assert "release 2 (4), release 1 (1), 5 instances, 5 requests" in finished.stdout


def test_all_replicas_are_asked_by_their_name() -> None:
    asked = []

    def script(connection: Connection) -> None:
        asked.append(connection.request)
        connection.sock.sendall(answer())

    scripts = dict.fromkeys(("127.0.0.11", "127.0.0.12"), script)
    with replicas(scripts) as port:
        assert smoke_test(*by_name(port, scripts), "--instances", 1).returncode == 0
    assert len(asked) == 2
    assert all(f"Host: pets:{port}\r\n".encode() in request for request in asked)


def test_an_old_replica_behind_a_balancer_is_never_overlooked() -> None:
    replicas = [answer(release="2" if n else "1", instance=f"i{n}") for n in range(6)]

    wanted = ("--release", 2, "--consecutive", 3, "--wait", 1, "--json")
    with server(balances(replicas)) as pets:
        finished = smoke_test(pets.url, *wanted)
    data = json.loads(finished.stdout)
    assert (finished.returncode, data["verdict"]) == (4, "wrong or mixed release")
    assert {one["instance"] for one in data["seen"]} == {f"i{n}" for n in range(6)}
    message = data["rows"][-1]["breach"]["seen"]
    assert message.startswith("1 from instance i")
    assert "instance i0" in message.partition(";")[0]


def test_a_limit_of_requests_makes_it_slower_and_no_breach(tmp_path: Path) -> None:
    with ExitStack() as stack:
        scripts = [says(answer(instance=name)) for name in "abcd"]
        replicas = [stack.enter_context(server(script)) for script in scripts]
        base = stack.enter_context(nginx(tmp_path, *(f"127.0.0.1:{one.port}" for one in replicas)))
        for _ in range(2):  # the second one finds the limit used up
            finished = smoke_test(base)
            note, verdict = finished.stdout.splitlines()
            assert note.startswith("NOTE http://127.0.0.1:"), finished
            assert verdict.startswith("proven for the 4 instances seen: "), finished


# TLS.


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@contextmanager
def https(context: ssl.SSLContext) -> Iterator[tuple[Server, list[str]]]:
    """A server, and the arguments that ask it by the name pets.example."""
    with server(says(answer()), tls=context) as pets:
        where = f"pets.example:{pets.port}"
        yield pets, [f"https://{where}", "--resolve", f"{where}:127.0.0.1"]


def test_a_certificate_of_a_given_authority_is_accepted(authority: Authority) -> None:
    with https(context_of(authority, "pets.example")) as (_, asked):
        assert smoke_test(*asked, "--cacert", authority.ca).returncode == 0
        finished = smoke_test(*asked)
    assert finished.returncode == 3
    assert "certificate: expected a valid one, saw unable to get local issuer" in finished.stdout


def test_a_certificate_that_is_not_valid_ends_it_at_once(authority: Authority) -> None:
    with https(context_of(authority, "pets.example", -1)) as (pets, asked):
        finished = smoke_test(*asked, "--cacert", authority.ca, "--wait", 600)
        assert finished.returncode == 3
        assert "certificate has expired" in finished.stdout
        assert not pets.requests
        finished = smoke_test(*asked, "--insecure")
    assert finished.returncode == 0
    assert finished.stderr.startswith("WARNING: --insecure: ")


def test_a_client_shows_its_certificate(authority: Authority) -> None:
    context = context_of(authority, "pets.example")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca)
    own = authority.issue(("ci.example",))
    with https(context) as (_, asked):
        asked += ["--cacert", str(authority.ca)]
        assert smoke_test(*asked, "--cert", own.certificate, "--key", own.key).returncode == 0


# Any service.


def test_with_expectations_the_root_is_asked_as_it_is() -> None:
    wanted = ["--expect", "status=200", "--instances", "1"]
    with server(says(answer())) as pets:
        for path in ("", "/", "?pet=cat", PATH):
            assert smoke_test(f"{pets.url}{path}", *wanted).returncode == 0
        assert smoke_test(*wanted, pets.url).returncode == 0
        asked = [request.split()[1].decode() for request in pets.requests]
    assert asked == [PATH, "/", f"{PATH}?pet=cat", PATH, PATH]


NGINX = """\
daemon off; master_process off; pid {0}/pid; error_log stderr; events {{}}
http {{ access_log off; client_body_temp_path {0}/1; proxy_temp_path {0}/2;
    fastcgi_temp_path {0}/3; uwsgi_temp_path {0}/4; scgi_temp_path {0}/5;
    server {{ listen 127.0.0.1:{1}; root {0}; add_header X-Host $hostname; }} }}
"""


def test_a_plain_nginx_with_a_version_file_is_proven(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "version.txt").write_text("2.0.0\n")
    (tmp_path / "nginx.conf").write_text(NGINX.format(tmp_path, port))
    command = [tool("nginx"), "-e", "stderr", "-c", str(tmp_path / "nginx.conf")]
    url = f"http://127.0.0.1:{port}/version.txt"
    wanted = (
        "--expect",
        "status=200",
        "--release-from",
        "body",
        "--instance-from",
        "header:X-Host",
    )
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as nginx:
        try:
            finished = smoke_test(url, *wanted, "--release", "2.0.0", "--wait", 10)
            assert finished.stdout.startswith("proven for the 1 instance seen: "), finished
        finally:
            nginx.kill()


def test_headers_come_from_a_file_as_curl_reads_it(tmp_path: Path) -> None:
    text = "Authorization: Bearer sesame\n\nX-One: Åse\n"  # UTF-8 has the byte 0x85 in it
    (tmp_path / "headers").write_text(text)
    with server(says(answer())) as pets:
        finished = smoke_test(pets.url, "--instances", 1, "--header", f"@{tmp_path}/headers")
        assert finished.returncode == 0, finished
        assert text.replace("\n\n", "\n").replace("\n", "\r\n").encode() in pets.requests[0]
    (tmp_path / "headers").write_text("sesame\n")
    assert "sesame" not in is_refused(
        "'Name: value'", "http://a", "--header", f"@{tmp_path}/headers"
    )
    is_refused("the headers in", "http://a", "--header", f"@{tmp_path}/none")


def test_a_proxy_is_asked_for_the_whole_url_or_for_a_tunnel(authority: Authority) -> None:
    with server(says(answer())) as proxy:
        finished = smoke_test("http://pets.example", "--instances", 1, "--proxy", proxy.url)
        assert finished.returncode == 0, finished
        start = b"GET http://pets.example/api/v1/smoke-test HTTP/1.1\r\nHost: pets.example\r\n"
        assert proxy.requests[0].startswith(start)
    context = context_of(authority, "pets.example")
    tunnelled: list[bytes] = []

    def tunnel(connection: Connection) -> None:
        connection.sock.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        with context.wrap_socket(connection.sock, server_side=True) as sock:
            tunnelled.append(sock.recv(65536))
            sock.sendall(answer())

    asked = ("https://pets.example", "--instances", 1, "--cacert", authority.ca, "--proxy")
    own = ("--header", "Proxy-Authorization: Basic c2VzYW1l", "--header", "X-Pet: cat")
    with server(tunnel) as proxy:
        assert smoke_test(*asked, proxy.url, *own).returncode == 0
        assert proxy.requests == [
            b"CONNECT pets.example:443 HTTP/1.1\r\nHost: pets.example:443\r\n"
            b"Proxy-Authorization: Basic c2VzYW1l\r\n\r\n"
        ]
        assert b"X-Pet: cat\r\n" in tunnelled[0]
        assert b"Proxy-" not in tunnelled[0]
    with server(says(answer(b"", "407 Who are you"))) as proxy:
        finished = smoke_test(*asked, proxy.url)
    assert finished.returncode == 3
    assert "saw the proxy answered 407 asking the proxy" in finished.stdout


def test_a_proxy_of_the_environment_is_not_used_and_a_note_says_so() -> None:
    with server(says(answer())) as pets:
        finished = smoke_test(pets.url, "--instances", 1, http_proxy="http://127.0.0.1:1")
    assert finished.returncode == 0
    assert finished.stderr == "NOTE: the proxy of http_proxy is not used: give it as --proxy\n"


def test_an_ipv6_host_is_overridden_in_the_form_of_curl() -> None:
    with server(says(answer())) as pets:
        given = ("--resolve", f"[::1]:{pets.port}:127.0.0.1", "--instances", 1)
        assert smoke_test(f"http://[::1]:{pets.port}", *given).returncode == 0


def test_a_wrong_expectation_is_refused_before_anything_is_asked() -> None:
    target = "http://127.0.0.1:1"
    is_refused("did you mean status?", target, "--expect", "stauts=200")
    is_refused("status=200-299", target, "--expect", "status=2xx")
    is_refused("RFC 6901", target, "--expect", "json:status=UP")
    is_refused("header:NAME, json:/POINTER", target, "--release-from", "version")
    is_refused("http://HOST:PORT", target, "--proxy", "socks5://proxy")
    proxied = (target, "--proxy", "http://127.0.0.1:2")
    is_refused("--every-address exclude each other", *proxied, "--every-address")
    is_refused("--resolve exclude each other", *proxied, "--resolve", "127.0.0.1:1:127.0.0.1")


# Usage.


def test_no_target_is_an_error_and_never_proven(tmp_path: Path) -> None:
    empty = tmp_path / "targets"
    empty.write_text("# nobody\n\n")
    is_refused("no target")
    is_refused("targets holds no target", f"@{empty}")
    is_refused("targets holds no target", f"@{empty}", "http://127.0.0.1")
    is_refused("standard input holds no target", "-")
    is_refused("No such file", f"@{tmp_path}/none")
    is_refused("more than 16777216 bytes", "@/dev/zero")


def test_many_targets_come_from_a_file_or_standard_input(tmp_path: Path) -> None:
    with server(says(answer())) as one, server(says(answer())) as two:
        lines = f"# ours\n{one.url}\n\n  {two.url}\n{one.url}\n"
        (tmp_path / "targets").write_text(lines)
        for finished in (smoke_test(f"@{tmp_path}/targets"), smoke_test("-", lines=lines)):
            assert finished.returncode == 0
            assert "2 of 2 keep the contract" in finished.stdout


def test_wrong_usage_is_refused_in_one_line() -> None:
    target = "http://127.0.0.1:1"
    is_refused("begin with http://", "127.0.0.1:8000")
    is_refused("did you mean https?", "htps://pets")
    is_refused("'pets:80': a target", "-", lines="http://pets\npets:80\n")
    is_refused("--release", target, "--relase", 2)
    is_refused("--release", target, "--release", "")
    for option, number in (("--timeout", "nan"), ("--timeout", 0), ("--wait", -1), ("--wait", "s")):
        is_refused("number of seconds from 0", target, option, number)
    is_refused("--key needs --cert", target, "--key", "x")
    is_refused("exclude each other", target, "--cacert", "x", "--insecure")
    is_refused("--cacert cannot be used: No such file", "https://pets", "--cacert", "/none")
    is_refused("no target's host and port", target, "--resolve", "pets:1:127.0.0.1")
    is_refused("HOST:PORT:ADDRESS", target, "--resolve", "pets:1:pets")
    is_refused("--junit", target, "--junit", "/none/junit.xml")


def test_a_junit_document_replaces_nothing_but_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    is_refused("is not a file", "http://127.0.0.1:1", "--junit", pipe, command=smoke_test)
    assert pipe.is_fifo()


@pytest.mark.parametrize("name", ["", "-", "/dev/stdout", "/proc/self/fd/1", "x" * 300])
def test_a_junit_document_needs_a_name_of_its_own(name: str) -> None:
    is_refused("--junit", "http://127.0.0.1:1", "--junit", name, command=smoke_test)


def test_a_wrong_usage_leaves_no_document_of_the_run_before(tmp_path: Path) -> None:
    junit = tmp_path / "junit.xml"
    for wrong in (["pets"], [], ["http://pets", "--wait", "x"], ["@/none"]):
        junit.write_text("of the run before")
        is_refused("", *wrong, "--junit", junit, command=smoke_test)
        assert ET.fromstring(junit.read_bytes()).get("failures") != "0"


def test_a_folder_that_vanishes_costs_the_document_and_not_the_verdict(tmp_path: Path) -> None:
    for script, code, verdict in (
        (says(answer()), 70, "proven"),
        (says(answer(b"", "403 No")), 1, "FAIL"),
    ):
        folder = tmp_path / "reports"
        folder.mkdir()

        def vanishes(
            connection: Connection, folder: Path = folder, script: Script = script
        ) -> None:
            shutil.rmtree(folder)
            script(connection)

        with server(vanishes) as pets:
            finished = smoke_test(pets.url, "--instances", 1, "--junit", folder / "junit.xml")
        assert finished.returncode == code
        assert finished.stdout.startswith(verdict)
        assert (
            finished.stderr == f"petsage: --junit {folder}/junit.xml: No such file or directory\n"
        )


@pytest.mark.parametrize(
    ("redirected", "code"),
    [
        ("| true", 4),
        ("2>&1 | true", 4),
        (">/dev/full", 4),
        (">/dev/full 2>/dev/full", 4),
        ("--release 1 | true", 0),
        ("--release 1 >/dev/full", 70),
    ],
)
def test_a_closed_output_changes_no_verdict(redirected: str, code: int) -> None:
    with server(says(answer(release="1"))) as pets:
        line = f"{PETSAGE} smoke-test {pets.url} --wait 1 --release 2 {redirected}"
        script = f"{line}; exit ${{PIPESTATUS[0]}}"
        finished = subprocess.run(
            [tool("bash"), "-c", script],
            env=environment(GITHUB_ACTIONS="true"),
            capture_output=True,
            check=False,
        )
    assert finished.returncode == code, finished


def test_a_closed_standard_input_holds_no_target() -> None:
    command = [tool("bash"), "-c", f"{PETSAGE} smoke-test - <&-"]
    finished = subprocess.run(command, env=environment(), capture_output=True, check=False)
    assert finished.returncode == 2
    assert b"standard input holds no target" in finished.stderr


def test_an_override_that_is_given_twice_has_the_addresses_of_both() -> None:
    scripts = dict.fromkeys(("127.0.0.11", "127.0.0.12"), says(answer()))
    with replicas(scripts) as port:
        given = [part for host in scripts for part in ("--resolve", f"pets:{port}:{host}")]
        finished = smoke_test(f"http://pets:{port}", "--every-address", *given)
    assert "2 of 2 keep the contract" in finished.stdout


def test_no_secret_is_printed() -> None:
    assert "sesame" not in is_refused("use --header", "http://me:sesame@pets")
    assert "sesame" not in is_refused("a target", "pets?token=sesame")
    for proxy in ("http://me:sesame@proxy:1", "http://me:sesame%40proxy", "http://proxy/?sesame"):
        assert "sesame" not in is_refused("http://HOST:PORT", "http://pets", "--proxy", proxy)
    assert "sesame" not in is_refused("'Name: value'", "http://pets", "--header", "sesame")
    assert "sesame" not in is_refused("'Name: value'", "http://pets", "--header", "a: sesame\nb: c")
    with server(says(answer(b"", "401 Unauthorized"))) as pets:
        finished = smoke_test(pets.url, "--header", "Authorization: Bearer sesame", "--json")
        assert b"Authorization: Bearer sesame\r\n" in pets.requests[0]
    assert finished.returncode == 1
    assert "sesame" not in finished.stdout + finished.stderr


# Reports.

HOSTILE = "\x1b[2J]]>\x00::error::x%0A##[error]"


def test_nothing_that_a_server_says_breaks_a_report(tmp_path: Path) -> None:
    body = json.dumps({"status": HOSTILE, f"::error::{HOSTILE}\ud800": 1}).encode()
    with server(says(answer(body, release="\x9b2\x85::warning::x"))) as pets:
        junit = tmp_path / "junit.xml"
        finished = smoke_test(pets.url, "--junit", junit, "--json", GITHUB_ACTIONS="true")
    assert finished.returncode == 1
    assert json.loads(finished.stdout)["rows"][0]["release"] == "\\x9b2\\x85::warning::x"
    assert ET.fromstring(junit.read_bytes()).get("failures") != "0"
    (line,) = finished.stderr.splitlines()
    assert line.startswith("::error title=smoke test%3A answered but wrong::http://127.0.0.1:")
    assert line.isprintable()


def test_annotations_are_only_for_github() -> None:
    with server(says(answer(b"", "403 Forbidden"))) as pets:
        finished = smoke_test(pets.url, GITHUB_ACTIONS="false")
    assert (finished.returncode, finished.stderr) == (1, "")


def test_a_terminal_shows_a_live_table() -> None:
    ours, theirs = pty.openpty()
    with server(says(answer(release="2.1", instance="a"))) as pets:
        finished = subprocess.run(
            [PETSAGE, "smoke-test", pets.url, "--consecutive", "2"],
            env=environment(COLUMNS="120", LINES="24", TERM="xterm", NO_COLOR=""),
            stdout=subprocess.PIPE,
            stderr=theirs,
            timeout=60,
            check=False,
        )
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert finished.stdout.startswith(b"proven")
    assert f"  ok    {pets.url}/api/v1/smoke-test  release 2.1  instance a" in shown
    assert "2 rounds over, 1 of 1 keep the contract" in shown


@pytest.mark.parametrize(
    "variables", [{"TERM": "dumb"}, {"TERM": "xterm", "NO_COLOR": "1"}, {"LC_ALL": "C"}]
)
def test_a_terminal_that_takes_no_table_gets_lines(variables: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    with server(says(answer(b"", "404 Not Found"), answer(instance=""))) as pets:
        finished = subprocess.run(
            [PETSAGE, "smoke-test", pets.url, "--wait", "5"],
            env=environment(PYTHONIOENCODING="ascii", **{"TERM": "dumb"} | variables),
            stdout=subprocess.PIPE,
            stderr=theirs,
            timeout=60,
            check=False,
        )
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert (finished.returncode, "\x1b" in shown) == (0, False)
    assert shown.startswith("round 1: 0 of 1 keep the contract; ")


def test_an_interruption_ends_a_program_that_is_loaded_or_reads_its_targets(
    tmp_path: Path,
) -> None:
    junit = tmp_path / "junit.xml"
    for step in range(8):
        junit.write_text("of the run before")
        command = [PETSAGE, "smoke-test", "-", "--junit", str(junit)]
        with running(
            command, env=environment(), stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            wait_until(lambda: junit.read_text() != "of the run before")
            threading.Event().wait(step * 0.025)
            process.send_signal(number := (signal.SIGINT, signal.SIGTERM)[step % 2])
            assert process.wait(10) == ENDED[number]
            assert process.stderr
            assert process.stderr.read() == EARLY[step % 2]
        assert ET.fromstring(junit.read_bytes()).get("failures") == "1"
        assert list(tmp_path.iterdir()) == [junit]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("script", [hangs, says(answer()), says(answer(release="1"))])
def test_an_interruption_at_any_moment_leaves_a_valid_junit_document(
    tmp_path: Path, number: signal.Signals, script: Script
) -> None:
    with server(script) as pets:
        for delay in (0, 0.05, 0.4):
            junit = tmp_path / f"{delay}.xml"
            asked = ["--wait", "60", "--release", "2", "--consecutive", "50", "--junit", str(junit)]
            with running(
                [PETSAGE, "smoke-test", pets.url, *asked],
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as process:
                wait_until(junit.exists)
                threading.Event().wait(delay)
                process.send_signal(number)
                output, errors = process.communicate(timeout=10)
            assert process.returncode == ENDED[number], errors
            # It may come before there is a rollout.
            early = errors in EARLY
            assert early or output.splitlines()[-1].startswith("interrupted: ")
            assert "Traceback" not in errors
            suite = ET.fromstring(junit.read_bytes())
            assert suite.findall("testcase")[-1].find("failure").get("type") == "interrupted"
            assert len(list(tmp_path.iterdir())) == 1
            junit.unlink()


def test_a_killed_run_leaves_a_document_that_fails(tmp_path: Path) -> None:
    junit = tmp_path / "junit.xml"
    junit.write_text("of the run before")
    with (
        server(hangs) as pets,
        running(
            [PETSAGE, "smoke-test", pets.url, "--junit", str(junit)], env=environment()
        ) as process,
    ):
        wait_until(lambda: pets.requests)
        process.kill()
    assert ET.fromstring(junit.read_bytes()).get("failures") != "0"


def test_a_body_of_100_mb_takes_no_memory() -> None:
    def script(connection: Connection) -> None:
        begin = answer(b"", content_length="104857600")
        connection.drip(itertools.chain([begin], [bytes(2**20)] * 100), 0)

    with server(script) as pets:
        assert peak_kib(PETSAGE, "smoke-test", pets.url) < 64 * 1024
        assert pets.requests
