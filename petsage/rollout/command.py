"""The command `petsage smoke-test`: its options, and where its reports go."""

import os
import shutil
import signal
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TextIO

import click

from petsage.baked import baked_release
from petsage.client import Client, Target, resolve
from petsage.contract import Kind
from petsage.errors import terminate
from petsage.options import seconds, seconds_or_0
from petsage.rollout import arguments, progress, report
from petsage.rollout.arguments import Addresses
from petsage.rollout.asking import RolloutPlan
from petsage.rollout.rollout import Outcome, Rollout
from petsage.rollout.rounds import Progress
from petsage.rollout.verdict import system_message

_TERMINATED = 143

COUNT = click.IntRange(1, 10000)


def _junit(ctx: click.Context, _param: object, name: str | None) -> Path | None:
    """Comes before all else, so that no later moment leaves the document of the run before."""
    ctx.with_resource(_signals(ctx))
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
def _signals(ctx: click.Context) -> Iterator[None]:
    """SIGINT and SIGTERM both raise `KeyboardInterrupt`; of SIGTERM the context takes note."""

    def terminated(number: int, frame: object) -> NoReturn:
        ctx.meta[__name__] = _TERMINATED
        terminate(number, frame)

    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: terminated}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


@click.command("smoke-test", short_help="Prove that a deployment answers, on every replica.")
@click.argument("targets", nargs=-1, metavar="TARGET...", callback=arguments.targets)
@click.option("--every-address", is_flag=True, help="Ask each address that a name resolves to.")
@click.option("--instances", type=COUNT, metavar="N", help="Ask on until N instances answered.")
@click.option(
    "--release",
    type=arguments.release,
    default=baked_release,
    help="What each answer must carry. In an image it is by default what that was built as.",
)
@click.option("--consecutive", type=COUNT, metavar="K", help="Want K good rounds in a row.")
@click.option(
    "--wait", "wait_seconds", type=seconds_or_0, metavar="SECONDS", help="Try again for so long."
)
@click.option("--timeout", "timeout_seconds", type=seconds, help="For one whole answer: 5 s.")
@click.option("--max-latency", "max_latency_seconds", type=seconds, help="Slower is a breach.")
@click.option(
    "--resolve", "overrides", type=arguments.override, multiple=True, help="HOST:PORT:ADDRESS[,...]"
)
@click.option("--header", "headers", type=arguments.header, multiple=True, help="'Name: value'")
@click.option("--cacert", metavar="FILE", help="Trust these certificates and no others.")
@click.option("--cert", metavar="FILE", help="The client's certificate, maybe with its key.")
@click.option("--key", metavar="FILE", help="The key of --cert.")
@click.option("--insecure", is_flag=True, help="Accept any certificate.")
@click.option("--json", "json_wanted", is_flag=True, help="Print the outcome as JSON.")
@click.option("--junit", metavar="FILE", is_eager=True, callback=_junit, help="Write JUnit's XML.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    headers: tuple[tuple[str, str], ...],
    overrides: tuple[arguments.Override, ...],
    json_wanted: bool,
    junit: Path | None,
    **wanted: Any,
) -> None:
    """Prove that a deployment answers, on every replica.

    A TARGET is http://HOST[:PORT][/PATH], https://... or unix:/SOCKET[:/PATH]; @FILE and - name
    files of them. The default path is the smoke test's. Where GITHUB_ACTIONS is "true", each
    breach becomes an annotation.

    \b
    Example:
      petsage smoke-test https://pets.example --release 2.1.0 --instances 3 --wait 300

    \b
    Exit codes, of several the first in this order:
      0  proven
      1  answered but wrong
      4  wrong or mixed release
      3  no valid connection
      5  inconclusive: fewer instances, or fewer rounds in a row, than asked for
    130  interrupted; 143 by SIGTERM
    """
    trust = {name: wanted.pop(name) for name in ("cacert", "cert", "key", "insecure")}
    plan = RolloutPlan(**{name: value for name, value in wanted.items() if value is not None})
    client = Client(headers, _tls(plan, **trust))
    known = _overrides(overrides, plan)
    rollout = Rollout(plan, client.get, partial(_resolved, known), _progress(plan))
    if trust["insecure"]:
        _err("WARNING: --insecure: no certificate is checked, anybody may be answering\n")
    outcome = rollout.run()
    written = _reported(outcome, json_wanted, junit)
    if outcome.kind is Kind.INTERRUPTED:
        ctx.exit(ctx.meta.get(__name__, outcome.kind))
    ctx.exit(outcome.kind or (0 if written else os.EX_SOFTWARE))


def _reported(outcome: Outcome, json_wanted: bool, junit: Path | None) -> bool:
    """Whether the reports of the outcome could be written."""
    text = report.as_json(outcome) if json_wanted else report.as_text(outcome)
    written = _done("standard output", partial(_write, text, sys.stdout))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        _err(report.as_annotations(outcome))
    if junit:
        written &= _done(f"--junit {junit}", partial(report.write_junit, junit, outcome))
    return written


def _tls(
    plan: RolloutPlan, *, cacert: str | None, cert: str | None, key: str | None, insecure: bool
) -> ssl.SSLContext | None:
    if key and not cert:
        raise click.UsageError("--key needs --cert")
    if insecure and cacert:
        raise click.UsageError("--insecure and --cacert exclude each other")
    if not any(target.secure for target in plan.targets):
        return None  # to read the root certificates takes longer than a round
    name = "--cacert"
    try:
        context = ssl.create_default_context(cafile=cacert)
        name = "--cert"
        if cert:  # without a password OpenSSL would ask the terminal for one
            context.load_cert_chain(cert, key, password="")
    except OSError as error:
        raise click.UsageError(f"{name} cannot be used: {system_message(error)}") from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _overrides(given: tuple[arguments.Override, ...], plan: RolloutPlan) -> Addresses:
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


def _progress(plan: RolloutPlan) -> Progress:
    if sys.stderr.isatty():
        return progress.Table(_err, shutil.get_terminal_size, time.monotonic)
    return progress.Lines(_err) if plan.wait_seconds or plan.consecutive > 1 else Progress()


def _done(what: str, write: Callable[[], object]) -> bool:
    """Whether `write` succeeded; its error goes to standard error."""
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
