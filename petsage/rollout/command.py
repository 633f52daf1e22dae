"""The command `petsage smoke-test`: its options, and where its reports go."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click

from petsage.baked import baked_release
from petsage.contract import Kind
from petsage.errors import terminate
from petsage.options import seconds_or_0
from petsage.rollout import arguments, document, progress, report, terms
from petsage.rollout.asking import RolloutPlan
from petsage.rollout.output import done, err, is_terminal, write_to
from petsage.rollout.rollout import Outcome, Rollout
from petsage.rollout.rounds import Progress

_TERMINATED = 143

COUNT = click.IntRange(1, 10000)


def _junit(ctx: click.Context, _param: object, name: str | None) -> Path | None:
    """Comes before all else, so that no later moment leaves the document of the run before."""
    ctx.with_resource(signals(ctx))
    if name is None:
        return None
    try:
        return document.reserve(name)
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{name!r}: {getattr(error, 'strerror', error)}") from None


@contextmanager
def signals(ctx: click.Context) -> Iterator[None]:
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


def interrupted_by(ctx: click.Context) -> int:
    """The exit code for the signal that raised `KeyboardInterrupt`."""
    return int(ctx.meta.get(__name__, Kind.INTERRUPTED))


@click.command("smoke-test", short_help="Prove that a deployment answers, on every replica.")
@terms.options
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
@click.option("--json", "json_wanted", is_flag=True, help="Print the outcome as JSON.")
@click.option("--junit", metavar="FILE", is_eager=True, callback=_junit, help="Write JUnit's XML.")
@click.pass_context
def command(ctx: click.Context, /, json_wanted: bool, junit: Path | None, **given: Any) -> None:
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
    asked = terms.Terms.of(**given)
    rollout = Rollout(
        asked.plan, asked.client.get, asked.resolve, _progress(asked.plan), known=asked.known
    )
    outcome = rollout.run()
    written = _reported(outcome, json_wanted, junit)
    if outcome.kind is Kind.INTERRUPTED:
        ctx.exit(interrupted_by(ctx))
    ctx.exit(outcome.kind or (0 if written else os.EX_SOFTWARE))


def _reported(outcome: Outcome, json_wanted: bool, junit: Path | None) -> bool:
    """Whether the reports of the outcome could be written."""
    text = report.as_json(outcome) if json_wanted else report.as_text(outcome)
    written = done("standard output", partial(write_to, text, sys.stdout))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        err(report.as_annotations(outcome))
    if junit:
        write = partial(document.write, junit, report.as_junit(outcome))
        written &= done(f"--junit {junit}", write)
    return written


def _progress(plan: RolloutPlan) -> Progress:
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb"
    if is_terminal(sys.stderr) and not plain:
        return progress.Table(err, shutil.get_terminal_size, time.monotonic)
    return progress.Lines(err) if plan.wait_seconds or plan.consecutive > 1 else Progress()
