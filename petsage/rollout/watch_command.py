"""The command `petsage watch`."""

import os
import resource
import sys
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from signal import SIGINT, SIGTERM
from typing import Any

import click

from petsage.clock import SystemClock
from petsage.options import seconds
from petsage.rollout import target_options, watch_report
from petsage.rollout.losses import Losses
from petsage.rollout.output import err, handled, is_terminal, out
from petsage.rollout.watch import Watch

EX_LOST = 6
_COUNT, _RATE = click.IntRange(0), click.IntRange(1, 500)

MOST_SECONDS = 3600
"""How long a watch lasts that nothing else ends."""


@click.command("watch", short_help="Measure what users lose while a rollout runs.")
@target_options.options
@click.option(
    "--rate", type=_RATE, metavar="N", default=20, help="How many asks a second. Default: 20."
)
@click.option("--for", "limit", type=seconds, help="How long at most. Default: 3600.")
@click.option(
    "--until-release", "release", type=target_options.release, help="End once it is proven."
)
@click.option(
    "--max-lost", type=_COUNT, metavar="N", default=0, help="How many asks may be lost. Default: 0."
)
@click.option(
    "--max-gap",
    type=seconds,
    default="86400",
    help="Longest time without a good answer. Default: 86400.",
)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    rate: int,
    limit: float | None,
    max_lost: int,
    max_gap: float,
    json_wanted: bool,
    **given: Any,
) -> None:
    """Measure what users lose while a rollout runs.

    Sends asks to the TARGETs at a steady rate, whatever the answers do: half on new connections and
    half on kept ones. It ends after the seconds of --for, on SIGINT, or 3 s after the release is
    proven by the rule of smoke-test.

    \b
    Example:
      petsage watch https://pets.example --until-release 2.1.0 --for 600

    \b
    Exit codes:
      0  within bounds
      6  more lost than --max-lost, or a gap longer than --max-gap
    otherwise those of smoke-test, for the release; 130 or 143 if a signal came before the end
    """
    plan, client, names = target_options.read(**given)
    lines = watch_report.WatchLines(err, is_terminal(sys.stderr))
    began = datetime.now(UTC)
    with closing(replace(client, keeps=True)) as kept:
        watch = Watch(plan, (client.get, kept.get), names.resolve, SystemClock(), lines)
        interrupted = _watched(watch, rate, limit or MOST_SECONDS)
    exceeded = _exceeded(watch.losses, max_lost, max_gap)
    render = watch_report.as_json if json_wanted else watch_report.as_text
    written = out(render(watch.losses, watch.kind, exceeded, began))
    # If nothing else could end the watch, the signal was meant as its end, not as an interruption.
    code = interrupted if limit or plan.release else 0
    ctx.exit(EX_LOST if exceeded else code or watch.kind or (0 if written else os.EX_SOFTWARE))


def _watched(watch: Watch, rate: int, limit: float) -> int:
    """Runs the watch; returns the exit code of the signal that ended it, else 0."""
    codes: list[int] = []

    def stop(number: int, _frame: object) -> None:
        """The first signal ends the asking, the second one ends the wait for the last answers."""
        codes.append(128 + number)
        if watch.stopped:
            raise KeyboardInterrupt
        watch.stopped = True

    _raise_descriptor_limit()
    with suppress(KeyboardInterrupt), handled({SIGINT: stop, SIGTERM: stop}):
        watch.run(rate, limit)
    return next(iter(codes), 0)


def _raise_descriptor_limit() -> None:
    # All asks of two time-outs may hang at once. One that this machine cannot even send would
    # count as a loss of the service.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _exceeded(losses: Losses, max_lost: int, max_gap: float) -> str:
    """Which bound was exceeded, in words; empty if none was."""
    if (lost := losses.asks - losses.answered) > max_lost:
        return f"lost {lost}, more than {max_lost}"
    if losses.gap[0] > max_gap:
        return f"a gap of {losses.gap[0]:.3f} s, longer than {max_gap:g} s"
    return ""
