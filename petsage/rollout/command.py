"""The command `petsage smoke-test`: reads what is asked for, and hands it to a rollout."""

import os
import re
import shutil
import signal
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TextIO

import click

from petsage.client import Client, Target, resolve
from petsage.options import seconds, seconds_or_0
from petsage.rollout import report
from petsage.rollout.rounds import Plan, Rollout, Watcher
from petsage.rollout.verdict import why

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_VALUE = re.compile(r"[\t -~\x80-\xff]*")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

EX_SOFTWARE = 70  # the verdict is good, and nobody could be told

COUNT = click.IntRange(1, 10000)

Addresses = dict[tuple[str, int], tuple[str, ...]]


def header(text: str) -> tuple[str, str]:
    """A name and a value, which is never told again."""
    name, colon, value = text.partition(":")
    if not (colon and _TOKEN.fullmatch(name) and _VALUE.fullmatch(value)):
        raise click.BadParameter("it must be of the form 'Name: value', in one line of Latin-1")
    return name, value.strip()


def override(text: str) -> tuple[tuple[str, int], tuple[str, ...]]:
    """A host and a port, and the addresses to use for them."""
    try:
        host, port, addresses = text.split(":", 2)
        found = tuple(str(ip_address(one.strip("[]"))) for one in addresses.split(","))
        return (host.lower(), int(port)), found
    except ValueError:
        raise click.BadParameter("it must be HOST:PORT:ADDRESS[,ADDRESS...]") from None


def release(text: str) -> str:
    """As `PETSAGE_RELEASE`. An empty one is a variable that is not set, and would prove nothing."""
    if not re.fullmatch(r"[!-~]{1,128}", text):
        raise click.BadParameter("it must be 1 to 128 printable ASCII characters without spaces")
    return text


def _targets(_ctx: object, _param: object, values: tuple[str, ...]) -> tuple[Target, ...]:
    """Each once. `@FILE` and `-` stand for targets, a line each; `#` begins a comment line."""
    found: dict[Target, None] = {}
    for value in values:
        if value == "-":
            found |= _listed("standard input", sys.stdin.buffer.read() if sys.stdin else b"")
        elif value.startswith("@"):
            found |= _listed(value[1:], _content(value[1:]))
        else:
            found[_target(value, "")] = None
    if not found:
        raise click.UsageError("no target: name one, as in http://127.0.0.1:8000")
    return tuple(found)


def _content(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise click.UsageError(f"the targets in {name!r}: {error.strerror}") from None


def _listed(name: str, content: bytes) -> dict[Target, None]:
    lines = map(str.strip, content.decode("utf-8-sig", "replace").splitlines())
    found = {
        _target(line, f"{name}, line {number}: "): None
        for number, line in enumerate(lines, 1)
        if line and not line.startswith("#")
    }
    if not found:
        raise click.UsageError(f"{name} holds no target")
    return found


def _target(text: str, where: str) -> Target:
    try:
        return Target.parse(text)
    except ValueError as error:
        # What follows a ? or stands before an @ may be somebody's password.
        named = "a target" if set(text) & set("?@") or len(text) > 200 else ascii(text)
        raise click.UsageError(f"{where}{named}: {error}") from None


def _junit(ctx: click.Context, _param: object, name: str | None) -> Path | None:
    """Before all else: no later moment is to leave the document of the run before."""
    ctx.with_resource(_signals(signal.default_int_handler))
    if name is None:
        return None
    try:
        path = Path(name).resolve()
        odd = any(Path(name).absolute().is_relative_to(one) for one in ("/dev", "/proc"))
        if odd or name in ("", "-") or (path.exists() and not path.is_file()):
            raise click.BadParameter(f"{name!r} is not a file")
        report.write_junit(path, None)
    except OSError as error:
        raise click.BadParameter(f"{name!r}: {error.strerror}") from None
    return path


@contextmanager
def _signals(handler: Callable[..., object]) -> Iterator[None]:
    """SIGINT and SIGTERM both go to the handler."""
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


@click.command("smoke-test")
@click.argument("targets", nargs=-1, metavar="TARGET...", callback=_targets)
@click.option("--every-address", is_flag=True, help="Ask each address that a name resolves to.")
@click.option("--instances", metavar="N", type=COUNT, help="So many must answer, each target.")
@click.option("--release", type=release, help="Each answer must carry it.")
@click.option(
    "--consecutive", metavar="K", type=COUNT, help="Good passes in a row, 0.5 to 1 s apart."
)
@click.option(
    "--wait",
    "wait_seconds",
    type=seconds_or_0,
    metavar="SECONDS",
    help="Wait for what can heal, this long in all.",
)
@click.option("--timeout", "timeout_seconds", type=seconds, help="For one whole answer: 5 s.")
@click.option("--max-latency", "max_latency_seconds", type=seconds, help="Slower is a breach.")
@click.option(
    "--resolve", "overrides", type=override, multiple=True, help="HOST:PORT:ADDRESS[,...]"
)
@click.option("--header", "headers", type=header, multiple=True, help="'Name: value'")
@click.option("--cacert", metavar="FILE", help="Trust these certificates and no others.")
@click.option("--cert", metavar="FILE", help="The client's certificate, maybe with its key.")
@click.option("--key", metavar="FILE", help="The key of --cert.")
@click.option("--insecure", is_flag=True, help="Check no certificate.")
@click.option("--json", "json_wanted", is_flag=True, help="Print the result as JSON.")
@click.option(
    "--junit", metavar="FILE", is_eager=True, callback=_junit, help="Write a JUnit document."
)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    headers: tuple[tuple[str, str], ...],
    overrides: tuple[tuple[tuple[str, int], tuple[str, ...]], ...],
    json_wanted: bool,
    junit: Path | None,
    **wanted: Any,
) -> None:
    """Prove a deployment: whether each TARGET answers the smoke test.

    A TARGET is http://HOST[:PORT][/PATH], https://... or unix:/SOCKET[:/PATH]; @FILE and - name
    files of them. Without a path, the smoke test's is asked. Where GITHUB_ACTIONS is "true", each
    breach becomes an annotation.

    \b
    Exit codes, of several the first in this order:
      0  proven
      1  answered but wrong
      4  wrong or mixed release
      3  no valid connection
      5  inconclusive: fewer instances, or fewer passes in a row, than asked for
    130  interrupted
    """
    trust = {name: wanted.pop(name) for name in ("cacert", "cert", "key", "insecure")}
    plan = Plan(**{name: value for name, value in wanted.items() if value is not None})
    client = Client(headers, _tls(plan, **trust))
    known = _overrides(overrides, plan)
    rollout = Rollout(plan, client.get, partial(_resolved, known), _watcher(plan))
    if trust["insecure"]:
        _err("WARNING: --insecure: no certificate is checked, anybody may be answering\n")
    with _signals(partial(_interrupt, rollout)):
        outcome = rollout.run()
        text = report.as_json(outcome) if json_wanted else report.as_text(outcome)
        told = _done("standard output", partial(_write, text, sys.stdout))
        if os.environ.get("GITHUB_ACTIONS") == "true":
            _err(report.as_annotations(outcome))
        if junit:
            told &= _done(f"--junit {junit}", partial(report.write_junit, junit, outcome))
    ctx.exit(outcome.kind or (0 if told else EX_SOFTWARE))


def _tls(
    plan: Plan, *, cacert: str | None, cert: str | None, key: str | None, insecure: bool
) -> ssl.SSLContext | None:
    if key and not cert:
        raise click.UsageError("--key needs --cert")
    if insecure and cacert:
        raise click.UsageError("--insecure and --cacert exclude each other")
    if not any(target.secure for target in plan.targets):
        return None  # to read the root certificates takes longer than a pass
    name = "--cacert"
    try:
        context = ssl.create_default_context(cafile=cacert)
        name = "--cert"
        if cert:  # without a password OpenSSL would ask the terminal for one
            context.load_cert_chain(cert, key, password="")
    except OSError as error:
        raise click.UsageError(f"{name} cannot be used: {why(error)}") from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _overrides(given: tuple[tuple[tuple[str, int], tuple[str, ...]], ...], plan: Plan) -> Addresses:
    asked = {(target.host, target.port) for target in plan.targets}
    found: Addresses = {}
    for (host, port), addresses in given:
        if (host, port) not in asked:
            raise click.UsageError(f"--resolve {host}:{port} is no target's host and port")
        known = found.get((host, port), ())
        found[host, port] = tuple(dict.fromkeys(known + addresses))
    return found


def _resolved(known: Addresses, target: Target, seconds: float) -> tuple[str, ...]:
    if target.unix_path:
        return ()
    return known.get((target.host, target.port)) or resolve(target.host, seconds)


def _watcher(plan: Plan) -> Watcher:
    if sys.stderr.isatty():
        return report.LiveTable(_err, shutil.get_terminal_size, time.monotonic)
    return report.QuietLines(_err) if plan.wait_seconds or plan.consecutive > 1 else Watcher()


def _interrupt(rollout: Rollout, _number: int, _frame: object) -> None:
    """The first signal ends the rollout, and what is known is told; the second all."""
    for number in _SIGNALS:
        signal.signal(number, signal.default_int_handler)
    rollout.interrupt()


def _done(what: str, write: Callable[[], object]) -> bool:
    """Whether that could be written; what could not is told."""
    try:
        write()
    except BrokenPipeError:
        pass  # who reads has read enough
    except OSError as error:
        _err(f"petsage: {what}: {error.strerror}\n")
        return False
    return True


def _err(text: str) -> None:
    with suppress(OSError):
        _write(text, sys.stderr)


def _write(text: str, stream: TextIO) -> None:
    try:
        click.echo(text, file=stream, nl=False)
    except OSError:
        # What is left in its buffer would fail again at the end, and replace the exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise
