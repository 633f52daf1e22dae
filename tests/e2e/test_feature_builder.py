"""A feature from its request to its end: built, served behind nginx, broken, reported, removed."""

import json
import subprocess
import sys
from contextlib import contextmanager

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import text_to_be_present_in_element
from selenium.webdriver.support.wait import WebDriverWait

from tests.builder.life import REQUESTS, live
from tests.builder.projects import petsage, project_copy, snapshot
from tests.e2e.browser import chromium
from tests.e2e.proxy import nginx
from tests.support import environment_of, free_port, served, tool

REQUEST = {
    "feature": "pet_birthday",
    "description": 'Reminds "owners" of {{ birthdays }}',
    "requirements": ["At noon"],
    "fields": {"pet": "string!", "due": "date", "weight": "decimal"},
}
SERVICE = "petsage/features/pet_birthday/service.py"


def curl(*arguments):
    """The status of an answer, and its JSON."""
    command = [tool("curl"), "-sS", "-w", "\n%{http_code}", *arguments]
    body, _, status = subprocess.check_output(command, text=True).rpartition("\n")
    return int(status), json.loads(body)


@contextmanager
def behind_nginx(folder, root):
    """Serves the project at `root` behind nginx; yields nginx's URL."""
    folder.mkdir()
    with (
        served(folder, project=root, workers=1) as service,
        nginx(folder, service.main.removeprefix("http://")) as site,
    ):
        yield site


def built(tmp_path):
    root = project_copy(tmp_path)
    before = snapshot(root)
    done = petsage(root, "feature", "add", "--request", "-", input=json.dumps(REQUEST))
    assert (done.returncode, done.stderr) == (0, "")
    assert "│       └── pet_birthday\n" in done.stdout
    assert done.stdout.endswith("\n\nBuild complete; 1 requirement is open\n")
    return root, before


def test_a_feature_is_built_served_documented_broken_and_removed(tmp_path):
    root, before = built(tmp_path)

    with behind_nginx(tmp_path / "whole", root) as site:
        url = f"{site}/api/v1/pet-birthday"
        values = {"pet": "Rex", "due": "2026-03-31", "weight": "4.50"}
        refused = {"code": 501, "status": "Not Implemented", "message": "not built yet: At noon"}
        assert curl(url, "--json", json.dumps(values)) == (501, refused)
        status, answer = curl(url, "--json", '{"due": "soon", "weight": "1e999999999"}')
        assert (status, set(answer["errors"]["json"])) == (422, {"pet", "due", "weight"})
        assert curl(url, "-d", "pet=Rex")[0] == 415
        assert curl(url)[0] == 405
        assert curl(f"{site}/api/v1/smoke-test")[0] == 200
        documented = curl(f"{site}/api/v1/openapi.json")[1]["paths"]["/api/v1/pet-birthday"]
        assert documented["post"]["tags"] == ["Pet Birthday"]
        assert documented["post"]["description"] == REQUEST["description"]
        see_in_the_docs(site, tmp_path / "browser")

    service = root / SERVICE
    kept = service.read_text().replace('("At noon",)', "()")
    service.write_text(kept.replace("return given", "raise RuntimeError(given)"))
    with behind_nginx(tmp_path / "broken", root) as site:
        assert curl(f"{site}/api/v1/smoke-test") == (
            503,
            {
                "status": "error",
                "message": "PetSage Smoke Test: Failed!",
                "feature": "smoke_test",
                "failed": ["pet_birthday"],
            },
        )

    service.write_text(kept)
    with behind_nginx(tmp_path / "kept", root) as site:
        assert curl(f"{site}/api/v1/pet-birthday", "--json", json.dumps(values)) == (200, values)
    assert petsage(root, "feature", "remove", "pet_birthday").returncode == 1
    assert petsage(root, "feature", "remove", "pet_birthday", "--force").returncode == 0
    assert without_caches(snapshot(root)) == before


def see_in_the_docs(site, folder):
    with chromium(folder) as browser:
        browser.get(f"{site}/docs")
        block = (By.CSS_SELECTOR, "[id='operations-tag-Pet_Birthday']")
        WebDriverWait(browser, 30).until(text_to_be_present_in_element(block, "Pet Birthday"))
        path = browser.find_element(By.CSS_SELECTOR, ".opblock-post .opblock-summary-path")
        assert path.get_attribute("data-path") == "/api/v1/pet-birthday"


def without_caches(files):
    return {path: content for path, content in files.items() if "__pycache__" not in path}


SOUND = """\
from flask_smorest import Blueprint
from petsage import Check
blueprint, check = Blueprint("Pets", __name__), Check("{name}", lambda: None, {{"smoke"}})
"""


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (
            {"cat": "import nothing_of_that_name\n"},
            "feature 'cat' cannot be imported: No module named 'nothing_of_that_name': "
            "ModuleNotFoundError (petsage.features.cat:1)",
        ),
        (
            {"cat": "raise ValueError('one\\ntwo')\n"},
            "feature 'cat' cannot be imported: one two: ValueError (petsage.features.cat:1)",
        ),
        ({"disk": SOUND}, "PETSAGE_CHECKS and feature 'disk' both have the check 'disk'"),
        (
            {"cat": SOUND, "dog": SOUND},
            "feature 'cat' and feature 'dog' both have the title 'Pets'",
        ),
    ],
)
def test_a_feature_that_cannot_be_served_stops_the_start_with_its_name(tmp_path, features, message):
    root = project_copy(tmp_path)
    for name, text in features.items():
        (root / "petsage/features" / name).mkdir()
        (root / "petsage/features" / name / "__init__.py").write_text(text.format(name=name))
    settings = {side: f"127.0.0.1:{free_port()}" for side in ("bind", "management_bind")}
    done = subprocess.run(
        [sys.executable, "-m", "petsage", "serve"],
        cwd=root,
        env={**environment_of({**settings, "checks": "disk=disk:///"}), "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, f"petsage: {message}")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["vet_visits", "booking", "pet_search"])
def test_a_request_of_a_user_lives_its_life_and_leaves_no_trace(tmp_path, name):
    (request,) = (one for one in REQUESTS if one.stem == name)
    live(project_copy(tmp_path), request, tmp_path)
