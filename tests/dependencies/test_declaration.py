"""URLs become checks, or lines that say what is wrong without a piece of them."""

import os
import socket
import subprocess
import sys
import time
from base64 import b64encode
from pathlib import Path

import pytest
from marshmallow import ValidationError

from petsage.checks import CheckFailed
from petsage.config import Config, ConfigError
from petsage.dependencies.declaration import (
    OPTIONS,
    SCHEMES,
    checks_from_urls,
    declared_checks,
)
from petsage.dependencies.scrubbing import scrubbed, secrets_of
from petsage.errors import nearest
from tests.declared import check_of, verdict
from tests.hostile import dripping, peer
from tests.support import ROOT

URLS = {
    "postgresql": "postgresql://app:secret@db.example/pets?sslmode=require",
    "mysql": "mysql://app:secret@db.example/pets",
    "sqlite": "sqlite:////var/lib/pets.db",
    "redis": "redis://:secret@cache.example/2",
    "rediss": "rediss://app:secret@cache.example:6380",
    "http": "http://app:secret@api.example/health?key=secret",
    "https": "https://api.example:8443",
    "tcp": "tcp://queue.example:4222",
    "tls": "tls://api.example#days=3",
    "dns": "dns://api.example",
    "disk": "disk:///var#free=10%",
}


def _problems(text: str) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        declared_checks(text)
    messages = caught.value.messages
    assert isinstance(messages, list)
    return messages


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis://cache#password-file=secret", "password-file must be an absolute path"),
        ("redis://:s3cret@cache#password-file=/x", "password-file: the URL itself has a password"),
        ("postgresql://db?password=s3cret#password-file=/x", "the URL itself has a password"),
        ("postgresql://db?user=u&p%61ssword=#password-file=/x", "the URL itself has a password"),
        ("tcp://cache:1#password-file=/x", "unknown option; known are"),
        ("http://u@cache?a@b#password-file=/x", "must be of the form"),
    ],
)
def test_a_password_file_that_cannot_be_meant_is_refused(url: str, problem: str) -> None:
    (found,) = _problems(f"it={url}")
    assert problem in found
    assert "s3cret" not in found


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "its password file: No such file or directory"),
        (b"\n", "its password file does not hold 1 to 4096 bytes of text"),
        (b"x" * 4097, "its password file does not hold 1 to 4096 bytes of text"),
        (b"\xff", "its password file is not UTF-8"),
    ],
)
def test_a_password_file_that_is_wrong_fails_and_its_path_is_shown_nowhere(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / "f").write_bytes(content)
    assert verdict(f"redis://127.0.0.1:9#password-file={tmp_path}/f", str(tmp_path)) == reason


def test_every_scheme_has_a_url_here() -> None:
    assert set(URLS) == set(SCHEMES)


@pytest.mark.parametrize("scheme", URLS)
def test_a_declared_dependency_is_an_external_check_for_ready_and_smoke(scheme: str) -> None:
    (check,) = declared_checks(f"it={URLS[scheme]}")
    assert (check.name, check.external, check.critical) == ("it", True, True)
    assert check.probes == {"ready", "smoke"}
    assert (check.timeout_seconds, check.fresh_seconds, check.stale_seconds) == (2, 5, 30)


@pytest.mark.parametrize("scheme", URLS)
def test_a_check_shows_nothing_of_its_url(scheme: str) -> None:
    check = check_of(URLS[scheme])
    for shown in (repr(check), repr(check.run), str(check.run)):
        assert "secret" not in shown
        assert "example" not in shown


def test_options_stand_in_the_fragment() -> None:
    (check,) = declared_checks(
        "database=postgresql://app:secret@db/pets"
        "#timeout=1.5&fresh=10&stale=60&critical=no&probes=ready,startup"
    )
    assert (check.timeout_seconds, check.fresh_seconds, check.stale_seconds) == (1.5, 10, 60)
    assert not check.critical
    assert check.probes == {"ready", "startup"}


def test_declarations_keep_their_order_whatever_whitespace_is_between() -> None:
    checks = declared_checks("\n b=tcp://h:1\t a=dns://h \n")
    assert [check.name for check in checks] == ["b", "a"]
    assert declared_checks(" \n") == ()


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("value", ["", "s3cret", "-1", "nan", "inf", "86401", "ready,s3cret"])
def test_a_wrong_value_is_reported_by_its_option_alone(option: str, value: str) -> None:
    (problem,) = _problems(f"it=tcp://h:1#{option}={value}")
    assert problem.startswith(f"check 'it': {option} must be ")
    assert "s3cret" not in problem


@pytest.mark.parametrize(
    ("url", "option"),
    [
        ("http://h#status=99", "status"),
        ("http://h#status=400-300", "status"),
        ("https://h#ca=/nowhere/s3cret.pem", "ca"),
        ("rediss://h#ca=", "ca"),
        ("tls://h#days=-1", "days"),
        ("tls://h#days=s3cret", "days"),
        ("disk:///#free=101%", "free"),
        ("disk:///#free=1GB", "free"),
    ],
)
def test_a_schemes_own_option_is_tried_at_start_too(url: str, option: str) -> None:
    (problem,) = _problems(f"it={url}")
    assert problem.startswith(f"check 'it': {option} must be ")
    assert "s3cret" not in problem


def test_a_file_that_holds_no_certificate_is_no_ca(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    (problem,) = _problems(f"it=tls://h#ca={tmp_path}/ca.pem")
    assert problem == "check 'it': ca must be the path of a readable file of certificates in PEM"


@pytest.mark.parametrize(
    ("declared", "line"),
    [
        ("it=tcp://h:1#timout=1", "check 'it': unknown option; did you mean timeout?"),
        ("it=http://h#statuses=1", "check 'it': unknown option; did you mean status?"),
        ("it=tls://h#day=x", "check 'it': unknown option; did you mean days?"),
        (
            "it=tls://h#s3cret",
            "check 'it': unknown option; "
            "known are timeout, fresh, stale, critical, probes, days, ca",
        ),
        ("it=postgres://h", "check 'it': unknown scheme; did you mean postgresql?"),
        (
            "it=s3cret://h",
            f"check 'it': unknown scheme; known are {', '.join(SCHEMES)}",
        ),
        ("it=tcp://h:1#critical=no&critical=no", "check 'it': critical is given twice"),
        ("a=dns://h a=dns://h", "check 'a': the name is taken"),
        ("drain=dns://h", "check 'drain': the name is PetSage's own"),
        (
            "it=dns://h#probes=live",
            "check 'it': an external check cannot be in the live probe: "
            "a restart would not mend it",
        ),
        (
            "it=dns://h#fresh=60",
            "check 'it': it needs 0 <= fresh_seconds <= stale_seconds, 1 <= stale_seconds <= 86400",
        ),
    ],
)
def test_a_wrong_declaration_gets_one_line_with_what_would_be_right(
    declared: str, line: str
) -> None:
    assert _problems(declared) == [line]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('"a=tcp://h:1 b=tcp://h:2"', "quote"),
        ("'a=tcp://s3cret:1'", "quote"),
        ("a='redis://:s3cret@h'", "quote"),
        ('a="tcp://h:1"', "quote"),
        ("a=tcp://h:1,b=tcp://h:2", "commas"),
        ("a=http://h/x,b=http://:s3cret@h", "commas"),
        ("a=tcp://h:1, b=tcp://h:2", "commas"),
        ("a=tcp://h:1 , b=tcp://h:2", "commas"),
        ("a=redis://:s3cret@h#probes=ready,b=dns://h", "commas"),
    ],
)
def test_quotes_and_commas_around_declarations_are_named(text: str, word: str) -> None:
    problems = _problems(text)
    assert word in problems[0]
    assert "s3cret" not in " ".join(problems)


def test_a_byte_order_mark_is_no_part_of_a_name() -> None:
    (check,) = declared_checks("\ufeffa=tcp://h:1")
    assert check.name == "a"


def test_commas_inside_a_url_mean_what_they_mean_there() -> None:
    declared_checks("a=http://h/x,y?b=1,2#probes=ready,smoke b=postgresql://h1:1,[::1]:2,h3/pets")


def test_all_that_is_wrong_is_reported_at_once() -> None:
    problems = _problems("a=dns://h#timeout=x&stal=1 good=dns://h b=redi://h c")
    assert [problem.partition(":")[0] for problem in problems] == [
        "check 'a'",
        "check 'a'",
        "check 'b'",
        "entry 4",
    ]


def test_the_configuration_names_the_variable_too() -> None:
    with pytest.raises(ConfigError, match=r"^PETSAGE_CHECKS: check 'it': unknown scheme"):
        Config.load({"PETSAGE_CHECKS": "it=s3cret://h"})


@pytest.mark.parametrize("scheme", ["postgresql", "redis", "http"])
@pytest.mark.parametrize(
    "password",
    [
        *("pa#ss", "pa?ss", "pa@ss", "pa/ss", "pa ss", "pässß", "p%ss", "pa%ffss", "pa%00ss"),
        *("12#ss", "12?ss", "12/ss", "12 ss", "12@ss"),  # what is before is a port, to a parser
        *("pa#timeout=1", "pa#timout=ss", "12 ss=5", "12 ss=x:y"),
    ],
)
def test_a_password_that_is_not_encoded_is_refused_without_a_piece_of_it(
    scheme: str, password: str
) -> None:
    problems = _problems(f"it={scheme}://user:{password}@db/1")
    assert "with special characters percent-encoded, as %40 for @" in problems[0]
    reason = " ".join(problems).replace(SCHEMES[scheme].form, "")
    for piece in ("pa", "12", "ß", "ff", "timeout", "timout", "5", "x:y"):
        assert piece not in reason
    assert "ss" not in reason.replace("scheme://", "")


def test_an_at_sign_in_a_user_name_is_refused_too() -> None:
    (problem,) = _problems("it=redis://us@er:pass@db/1")
    assert "must be of the form" in problem


@pytest.mark.parametrize("port", ["0", "65536", "99999", "x", "-1", "1_0"])
def test_a_port_is_a_number_from_1_to_65535(port: str) -> None:
    (problem,) = _problems(f"it=tcp://h:{port}")
    assert "must be of the form tcp://host:port" in problem


@pytest.mark.parametrize(
    "url",
    [
        *(
            "tcp://h",
            "tcp://u:p@h:1",
            "tcp://h:1/x",
            "dns://h:53",
            "dns://",
            "tls://h/x",
            "tls://[h]",
        ),
        *("disk://h/x", "disk://", "sqlite://", "sqlite:///", "sqlite://h/x"),
        *(
            "redis://h/x",
            "redis://h?db=1",
            "redis://",
            "postgresql://h/a/b?c@d",
            "postgresql://h/a/b",
        ),
        *("http:///x", "http://h h", "http://-h:1:2"),
        *("dns://a..b", "tcp://.a:1", f"mysql://{'a' * 64}", "postgresql://a,b..c/d"),
    ],
)
def test_a_url_of_another_form_is_answered_with_the_right_one(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        checks_from_urls([url])
    (problem,) = caught.value.messages
    assert problem.startswith(f"URL 1: must be of the form {url.partition(':')[0]}://")


def test_a_url_without_a_name_gets_one_of_its_scheme_host_and_port() -> None:
    urls = ["redis://:s3cret@localhost/3", "https://u:s3cret@api.example/s3cret?s3cret=s3cret"]
    urls += ["tcp://[::1]:80", "disk:///s3cret", f"dns://{'a' * 60}.example"]
    names = [check.name for check in checks_from_urls(urls)]
    assert names[:4] == ["redis-localhost-6379", "https-api.example-443", "tcp-1-80", "disk"]
    assert len(names[4]) == 60


def test_urls_of_the_same_place_get_names_of_their_own() -> None:
    urls = ["disk:///", "dns://h", "disk:///var", "disk:///tmp", "dns://h-2", "dns://h"]
    assert [check.name for check in checks_from_urls(urls)] == [
        "disk",
        "dns-h",
        "disk-2",
        "disk-3",
        "dns-h-2",
        "dns-h-3",
    ]


def test_a_wrong_url_is_reported_by_its_place() -> None:
    with pytest.raises(ValidationError) as caught:
        checks_from_urls(["dns://h", "s3cret", "redis://u:s3@cret@h", "dns://h#fres=1"])
    lines = caught.value.messages
    assert [line.partition(":")[0] for line in lines] == ["URL 2", "URL 3", "URL 4"]
    assert "cret" not in " ".join(lines)


def test_the_nearest_known_word_is_named_or_else_all_of_them() -> None:
    assert nearest("redi", SCHEMES) == "; did you mean redis?"
    assert nearest("x", ["one", "two"]) == "; known are one, two"


# A driver that prints whatever it was given: what it says of a URL is what any driver may say.
_PACKAGE = {
    "loud.py": """
import json, urllib.parse
from base64 import b64encode
from marshmallow import fields
from petsage.dependencies.schemes import Scheme

def make_run(location):
    def ask():
        password = location.password
        forms = {
            "path": location.path,
            "volume": location.options["volume"],
            "raw": password,
            "percent": urllib.parse.quote(password, safe=""),
            "lower": urllib.parse.quote(password, safe="").lower(),
            "plus": urllib.parse.quote_plus(password),
            "repr": repr(password),
            "ascii": ascii(password),
            "bytes": repr(password.encode()),
            "json": json.dumps(password),
            "conninfo": password.replace("\\\\", "\\\\\\\\").replace("'", "\\\\'"),
            "pair": f"{location.user}:{password}@{location.host}",
            "basic": b64encode(f"{location.user}:{password}".encode()).decode(),
            "query": location.query,
        }
        try:
            raise ValueError(password)
        except ValueError:
            raise RuntimeError("; ".join(f"{form} <{text}>" for form, text in forms.items()))
    return ask

scheme = Scheme("loud://host", make_run, port=7, options={"volume": fields.Integer(load_default=3)})
def refuse(location):
    raise ValueError(location.password)

strict = Scheme("strict://host", refuse)
driver = {"modules": ("no_such_driver",), "install": "petsage-loud[driver]"}
driven = Scheme("driven://host", make_run, **driver)
broken = object()
""",
    "loud-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: loud\nVersion: 1.0\n",
    "loud-1.0.dist-info/entry_points.txt": """
[petsage.dependencies]
loud = loud:scheme
driven = loud:driven
strict = loud:strict
broken = loud:broken
gone = gone:scheme
redis = loud:broken
""",
}

_PROGRAM = """
import sys, traceback
from marshmallow import ValidationError
from petsage.dependencies.declaration import declared_checks
try:
    declared_checks("it=" + sys.argv[1])[0].run()
except ValidationError as error:
    print(*error.messages, sep="\\n")
except Exception:
    traceback.print_exc(file=sys.stdout)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an installed package that provides schemes of its own."""
    folder = tmp_path_factory.mktemp("site")
    for name, text in _PACKAGE.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def _run(url: str, site: Path, before: str = "") -> str:
    environment = os.environ | {"PYTHONPATH": f"{site}:{ROOT}"}
    command = [sys.executable, "-c", before + _PROGRAM, url]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_another_package_provides_a_scheme_with_options(site: Path) -> None:
    reason = _run("loud://host/place#volume=11", site)
    assert "path </place>; volume <11>;" in reason
    assert _run("loud://host#volume=x", site) == "check 'it': volume Not a valid integer.\n"
    assert _run("loud://host#volum=1", site) == (
        "check 'it': unknown option; did you mean volume?\n"
    )


def test_the_schemes_of_other_packages_are_known_words_too(site: Path) -> None:
    assert _run("lowd://host", site) == "check 'it': unknown scheme; did you mean loud?\n"


def test_a_scheme_of_petsage_cannot_be_replaced(site: Path) -> None:
    assert "broken" not in _run("redis://127.0.0.1:1", site)


@pytest.mark.parametrize(
    ("scheme", "line"),
    [
        ("gone", "the package of scheme gone cannot be imported (ModuleNotFoundError)"),
        ("broken", "the package of scheme broken does not provide a petsage Scheme"),
        ("strict", "is refused by its scheme (ValueError)"),
        ("driven", "its driver is not installed: pip install 'petsage-loud[driver]'"),
    ],
)
def test_a_scheme_that_cannot_be_used_is_reported_at_start(
    site: Path, scheme: str, line: str
) -> None:
    assert _run(f"{scheme}://app:s3cret@host", site) == f"check 'it': {line}\n"


@pytest.mark.parametrize(
    ("scheme", "module"),
    [
        ("postgresql", "psycopg"),
        ("mysql", "pymysql"),
    ],
)
def test_a_missing_driver_is_reported_at_start_with_the_line_that_installs_it(
    site: Path, scheme: str, module: str
) -> None:
    without = f"import sys; sys.modules[{module!r}] = None\n"
    reason = _run(URLS[scheme], site, without)
    line = f"its driver is not installed: pip install 'petsage[{scheme}]'"
    assert reason == f"check 'it': {line}\n"


@pytest.mark.parametrize(
    ("scheme", "imported"),
    [("dns", ""), ("redis", ""), ("mysql", "pymysql")],
)
def test_a_driver_is_imported_by_its_declaration_and_by_no_other(
    scheme: str, imported: str
) -> None:
    program = (
        "import sys; before = set(sys.modules)\n"  # measured coverage loads sqlite3
        "from petsage.dependencies.declaration import declared_checks\n"
        f"declared_checks({'it=' + URLS[scheme]!r})\n"
        "print(*{'sqlite3', 'psycopg', 'pymysql'} & (set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{imported}\n"


@pytest.mark.parametrize(
    ("user", "written", "plain"),
    [
        ("app", "s3cret", "s3cret"),
        ("app", "s%33cret", "s3cret"),
        ("app", "p%C3%A4ss%20w%C3%B6rd", "päss wörd"),
        ("app", "p%c3%a4ss", "päss"),
        ("app", "a%27b%22c%5Cd%0Ae", "a'b\"c\\d\ne"),
        ("app", "pa%23ss%3F%40", "pa#ss?@"),
        ("app", "t0ke", "t0ke"),
        ("", "s3cret", "s3cret"),
    ],
)
def test_no_form_of_the_password_is_in_the_reason_or_in_its_traceback(
    site: Path, user: str, written: str, plain: str
) -> None:
    reason = _run(f"loud://{user}:{written}@host/?key=t0ken", site)
    assert "RuntimeError" not in reason
    for form in ("raw", "percent", "lower", "plus", "query"):
        assert f"{form} <***" in reason or f"{form} <key=***>" in reason
    for piece in (written, plain, repr(plain)[1:-1], "s3cret", "t0ken", "YXBw", "ss", "xc3"):
        assert piece not in reason


def test_a_user_without_a_password_is_a_token_in_base64_too(site: Path) -> None:
    reason = _run("loud://t0ken@host", site)
    assert "t0ken" not in reason
    assert b64encode(b"t0ken:").decode().rstrip("=") not in reason


@pytest.mark.parametrize("query", ["key=t0ken=s3cret", "s3cret=&t0ken", "a&key=s3cret=t0ken=="])
def test_a_value_that_holds_an_equals_sign_is_a_secret_whole_and_half(
    site: Path, query: str
) -> None:
    assert "t0ken" not in (whole := _run(f"loud://host/?{query}", site))
    assert "s3cret" not in whole
    assert secrets_of("", "", query).sub("***", "a t0ken; a s3cret") == "a ***; a ***"


def test_the_words_of_a_known_parameter_are_no_secrets() -> None:
    run = scrubbed(_refused, secrets_of("", "", "sslmode=require&password=verified"))
    with pytest.raises(CheckFailed, match=r"^SSL was required, ctx \*\*\* not$"):
        run()


def _refused() -> None:
    raise OSError("SSL was required, ctx verified not")


def test_a_short_password_is_not_revealed_by_the_gaps_it_leaves(site: Path) -> None:
    reason = _run("loud://app:a@host/place", site)
    assert "raw <***>; " in reason
    assert "path </place>" in reason


@pytest.mark.parametrize(
    ("scheme", "options", "whole"),
    [
        ("redis", "", b"+PONG\r\n"),
        ("http", "#expect=body=ok", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ],
)
def test_an_answer_that_ends_before_its_last_byte_is_a_failure(
    scheme: str, options: str, whole: bytes
) -> None:
    ends = range(len(whole) + 1)
    left = iter(ends)

    def answer(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(whole[: next(left)])

    with peer(answer) as port:
        verdicts = [verdict(f"{scheme}://127.0.0.1:{port}{options}") for _ in ends]
    assert [end for end, reason in zip(ends, verdicts, strict=True) if not reason] == [len(whole)]


# Each is the begin of an answer that has no end: what its protocol waits for comes byte by byte.
@pytest.mark.parametrize(
    ("scheme", "data"),
    [
        ("redis", b"+x"),
        ("mysql", b"\xff\x00\x00\x00\x0a1"),
        ("postgresql", b"NR\x00\x00\x01\x00\x00\x00\x00\x0a1"),
        *((scheme, b"\x16\x03\x03\x40\x00\x02") for scheme in ("rediss", "tls", "https")),
    ],
)
def test_a_server_that_drips_is_given_up_in_time_by_every_scheme(scheme: str, data: bytes) -> None:
    with dripping(data) as port:
        began = time.monotonic()
        reason = verdict(f"{scheme}://127.0.0.1:{port}#timeout=1")
        assert reason.endswith("timed out")
        assert ".c:" not in reason
        assert time.monotonic() - began < 3
