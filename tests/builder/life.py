"""The life of a feature: built, verified, called, edited, updated with one more field, removed."""

import json
from pathlib import Path
from typing import Any

import urllib3

from petsage.builder import project, render
from tests.builder.projects import petsage, snapshot
from tests.support import ROOT, served

REQUESTS = sorted((ROOT / "tests/features/requests").glob("*.json"))
REQUIREMENTS_OPEN = 3  # the exit code of `petsage feature verify`
MINE = "\n\ndef test_of_mine(client):\n    assert client\n"


def live(root: Path, request: Path, folder: Path) -> None:
    """Leads the feature of a request through its life; the server's files go to `folder`."""
    before, asked = snapshot(root), json.loads(request.read_text(encoding="utf-8"))
    name, requirements = asked["feature"], asked.get("requirements", "none") != "none"
    run(root, "add", "--request", str(request))
    run(root, "verify", name, code=REQUIREMENTS_OPEN if requirements else 0)
    call(root, folder, name, requirements)
    edit(root, name)
    fields = {**asked.get("fields", {}), "added": {"type": "integer", "minimum": 1}}
    changed = folder / "changed.json"
    changed.write_text(json.dumps(asked | {"fields": fields}))
    run(root, "update", "--request", str(changed))
    check_updated(root, name)
    assert "is edited" in run(root, "remove", name, code=1)
    run(root, "remove", name, "--force")
    after = snapshot(root)
    assert {path: after[path] for path in after if "__pycache__" not in path} == before


def run(root: Path, *arguments: str, code: int = 0) -> str:
    """Runs `petsage feature`, which must exit with `code`; returns what it prints."""
    done = petsage(root, "feature", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def call(root: Path, folder: Path, name: str, requirements: bool) -> None:
    """Calls the served feature with the example of its document, and with an unknown field."""
    with served(folder, project=root, workers=1) as service:
        url, api = service.main + render.url(name), f"{service.main}/api/v1"
        paths = ask("get", f"{api}/openapi.json", {})[1]["paths"]
        ((method, operation),) = paths[render.url(name)].items()
        example = operation["responses"]["200"]["content"]["application/json"]["example"]
        takes_fields = method == "post" or bool(operation.get("parameters"))
        status, answer = ask(method, url, example if takes_fields else {})
        assert (status, requirements or answer) == (501, True) if requirements else (200, example)
        if takes_fields:
            assert ask(method, url, {"nobody_knows": 1})[0] == 422
        assert ask("get", f"{api}/smoke-test", {})[0] == 200


def ask(method: str, url: str, values: dict[str, Any]) -> tuple[int, Any]:
    """Sends one request with these values; returns the status and the JSON of the answer."""
    pairs = [(key, one) for key, v in values.items() for one in (v if isinstance(v, list) else [v])]
    sent = {"json": values} if method == "post" else {"fields": pairs}
    with urllib3.PoolManager(retries=False) as pool:
        answer = pool.request(method.upper(), url, timeout=10, **sent)
    return answer.status, json.loads(answer.data)


def edit(root: Path, name: str) -> None:
    """Edits code, text and tests, as a developer does."""
    for path, old, new in [
        (project.folder(name) / "service.py", '"""What ', '"""All that '),
        (project.folder(name) / "README.md", "# ", "# Our "),
    ]:
        (root / path).write_text((root / path).read_text().replace(old, new, 1))
    with (root / project.test_path(name)).open("a") as file:
        file.write(MINE)


def check_updated(root: Path, name: str) -> None:
    """Both the edits and the added field are there."""
    folder = root / project.folder(name)
    assert '"""All that ' in (folder / "service.py").read_text()
    assert "added: int | None = None" in (folder / "service.py").read_text()
    assert (folder / "README.md").read_text().startswith("# Our ")
    assert "`added`: `integer`, minimum `1`" in (folder / "README.md").read_text()
    assert (root / project.test_path(name)).read_text().endswith(MINE)
