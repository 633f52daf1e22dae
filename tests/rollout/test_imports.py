"""The prover is a program of its own: it needs nothing of the service that it proves."""

import subprocess
import sys

SERVICE = ("flask", "marshmallow", "gunicorn", "sqlite3", "psycopg", "pymysql", "redis")
ROOMS = ("api", "config", "dependencies", "health", "management", "serving", "builder", "features")


def test_the_prover_loads_neither_drivers_nor_the_monitor_nor_flask() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"  # measured coverage loads sqlite3
        "import petsage.cli, petsage.rollout.command; print(*set(sys.modules) - before)"
    )
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    unwanted = (*SERVICE, *(f"petsage.{room}" for room in ROOMS))
    assert [name for name in loaded if name.startswith(unwanted)] == []
