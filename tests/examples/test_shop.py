"""Promises to an application of somebody else's, kept for a real one: the shop."""

import json
import subprocess
import threading
from pathlib import Path

import pytest
import redis
from sqlalchemy.pool import QueuePool

from tests.e2e import servers
from tests.support import PETSAGE, environment_of, get, served, wait_until

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def running():
    """The servers that the shop needs: a real PostgreSQL and a real Redis."""
    with servers.postgresql() as database, servers.redis() as queue:
        login = f"{database.user}:{database.password}@{servers.HOST}:{database.port}"
        yield {
            "SHOP_DATABASE": f"postgresql+psycopg://{login}/postgres",
            "SHOP_REDIS": f"redis://:{queue.password}@{servers.HOST}:{queue.port}",
        }


@pytest.fixture
def backing(running):
    """The shop's environment. No order of another test waits in its queue."""
    with redis.Redis.from_url(running["SHOP_REDIS"]) as client:
        client.flushall()
    return running


@pytest.fixture
def app(backing, monkeypatch):
    for name, value in backing.items():
        monkeypatch.setenv(name, value)
    from tests.examples.shop import create_app
    from tests.examples.shop.checks import queue

    queue.cache_clear()
    app = create_app()
    yield app
    from tests.examples.shop.database import db

    with app.app_context():
        db.engine.dispose()
    queue().close()


def test_a_thousand_runs_of_a_database_check_leave_no_connection_checked_out(app):
    from tests.examples.shop.database import db

    health = app.extensions["petsage"]
    (check,) = [one for one in health.monitor.checks if one.name == "database"]
    threads = [threading.Thread(target=lambda: [check.run() for _ in range(250)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with app.app_context():
        pool = db.engine.pool
        assert isinstance(pool, QueuePool)
        assert pool.checkedout() == 0
        assert pool.checkedin() <= pool.size()
    assert not health.report("ready", ["database"]).failed


@pytest.mark.parametrize(
    ("waiting", "status", "reason"),
    [(3, "pass", ""), (100, "warn", "packing is slow"), (1000, "fail", "nobody packs")],
)
def test_the_check_of_the_queue_has_two_levels_and_a_value(app, waiting, status, reason):
    from tests.examples.shop.checks import queue

    queue().rpush("orders", *["order"] * waiting)
    (result,) = app.extensions["petsage"].report("ready", ["orders"]).results
    assert (result.status, result.reason) == (status, reason)
    assert str(result.value) == f"{waiting} orders"


def test_the_login_is_wanted_everywhere_but_at_the_probes(app):
    client = app.test_client()
    assert client.get("/orders").status_code == 401
    for path in ("/livez", "/readyz", "/startupz"):
        assert client.get(path).status_code == 200
    assert client.get("/api/v1/smoke-test").json["message"] == "Shop Smoke Test: Success!"


def test_its_checks_are_run_from_the_command_line(backing):
    done = subprocess.run(
        [PETSAGE, "check", "--json", "--app", "shop:create_app()"],
        cwd=HERE,
        env=environment_of({}) | backing,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    names = [check["name"] for check in json.loads(done.stdout)["checks"]]
    assert names == ["smoke_test", "database", "orders"]


def test_it_is_served_with_its_checks_although_middleware_wraps_it(app, tmp_path):
    with served(tmp_path, "shop.wsgi:app", cwd=HERE, workers=1) as service:
        verbose = get(f"{service.management}/readyz?verbose").data.decode()
        assert "[+]database ok\n[+]orders ok\n" in verbose
        assert get(f"{service.main}/orders").status == 401
        assert get(f"{service.main}/api/v1/smoke-test").status == 200
        assert "no application on which" not in service.log.read_text()


WARNS = """\
import logging.config, warnings
from flask import Flask
from petsage import Check, CheckFailed, health

logging.config.dictConfig({"version": 1})
app = Flask("old")

def down():
    warnings.warn("an old driver")
    raise CheckFailed("down")

health.init_app(app, [Check("stock", down)])
logging.config.dictConfig({"version": 1})
"""


def test_an_application_that_disables_all_loggers_silences_nothing_of_petsages(tmp_path):
    (tmp_path / "old.py").write_text(WARNS)
    with served(tmp_path, "old:app", cwd=tmp_path, workers=1, log_format="json") as service:
        assert get(f"{service.management}/readyz").status == 503
        killed = service.workers()[0]
        subprocess.run(["kill", "-KILL", str(killed)], check=True)

        def logged(logger, words):
            lines = [json.loads(line) for line in service.log.read_text().splitlines()]
            return any(one["logger"] == logger and words in one["event"] for one in lines)

        wait_until(lambda: logged("petsage.monitor", "check stock: fail"))
        wait_until(lambda: logged("py.warnings", "an old driver"))
        wait_until(lambda: logged("gunicorn.error", str(killed)))


def test_middleware_that_hides_its_application_is_one_warning_that_says_how_to_hand_it_over(
    tmp_path,
):
    (tmp_path / "hidden.py").write_text(
        "from flask import Flask\nfrom petsage import health\n"
        "inner = Flask('inner')\nhealth.init_app(inner)\n"
        "def app(environ, start):\n    return inner(environ, start)\n"
    )
    with served(tmp_path, "hidden:app", cwd=tmp_path, workers=1) as service:
        lines = [line for line in service.log.read_text().splitlines() if "store that one" in line]
        assert len(lines) == 1
        assert "warning" in lines[0]
