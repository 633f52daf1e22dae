"""What a container engine makes of PetSage, by the printed Containerfile's own health check."""

import json
import re
import subprocess

import pytest

from tests.support import PETSAGE, environment_of, free_port, served


@pytest.fixture(scope="module")
def healthcheck():
    """The health check's own command."""
    printed = subprocess.check_output([PETSAGE, "deploy", "container"], text=True)
    return json.loads(re.search(r"(?s)\nHEALTHCHECK .*?CMD (\[.*?\])", printed)[1])


@pytest.mark.parametrize(("dependency_listens", "code"), [(True, 0), (False, 1)])
def test_the_health_check_tells_whether_it_is_ready(
    healthcheck, tmp_path, dependency_listens, code
):
    with served(tmp_path) as dependency:
        port = dependency.main.rpartition(":")[2] if dependency_listens else free_port()
        with served(tmp_path, checks=f"other=tcp://127.0.0.1:{port}") as running:
            program, *arguments, url = healthcheck
            assert program == "petsage"
            asked = [PETSAGE, *arguments, url.replace("http://127.0.0.1:8001", running.management)]
            assert subprocess.run(asked, env=environment_of({}), check=False).returncode == code
