"""What Prometheus reads: a scrape is an ask, as a probe is."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from petsage.checks import Check, Result, Status
from petsage.config import package_version
from petsage.health.history import Past
from petsage.health.report import SCRAPE
from petsage.health.service import Health
from petsage.management.ledger import Ledger


def registry(health: Health, ledger: Ledger) -> CollectorRegistry:
    """A registry of this instance's own."""
    made = CollectorRegistry()
    made.register(HealthCollector(health, ledger))
    return made


class HealthCollector(Collector):
    """Reads an instance's health. Labels are names of checks and words of PetSage's, all bounded:
    nothing that a client sends becomes one."""

    def __init__(self, health: Health, ledger: Ledger) -> None:
        self._health = health
        self._ledger = ledger

    def collect(self) -> Iterable[Metric]:
        """All families, each with its samples of this moment."""
        yield from self._checks()
        yield from self._instance()
        answers = CounterMetricFamily(
            "petsage_probe_answers",
            "Answers to probes on the management listener, by HTTP status.",
            labels=["probe", "code"],
        )
        for (probe, code), count in sorted(self._ledger.answers().items()):
            answers.add_metric([probe, str(code)], count)
        yield answers

    def _checks(self) -> Iterator[Metric]:
        monitor = self._health.monitor
        results = {result.name: result for result in monitor.report(SCRAPE).results}
        now = monitor.clock.now()
        pasts = {check.name: monitor.past(check.name) for check in monitor.checks}
        for check in monitor.checks:  # those of the smoke probe alone are shown, and not run
            if check.name not in results and (last := _last(pasts[check.name], check, now)):
                results[check.name] = last
        yield from _results(results.values())
        yield from _runs(pasts, now)

    def _instance(self) -> Iterator[Metric]:
        health = self._health
        finished = GaugeMetricFamily(
            "petsage_last_request_finished_age_seconds",
            "Seconds since a worker last finished a request.",
        )
        if at := health.scoreboard.finished_at:
            finished.add_metric([], max(0.0, health.monitor.clock.now() - at))
        yield finished
        yield GaugeMetricFamily(
            "petsage_draining",
            "1 while the instance drains before its stop.",
            health.scoreboard.draining,
        )
        yield InfoMetricFamily(
            "petsage",
            "What is running.",
            {
                "release": health.config.release,
                "instance": health.config.instance,
                "version": package_version(),
            },
        )


def _last(past: Past, check: Check, now: float) -> Result | None:
    """The last result, if it is not too old to be used."""
    last = past.results[-1] if past.results else None
    return last if last and now - last.at <= check.stale_seconds else None


def _results(results: Iterable[Result]) -> Iterator[Metric]:
    status = GaugeMetricFamily(
        "petsage_check_status",
        "1 for the status that a check has, 0 for the others. A check that only the smoke test asks"
        " for is left out while nothing is known of it.",
        labels=["check", "status"],
    )
    value = GaugeMetricFamily(
        "petsage_check_value", "What a check has observed.", labels=["check", "unit"]
    )
    for result in results:
        for one in Status:
            status.add_metric([result.name, one.value], result.status is one)
        if result.value:
            value.add_metric([result.name, result.value.unit], result.value.number)
    yield from (status, value)


def _runs(pasts: dict[str, Past], now: float) -> Iterator[Metric]:
    duration = GaugeMetricFamily(
        "petsage_check_duration_seconds", "How long a check's last run took.", labels=["check"]
    )
    age = GaugeMetricFamily(
        "petsage_check_age_seconds", "How long ago a check's last run ended.", labels=["check"]
    )
    runs = CounterMetricFamily(
        "petsage_check_runs", "Runs of a check, by outcome.", labels=["check", "outcome"]
    )
    for name, past in pasts.items():
        if past.results:
            duration.add_metric([name], past.results[-1].duration_seconds)
            age.add_metric([name], max(0.0, now - past.results[-1].at))
        for outcome in Status:
            runs.add_metric([name, outcome.value], past.runs.get(outcome, 0))
    yield from (duration, age, runs)
