"""What Prometheus reads. A scrape asks for a report, as a probe does."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric

from petsage.checks import Result, Status
from petsage.config import package_version
from petsage.health.history import Past
from petsage.health.report import SCRAPE
from petsage.health.service import Health
from petsage.management.ledger import Ledger

_Samples = Iterable[tuple[tuple[str, ...], float]]
"""Each sample is the values of its labels, and its number."""


@dataclass(frozen=True, slots=True)
class Scrape:
    """What all families are read from. Labels are names of checks, units, and words of PetSage's,
    all bounded: nothing that a client sends becomes one."""

    health: Health
    ledger: Ledger
    now: float
    results: Mapping[str, Result]
    """What is known of each check and condition, by name."""
    pasts: Mapping[str, Past]
    """What is remembered of each check, by name."""
    last: Mapping[str, Result]
    """The result of each check's last run, by name, if it has run."""

    @classmethod
    def of(cls, health: Health, ledger: Ledger) -> "Scrape":
        """Asks for a report. Of checks that only the smoke probe runs, the last result counts."""
        monitor = health.monitor
        reported = {result.name: result for result in monitor.report(SCRAPE).results}
        now = monitor.clock.now()
        pasts = {check.name: monitor.past(check.name) for check in monitor.checks}
        last = {name: past.results[-1] for name, past in pasts.items() if past.results}
        oldest = {check.name: now - check.stale_seconds for check in monitor.checks}
        usable = {name: result for name, result in last.items() if result.at >= oldest[name]}
        return cls(health, ledger, now, usable | reported, pasts, last)

    def collect(self) -> Iterable[Metric]:
        """All families, each with its samples of this moment."""
        for name, (kind, labels, samples) in _FAMILIES.items():
            family = kind(name, " ".join((samples.__doc__ or name).split()), labels=labels)
            for values, number in samples(self):
                family.add_metric(values, number)
            yield family
        info = {**asdict(self.health.identity), "version": package_version()}
        yield InfoMetricFamily("petsage", "What is running.", info)

    def statuses(self) -> _Samples:
        """1 for the status that a check has, 0 for the others; all 0 for a dependency that only the
        smoke test asks for, while nothing is known of it."""
        external = {check.name: None for check in self.health.monitor.checks if check.external}
        known = {name: result.status for name, result in self.results.items()}
        return (
            ((name, status.value), has is status)
            for name, has in {**external, **known}.items()
            for status in Status
        )

    def values(self) -> _Samples:
        """What a check has observed."""
        values = ((name, result.value) for name, result in self.results.items())
        return (((name, value.unit), value.number) for name, value in values if value)

    def durations(self) -> _Samples:
        """How long a check's last run took."""
        return (((name,), last.duration_seconds) for name, last in self.last.items())

    def ages(self) -> _Samples:
        """How long ago a check's last run ended."""
        return (((name,), max(0.0, self.now - last.at)) for name, last in self.last.items())

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

    def oldest(self) -> _Samples:
        """How long an application worker's oldest request has run; 0 if it has none."""
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


# Each family: its type, its labels, and the method of its samples, whose docstring is its help.
_FAMILIES = {
    "petsage_check_status": (GaugeMetricFamily, ("check", "status"), Scrape.statuses),
    "petsage_check_value": (GaugeMetricFamily, ("check", "unit"), Scrape.values),
    "petsage_check_duration_seconds": (GaugeMetricFamily, ("check",), Scrape.durations),
    "petsage_check_age_seconds": (GaugeMetricFamily, ("check",), Scrape.ages),
    "petsage_check_runs": (CounterMetricFamily, ("check", "outcome"), Scrape.runs),
    "petsage_last_request_finished_age_seconds": (GaugeMetricFamily, (), Scrape.finished),
    "petsage_worker_busy_threads": (GaugeMetricFamily, ("worker",), Scrape.busy_threads),
    "petsage_worker_oldest_request_seconds": (GaugeMetricFamily, ("worker",), Scrape.oldest),
    "petsage_draining": (GaugeMetricFamily, (), Scrape.draining),
    "petsage_probe_answers": (CounterMetricFamily, ("probe", "code"), Scrape.answers),
}
