"""The command `petsage watch`."""

import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import click

from petsage.clock import SystemClock
from petsage.options import seconds
from petsage.rollout import arguments, terms, watch_report
from petsage.rollout.kept import KeptClient
from petsage.rollout.losses import Losses, losses
from petsage.rollout.output import done, err, is_terminal, write_to
from petsage.rollout.watch import MOST_SECONDS, Watch, WatchPlan

EX_LOST = 6


def _rate(text: str) -> float:
    with suppress(ValueError):
        if 1 <= float(text) <= 500:  # click's own range lets NaN pass
            return float(text)
    raise click.BadParameter("it must be a number from 1 to 500")


def _limit(text: str) -> float:
    if (limit := seconds(text)) > MOST_SECONDS:
        raise click.BadParameter(f"it must be {MOST_SECONDS} seconds or less")
    return limit


@click.command("watch", short_help="Measure what users lose while a rollout runs.")
@terms.options
@click.option("--rate", type=_rate, default=20, help="Asks a second: 20.")
@click.option("--for", "limit", type=_limit, metavar="SECONDS", help="No longer than 3600 s.")
@click.option("--until-release", "release", type=arguments.release, help="End once it is proven.")
@click.option("--max-lost", type=click.IntRange(0), default=0, help="How many may be lost: 0.")
@click.option("--max-gap", type=seconds, metavar="SECONDS", help="Longest time without an answer.")
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON document.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    rate: float,
    limit: float | None,
    max_lost: int,
    max_gap: float | None,
    json_wanted: bool,
    **given: Any,
) -> None:
    """Measure what users lose while a rollout runs.

    Asks each TARGET at a steady rate, half on new connections and half on kept ones, whatever the
    answers do. It ends after --for, on SIGINT, or 3 s after the release is proven by the rule of
    smoke-test.

    \b
    Example:
      petsage watch https://pets.example --until-release 2.1.0 --for 600

    \b
    Exit codes:
      0  within bounds
      6  more lost than --max-lost, or a gap longer than --max-gap
    else those of smoke-test, for the release; 130 or 143 if a signal came before the end
    """
    asked = terms.Terms.of(**given)
    plan = WatchPlan(rollout=asked.plan, rate=rate, seconds=limit or MOST_SECONDS)
    began = datetime.now(UTC)
    watch, interrupted = _watched(plan, asked)
    found = losses(watch.asks, watch.asked_until)
    exceeded = _exceeded(found, max_lost, max_gap)
    render = watch_report.as_json if json_wanted else watch_report.as_text
    text = render(found, watch.kind, exceeded, began)
    written = done("standard output", partial(write_to, text, sys.stdout))
    # Without another end, the signal is the end that was meant.
    code = interrupted if limit or asked.plan.release else 0
    ctx.exit(EX_LOST if exceeded else code or watch.kind or (0 if written else os.EX_SOFTWARE))


def _watched(plan: WatchPlan, asked: terms.Terms) -> tuple[Watch, int]:
    """The watch when it is over, and the exit code of the signal that ended it, else 0."""
    _raise_limit_of_descriptors()
    with closing(KeptClient(asked.client)) as kept:
        lines = watch_report.Lines(err, is_terminal(sys.stderr))
        watch = Watch(plan, (asked.client.get, kept.get), asked.resolve, SystemClock(), lines)
        with _stopped_by_signals(watch) as codes, suppress(KeyboardInterrupt):
            watch.run()
    return watch, next(iter(codes), 0)


@contextmanager
def _stopped_by_signals(watch: Watch) -> Iterator[list[int]]:
    """The exit codes of the signals that came: the first one ends the asking, the second one the
    wait for the answers that are still missing."""
    codes: list[int] = []

    def stop(number: int, _frame: object) -> None:
        codes.append(128 + number)
        if watch.stopped:
            raise KeyboardInterrupt
        watch.stopped = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield codes
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _raise_limit_of_descriptors() -> None:
    """All asks of two time-outs may hang: what this machine refuses is no loss of the service."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _exceeded(found: Losses, max_lost: int, max_gap: float | None) -> str:
    lost = found.asks - found.answered
    if lost > max_lost:
        return f"lost {lost}, more than {max_lost}"
    if max_gap is not None and found.gap[0] > max_gap:
        return f"a gap of {found.gap[0]:.3f} s, longer than {max_gap:g} s"
    return ""
