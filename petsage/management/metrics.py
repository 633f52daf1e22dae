"""What Prometheus reads. A scrape is an ask, as a probe is."""

from collections.abc import Iterable
from dataclasses import dataclass

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

_Samples = Iterable[tuple[tuple[str, ...], float]]
"""Each with the values of its labels."""


def registry(health: Health, ledger: Ledger) -> CollectorRegistry:
    """A registry of this instance's own."""
    made = CollectorRegistry()
    made.register(HealthCollector(health, ledger))
    return made


class HealthCollector(Collector):
    """Reads an instance's health. Labels are names of checks, units, and words of PetSage's, all
    bounded: nothing that a client sends becomes one."""

    def __init__(self, health: Health, ledger: Ledger) -> None:
        self._health = health
        self._ledger = ledger

    def collect(self) -> Iterable[Metric]:
        """All families, each with its samples of this moment."""
        scrape = _Scrape.of(self._health, self._ledger)
        for name, (kind, labels, samples) in _FAMILIES.items():
            family = kind(name, " ".join((samples.__doc__ or name).split()), labels=labels)
            for values, number in samples(scrape):
                family.add_metric(values, number)
            yield family
        identity = self._health.identity
        info = {
            "release": identity.release,
            "instance": identity.instance,
            "version": package_version(),
        }
        yield InfoMetricFamily("petsage", "What is running.", info)


@dataclass(frozen=True, slots=True)
class _Scrape:
    """What all families are read from."""

    health: Health
    ledger: Ledger
    results: tuple[Result, ...]
    unknown: tuple[str, ...]
    """Dependencies of which nothing is known: only the smoke test asks for them, and nobody did."""
    pasts: dict[str, Past]
    """Of each check that runs, by name."""
    now: float

    @classmethod
    def of(cls, health: Health, ledger: Ledger) -> "_Scrape":
        monitor = health.monitor
        results = {result.name: result for result in monitor.report(SCRAPE).results}
        now = monitor.clock.now()
        pasts = {check.name: monitor.past(check.name) for check in monitor.checks}
        for check in monitor.checks:  # those of the smoke probe alone are shown, and not run
            if check.name not in results and (last := _last(pasts[check.name], check, now)):
                results[check.name] = last
        external = [check.name for check in monitor.checks if check.external]
        unknown = tuple(name for name in external if name not in results)
        return cls(health, ledger, tuple(results.values()), unknown, pasts, now)

    def statuses(self) -> _Samples:
        """1 for the status that a check has, 0 for the others; all 0 for a dependency that only the
        smoke test asks for, while nothing is known of it."""
        known = ((result.name, result.status) for result in self.results)
        return (
            ((name, status.value), has is status)
            for name, has in (*known, *((name, None) for name in self.unknown))
            for status in Status
        )

    def values(self) -> _Samples:
        """What a check has observed."""
        values = ((result.name, result.value) for result in self.results)
        return (((name, value.unit), value.number) for name, value in values if value)

    def durations(self) -> _Samples:
        """How long a check's last run took."""
        return (((last.name,), last.duration_seconds) for last in self._last_runs())

    def ages(self) -> _Samples:
        """How long ago a check's last run ended."""
        return (((last.name,), max(0.0, self.now - last.at)) for last in self._last_runs())

    def runs(self) -> _Samples:
        """Runs of a check, by outcome."""
        return (
            ((name, status.value), past.runs.get(status, 0))
            for name, past in self.pasts.items()
            for status in Status
        )

    def finished(self) -> _Samples:
        """Seconds since a worker last finished a request."""
        at = self.health.scoreboard.finished_at
        return [((), max(0.0, self.now - at))] if at else []

    def busy_threads(self) -> _Samples:
        """How many threads of an application worker have a request."""
        return [((str(n),), slot.busy) for n, slot in enumerate(self.health.scoreboard.slots(), 1)]

    def oldest_requests(self) -> _Samples:
        """How long an application worker's oldest request runs; 0 if it has none."""
        slots = enumerate(self.health.scoreboard.slots(), 1)
        began = [(str(n), slot.oldest_at) for n, slot in slots]
        return [((name,), max(0.0, self.now - at) if at else 0.0) for name, at in began]

    def draining(self) -> _Samples:
        """1 while the instance drains before its stop."""
        return [((), self.health.scoreboard.draining)]

    def answers(self) -> _Samples:
        """Answers to probes on the management listener, by HTTP status."""
        answers = sorted(self.ledger.answers().items())
        return (((probe, str(code)), count) for (probe, code), count in answers)

    def _last_runs(self) -> Iterable[Result]:
        return (past.results[-1] for past in self.pasts.values() if past.results)


def _last(past: Past, check: Check, now: float) -> Result | None:
    """The last result, if it is not too old to be used."""
    last = past.results[-1] if past.results else None
    return last if last and now - last.at <= check.stale_seconds else None


# Each with its type, its labels, and what yields its samples, whose docstring is its help.
_FAMILIES = {
    "petsage_check_status": (GaugeMetricFamily, ("check", "status"), _Scrape.statuses),
    "petsage_check_value": (GaugeMetricFamily, ("check", "unit"), _Scrape.values),
    "petsage_check_duration_seconds": (GaugeMetricFamily, ("check",), _Scrape.durations),
    "petsage_check_age_seconds": (GaugeMetricFamily, ("check",), _Scrape.ages),
    "petsage_check_runs": (CounterMetricFamily, ("check", "outcome"), _Scrape.runs),
    "petsage_last_request_finished_age_seconds": (GaugeMetricFamily, (), _Scrape.finished),
    "petsage_worker_busy_threads": (GaugeMetricFamily, ("worker",), _Scrape.busy_threads),
    "petsage_worker_oldest_request_seconds": (
        GaugeMetricFamily,
        ("worker",),
        _Scrape.oldest_requests,
    ),
    "petsage_draining": (GaugeMetricFamily, (), _Scrape.draining),
    "petsage_probe_answers": (CounterMetricFamily, ("probe", "code"), _Scrape.answers),
}
