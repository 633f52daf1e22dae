"""The command `petsage smoke-test`: its options, and where its reports go."""

import os
import shutil
import sys
import time
from functools import partial
from pathlib import Path
from signal import SIGINT, SIGTERM, default_int_handler
from typing import Any

import click

from petsage.errors import terminate
from petsage.options import seconds_or_0
from petsage.release import baked_release
from petsage.rollout import document, progress, report, target_options
from petsage.rollout.asking import Progress
from petsage.rollout.output import done, err, handled, is_terminal, out
from petsage.rollout.rollout import Outcome, Rollout

_COUNT = click.IntRange(1, 10000)


def _junit(_ctx: object, _param: object, name: str | None) -> Path | None:
    try:
        return None if name is None else document.reserve(name)
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{name!r}: {getattr(error, 'strerror', error)}") from None


@click.command("smoke-test", short_help="Prove that a deployment answers, on every replica.")
@target_options.options
@click.option("--instances", type=_COUNT, metavar="N", help="Ask until N instances have answered.")
@click.option(
    "--release",
    type=target_options.release,
    default=baked_release,
    help="The release that each answer must carry. Default: in an image the one it was built with.",
)
@click.option("--consecutive", type=_COUNT, metavar="K", help="Good rounds in a row. Default: 1.")
@click.option(
    "--wait",
    "wait_seconds",
    type=seconds_or_0,
    metavar="SECONDS",
    help="How long to try again. Default: 0.",
)
@click.option(
    "--junit", metavar="FILE", callback=_junit, help="Write the outcome as JUnit's XML too."
)
@click.pass_context
def command(ctx: click.Context, /, json_wanted: bool, junit: Path | None, **given: Any) -> None:
    """Prove that a deployment answers, on every replica.

    A TARGET is http://HOST[:PORT][/PATH], https://... or unix:/SOCKET[:/PATH]. @FILE reads targets
    from a file, and - from standard input: one on each line. The default path is the smoke test's.
    If the variable GITHUB_ACTIONS is "true", each breach is an annotation too.

    \b
    Example:
      petsage smoke-test https://pets.example --release 2.1.0 --instances 3 --wait 300

    \b
    Exit codes; if several apply, the first in this order:
      0  proven
      1  answered but wrong
      4  wrong or mixed release
      3  no valid connection
      5  inconclusive: fewer instances, or fewer rounds in a row, than asked for
    130  interrupted; 143 by SIGTERM
    """
    plan, client, names = target_options.read(**given)
    lines = _progress(bool(plan.wait_seconds or plan.consecutive > 1))
    rollout = Rollout(plan, client.get, names.resolve, lines)
    with handled({SIGINT: default_int_handler, SIGTERM: terminate}):
        outcome = rollout.run()
        written = _reported(outcome, json_wanted, junit)
    ctx.exit(outcome.kind or (0 if written else os.EX_SOFTWARE))


def _reported(outcome: Outcome, json_wanted: bool, junit: Path | None) -> bool:
    """Writes the reports of the outcome; returns whether all of them could be written."""
    written = out(report.as_json(outcome) if json_wanted else report.as_text(outcome))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        err(report.as_annotations(outcome))
    if junit:
        write = partial(document.write, junit, report.as_junit(outcome))
        written &= done(f"--junit {junit}", write)
    return written


def _progress(several_rounds: bool) -> Progress:
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb"
    if is_terminal(sys.stderr) and not plain:
        return progress.Table(err, shutil.get_terminal_size, time.monotonic)
    return progress.RoundLines(err) if several_rounds else Progress()
