"""Promises to Prometheus: promtool finds nothing to mend, a real one scrapes, the alerts fire."""

import signal
import subprocess
from contextlib import ExitStack, contextmanager

import pytest
import yaml

from tests.e2e import servers
from tests.support import PETSAGE, free_port, get, running, served, tool, wait_until


def printed(name):
    return subprocess.check_output([PETSAGE, "deploy", name], text=True)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """An instance with a check of each status, that has been asked."""
    folder = tmp_path_factory.mktemp("metrics")
    (folder / "shop.py").write_text(
        "from flask import Flask\n"
        "from petsage import Check, CheckFailed, health\n"
        "def down():\n"
        "    raise CheckFailed('down')\n"
        "app = Flask('shop')\n"
        "health.init_app(app, [Check('stock', lambda: None), Check('till', down),\n"
        "    Check('cache', down, critical=False)])\n"
    )
    with served(folder, "shop:app", cwd=folder, workers=1, instance="i1", release="r1") as running:
        assert get(f"{running.management}/readyz").status == 503
        yield running


def test_promtool_finds_nothing_to_mend(service):
    text = get(f"{service.management}/metrics").data
    done = subprocess.run([tool("promtool"), "check", "metrics"], input=text, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@contextmanager
def prometheus(folder, target):
    """A real Prometheus with the printed configuration, but with this target and shorter times."""
    text = printed("prometheus")
    for old, new in (("127.0.0.1:8001", target), ("_interval: 15s", "_interval: 500ms")):
        assert old in text
        text = text.replace(old, new)
    (folder / "prometheus.yaml").write_text(text)
    alerts = printed("alerts")
    for long, short in (("for: 1m", "for: 1s"), ("for: 5m", "for: 1s")):
        assert long in alerts
        alerts = alerts.replace(long, short)
    (folder / "alerts.yaml").write_text(alerts)
    address = f"127.0.0.1:{free_port()}"
    command = [
        tool("prometheus"),
        f"--config.file={folder}/prometheus.yaml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
        "--log.level=error",
    ]
    with running(command, signal.SIGTERM):
        wait_until(lambda: get(f"http://{address}/-/ready").status == 200, seconds=30)
        yield f"http://{address}"


def test_a_real_prometheus_scrapes_it_and_alerts_while_a_database_that_nobody_probes_is_dead(
    tmp_path,
):
    with ExitStack() as stack:
        database = stack.enter_context(servers.postgresql())
        login = f"{database.user}:{database.password}@{servers.HOST}:{database.port}"
        checks = f"database=postgresql://{login}/postgres#timeout=1&fresh=1&stale=2"
        checks += " partner=tcp://127.0.0.1:9#probes=smoke"
        unknown = ("PetSageCheckUnknown", "partner")
        service = stack.enter_context(
            served(tmp_path, workers=1, checks=checks, instance="i1", release="r1")
        )
        target = service.management.removeprefix("http://")
        url = stack.enter_context(prometheus(tmp_path, target))

        def ask(query):
            return get(f"{url}/api/v1/query", fields={"query": query}).json()["data"]["result"]

        def firing():
            alerts = ask('ALERTS{alertstate="firing"}')
            return {(a["metric"]["alertname"], a["metric"].get("check")) for a in alerts}

        well = 'petsage_check_status{check="database",status="pass"} == 1'
        wait_until(lambda: ask(well) and firing() == {unknown}, seconds=30)
        ((info,), (probes,)) = ask("petsage_info"), ask("petsage_probe_answers_total")
        assert info["metric"]["release"] == "r1"
        assert (info["metric"]["instance"], info["metric"]["exported_instance"]) == (target, "i1")
        assert (probes["metric"]["probe"], probes["metric"]["code"]) == ("startup", "200")
        database.process.send_signal(signal.SIGSTOP)
        try:
            wait_until(lambda: firing() == {("PetSageCheckFails", "database"), unknown}, seconds=30)
        finally:
            database.process.send_signal(signal.SIGCONT)
        wait_until(lambda: ask(well) and firing() == {unknown}, seconds=30)


def series(name, values, **labels):
    pairs = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return {"series": f"{name}{{{pairs}}}", "values": values}


UP = series("up", "1x60", job="petsage", instance="a")


def status_series(check, *values):
    """The series of a check: of its passes, its warnings and its failures."""
    pairs = zip(("pass", "warn", "fail"), values, strict=True)
    return [check_series(check, one, status) for status, one in pairs]


def check_series(check, values, status="fail"):
    return series("petsage_check_status", values, check=check, status=status, instance="a")


# For each alert: series, sampled each minute; when it must be silent, when it must fire.
ALERTS = {
    "PetSageDown": ([series("up", "1 0x9", job="petsage", instance="a")], "1m", "2m"),
    "PetSageStuck": ([check_series("workers", "0 1x9")], "1m", "2m"),
    "PetSageCheckFails": ([check_series("database", "0 1x9")], "1m", "2m"),
    "PetSageCheckWarns": ([check_series("cache", "0 1x20", "warn")], "10m", "11m"),
    "PetSageCheckUnknown": (status_series("partner", "1 0x20", "0x20", "0x20"), "5m", "6m"),
    "PetSageCheckFlaps": (
        [
            series("petsage_check_runs_total", "0+8x90", check="c", outcome="pass", instance="a"),
            series("petsage_check_runs_total", "0+2x90", check="c", outcome="fail", instance="a"),
        ],
        "20m",
        "50m",
    ),
    "PetSageDrainsOnAndOn": ([series("petsage_draining", "0 1x20", instance="a")], "10m", "11m"),
    "PetSageMixedReleases": (
        [
            series("petsage_info", "1x60", release="r1", instance="a"),
            series("petsage_info", "1x60", release="r2", instance="b"),
        ],
        "29m",
        "30m",
    ),
}
WELL = [
    UP,
    *status_series("workers", "1x90", "0x90", "0x90"),
    *status_series("database", "1x90", "0x90", "0x90"),
    *status_series("drain", "1x90", "0x90", "0x90"),
    series("petsage_check_runs_total", "0+10x90", check="c", outcome="pass", instance="a"),
    series("petsage_check_runs_total", "0x90", check="c", outcome="fail", instance="a"),
    series("petsage_draining", "0x90", instance="a"),
    series("petsage_info", "1x90", release="r1", instance="a"),
    series("petsage_info", "1x90", release="r1", instance="b"),
]


def names():
    return [rule["alert"] for rule in yaml.safe_load(printed("alerts"))["groups"][0]["rules"]]


def test_every_alert_is_tested_below():
    assert names() == list(ALERTS)


def rules_test(folder, tests):
    """Runs `promtool test rules`. Each test has its series, and for each time how many of each
    alert must fire."""
    (folder / "alerts.yaml").write_text(printed("alerts"))
    content = {"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": tests}
    (folder / "test.yaml").write_text(yaml.safe_dump(content))
    return subprocess.run(
        [tool("promtool"), "test", "rules", "test.yaml"], cwd=folder, capture_output=True, text=True
    )


def firing(alert, at, count):
    """The expectation that so many alerts of this name fire at this time."""
    selector = f'ALERTS{{alertname="{alert}",alertstate="firing"}}'
    return {
        "expr": f"count({selector}) or vector(0)",
        "eval_time": at,
        "exp_samples": [{"labels": "{}", "value": count}],
    }


@pytest.mark.parametrize("alert", list(ALERTS))
def test_an_alert_fires_in_time_and_not_before(tmp_path, alert):
    given, silent, fires = ALERTS[alert]
    expected = [firing(alert, silent, 0), firing(alert, fires, 1)]
    done = rules_test(
        tmp_path, [{"interval": "1m", "input_series": given, "promql_expr_test": expected}]
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_alert_fires_while_all_is_well(tmp_path):
    expected = [firing(alert, at, 0) for alert in names() for at in ("5m", "30m", "80m")]
    done = rules_test(
        tmp_path, [{"interval": "1m", "input_series": WELL, "promql_expr_test": expected}]
    )
    assert done.returncode == 0, done.stdout + done.stderr


def pod(name, values, namespace, **labels):
    """A series with the labels that the Prometheus operator gives for a PodMonitor."""
    job = f"{namespace}/shop"
    pod = labels.pop("pod", "shop-1")
    return series(
        name, values, job=job, namespace=namespace, pod=pod, instance="10.0.0.1", **labels
    )


def test_whatever_the_job_is_called_a_pod_that_is_down_is_named(tmp_path):
    given = [
        pod("up", "1 0x9", "production"),
        pod("petsage_info", "1 _x9", "production", release="r1"),
        pod("up", "1x9", "staging"),
        pod("petsage_info", "1x9", "staging", release="r1"),
        series("up", "0x9", job="somebody-elses", instance="b"),
    ]
    alert = {"severity": "critical", "job": "production/shop", "namespace": "production"}
    expected = {
        "eval_time": "3m",
        "alertname": "PetSageDown",
        "exp_alerts": [
            {
                "exp_labels": {**alert, "pod": "shop-1", "instance": "10.0.0.1"},
                "exp_annotations": {
                    "summary": "production/shop-1 does not answer on its management listener"
                },
            }
        ],
    }
    done = rules_test(
        tmp_path, [{"interval": "1m", "input_series": given, "alert_rule_test": [expected]}]
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_two_releases_in_two_namespaces_are_not_mixed(tmp_path):
    given = [
        pod("petsage_info", "1x60", "production", release="r1"),
        pod("petsage_info", "1x60", "staging", release="r2"),
    ]
    mixed = [*given, pod("petsage_info", "1x60", "staging", release="r1", pod="shop-2")]
    for found, count in ((given, 0), (mixed, 1)):
        expected = [firing("PetSageMixedReleases", "50m", count)]
        done = rules_test(
            tmp_path, [{"interval": "1m", "input_series": found, "promql_expr_test": expected}]
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_drain_of_the_usual_length_alerts_nobody(tmp_path):
    drain = status_series("drain", "1 0x4 1x20", "0x25", "0 1x4 0x20")
    given = [*drain, series("petsage_draining", "0 1x4 0x20")]
    expected = [firing(alert, at, 0) for alert in names() for at in ("2m", "4m", "15m")]
    done = rules_test(
        tmp_path, [{"interval": "1m", "input_series": given, "promql_expr_test": expected}]
    )
    assert done.returncode == 0, done.stdout + done.stderr
