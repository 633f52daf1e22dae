"""The printed files hold what they promise, and nothing of a user's gets into them unread."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from petsage.config import Config
from petsage.deploy.command import command
from tests.deploy.printed import printed, run
from tests.support import PETSAGE, ROOT, tool

# --- systemd


@pytest.fixture(params=["petsage.service", "petsage@8000.service"])
def unit(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A printed unit that runs the `petsage` installed here, beside the printed socket unit."""
    text = run("systemd", *(["--instances"] if "@" in request.param else [])).stdout
    assert text.count("ExecStart=/opt/petsage/bin/petsage serve\n") == 1
    path = tmp_path / request.param
    path.write_text(text.replace("/opt/petsage/bin/petsage serve", f"{PETSAGE} serve"))
    (tmp_path / "petsage.socket").write_text(run("systemd", "--socket").stdout)
    return path


def test_systemd_understands_every_line_of_the_units(unit):
    sockets = [] if "@" in unit.name else [str(unit.with_name("petsage.socket"))]
    command = [tool("systemd-analyze"), "verify", "--man=no", str(unit), *sockets]
    verified = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


def test_systemd_finds_the_unit_hardly_exposed(unit):
    command = [tool("systemd-analyze"), "security", "--offline=true", "--no-pager"]
    # The exposure goes from 0 to 10, the threshold from 0 to 100.
    judged = subprocess.run([*command, "--threshold=20", str(unit)], capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout


def settings(unit: Path) -> dict[str, str]:
    lines = unit.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and line[0] not in "#[")


def test_systemd_waits_for_the_drain_and_for_what_was_accepted(unit):
    config = Config()
    assert float(settings(unit)["TimeoutStopSec"]) > config.drain_seconds + config.graceful_seconds
    assert (
        settings(unit)["KillMode"] == "mixed"
    )  # if all got SIGTERM, the workers would end without a drain


def test_systemd_does_not_restart_a_wrong_configuration(unit):
    assert settings(unit)["RestartPreventExitStatus"] == "78"


def test_each_unit_names_the_file_that_it_is_for():
    for options, name in (
        ([], "petsage.service"),
        (["--socket"], "petsage.socket"),
        (["--instances"], "petsage@.service"),
    ):
        assert run("systemd", *options).stdout.startswith(f"# /etc/systemd/system/{name}: ")


def test_the_sockets_are_where_the_service_listens_by_default():
    listening = re.findall(r"(?m)^ListenStream=(.*)$", run("systemd", "--socket").stdout)
    assert listening == [str(Config().bind), str(Config().management_bind)]


# --- the container


def stages() -> list[list[tuple[str, str]]]:
    """The printed Containerfile's instructions, for each of its stages."""
    text = re.sub(r"(?m)^#.*\n", "", run("container").stdout).replace("\\\n", " ")
    found: list[list[tuple[str, str]]] = []
    for line in filter(None, text.splitlines()):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found.append([])
        found[-1].append((name, rest.strip()))
    return found


def test_the_last_stage_only_copies_what_the_first_one_built():
    build, last = stages()
    assert (
        build[0][1].removesuffix(" AS build") == last[0][1]
    )  # a virtual environment works only with its own Python
    assert [rest for name, rest in last if name in ("COPY", "ADD")] == [
        "--from=build /opt/petsage /opt/petsage"
    ]
    assert "RUN" not in dict(last)


def test_what_is_copied_into_the_build_is_in_the_project():
    copied = [shlex.split(rest)[:-1] for name, rest in stages()[0] if name == "COPY"]
    for source in (one for sources in copied for one in sources):
        assert (ROOT / source).exists(), source


def test_the_container_runs_as_the_same_number_as_the_pod():
    user = printed().pod("Deployment")["securityContext"]
    assert dict(stages()[-1])["USER"] == f"{user['runAsUser']}:{user['runAsGroup']}"


def test_no_shell_stands_between_a_signal_and_petsage():
    last = dict(stages()[-1])
    assert (last["ENTRYPOINT"], last["CMD"]) == ('["petsage"]', '["serve"]')


def test_the_container_asks_its_own_readiness():
    last = dict(stages()[-1])
    assert last["HEALTHCHECK"].endswith(
        f'CMD ["petsage", "check", "http://{Config().management_bind}/readyz"]'
    )
    variables = dict(one.split("=", 1) for one in shlex.split(last["ENV"]) if "PETSAGE_" in one)
    assert Config.load(variables).bind == printed().config().bind
    assert last["EXPOSE"] == str(Config.load(variables).bind.port)


# --- all of them


@pytest.mark.parametrize("name", sorted(command.commands))
def test_each_command_prints_a_whole_file_and_its_help_has_an_example(name):
    options = ("--image", "petsage", "--release", "1") if name == "kubernetes" else ()
    assert run(name, *options).stdout.endswith("\n")
    assert f"petsage deploy {name}" in run(name, "--help").stdout


@pytest.mark.parametrize("name", sorted(command.commands))
def test_no_file_installs_a_strangers_package_of_the_same_name(name):
    options = ("--image", "petsage", "--release", "1") if name == "kubernetes" else ()
    assert not re.search(r"pip install [^\n]*petsage(?!/)", run(name, *options).stdout)
