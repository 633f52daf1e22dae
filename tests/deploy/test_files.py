"""The printed files hold what they promise, and nothing of a user's gets into them unread."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner, Result

from petsage import deploy
from petsage.cli import main
from petsage.config import Config
from petsage.deploy.command import command
from petsage.health.report import LIMITS
from tests.support import PETSAGE, ROOT, tool

Found = Callable[[str], dict[str, Any]]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["deploy", *arguments])


def manifests(image: str = "registry.example/petsage:1.0.0", release: str = "1.0.0") -> list[Any]:
    printed = run("kubernetes", "--image", image, "--release", release)
    assert printed.exit_code == 0, printed.output
    return list(yaml.safe_load_all(printed.stdout))


@pytest.fixture(scope="module")
def found() -> Found:
    """Looks up the one object of a kind, or of `Kind/name`."""
    objects = manifests()

    def look_up(wanted: str) -> dict[str, Any]:
        kind, _, name = wanted.partition("/")
        (one,) = [o for o in objects if o["kind"] == kind and name in ("", o["metadata"]["name"])]
        return dict(one["spec"])

    return look_up


def pod(spec: dict[str, Any]) -> dict[str, Any]:
    return dict(spec["template"]["spec"])


def container(spec: dict[str, Any]) -> dict[str, Any]:
    (one,) = pod(spec)["containers"]
    return dict(one)


def config_of(spec: dict[str, Any]) -> Config:
    """What PetSage makes of the container's variables."""
    given = container(spec)["env"]
    return Config.load({one["name"]: one.get("value", "") for one in given})


def selects(selector: dict[str, str], spec: dict[str, Any]) -> bool:
    labels = spec["template"]["metadata"]["labels"]
    return bool(selector) and selector.items() <= labels.items()


# --- Kubernetes


@pytest.mark.parametrize("version", ["1.31", "1.34", kubernetes_validate.latest_version()])
def test_the_manifests_pass_the_strict_schemas(version):
    for one in manifests():
        kubernetes_validate.validate(one, version, strict=True)


def test_the_manifests_are_all_that_a_rollout_needs():
    kinds = [one["kind"] for one in manifests()]
    assert kinds == [
        "Deployment",
        "Service",
        "Service",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "Job",
    ]


def test_the_file_itself_is_yaml():
    assert len(list(yaml.safe_load_all(deploy.text("kubernetes.yaml")))) == len(manifests())


@pytest.mark.parametrize("release", ["1.0", "2026", "1e3", "true", "null", "0x1F", "No", "1_0"])
def test_a_release_that_looks_like_another_type_stays_a_text(release):
    for one in manifests(release=release):
        kubernetes_validate.validate(one, "1.34", strict=True)
    deployment = manifests(release=release)[0]["spec"]
    assert config_of(deployment).release == release
    assert deployment["template"]["metadata"]["labels"]["app.kubernetes.io/version"] == release


@pytest.mark.parametrize(
    "image",
    [
        "petsage",
        "petsage:1.0.0",
        "registry.example/team/pet_sage:v1",
        "localhost:5000/petsage",
        "Registry.example/a/b__c/d--e@sha256:" + "0" * 64,
        "petsage:1.0.0@sha256:" + "a" * 64,
    ],
)
def test_an_image_reference_is_taken_as_it_is(image):
    (deployment, *_, job) = manifests(image=image)
    assert container(deployment["spec"])["image"] == container(job["spec"])["image"] == image


@pytest.mark.parametrize(
    "image",
    [
        "",
        "Petsage",
        "petsage:",
        "petsage:a b",
        "petsage@sha256:abc",
        "https://registry.example/petsage",
        "-petsage",
        'petsage"\n    privileged: true #',
        "petsage\n",
        "$release",
        "pétsage",
        "a" * 600,
    ],
)
def test_what_is_no_image_reference_is_refused(image):
    refused = run("kubernetes", "--image", image, "--release", "1.0.0")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.splitlines()[-1].endswith(
        "is not an image reference, such as registry.example/petsage:1.0.0"
    )


@pytest.mark.parametrize(
    "release", ["", "1.0+local", "-1", "1.", "a b", '1"\nx: y', "1\n", "v" * 45, "$image", "é"]
)
def test_what_cannot_be_a_label_is_no_release(release):
    refused = run("kubernetes", "--image", "petsage", "--release", release)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "is not a release that Kubernetes takes: 1 to 44 letters" in refused.stderr


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("1.0.0", "petsage-smoke-test-1-0-0"),
        ("Main_2026.11", "petsage-smoke-test-main-2026-11"),
        ("f" * 44, "petsage-smoke-test-" + "f" * 44),
    ],
)
def test_the_job_is_named_by_the_release(release, name):
    job = manifests(release=release)[-1]
    assert job["metadata"]["name"] == name
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name)  # RFC 1123, 63 at most


def test_every_variable_of_the_manifest_is_configuration(found):
    config = config_of(found("Deployment"))
    ports = {p["name"]: p["containerPort"] for p in container(found("Deployment"))["ports"]}
    # A kubelet and the Services come from outside the pod.
    assert config.bind.host == config.management_bind.host == "0.0.0.0"
    assert ports == {"http": config.bind.port, "management": config.management_bind.port}


def test_each_probe_asks_its_own_path_on_the_management_port(found):
    asked = container(found("Deployment"))
    for probe, path in (("startup", "/startupz"), ("liveness", "/livez"), ("readiness", "/readyz")):
        assert asked[f"{probe}Probe"]["httpGet"] == {"path": path, "port": "management"}


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_a_kubelet_waits_longer_than_a_report_takes(found, probe):
    timeout = container(found("Deployment"))[probe]["timeoutSeconds"]
    assert timeout > max(LIMITS[name].deadline for name in ("startup", "live", "ready"))


def test_the_drain_fits_the_grace_period_and_stands_alone(found):
    deployment = found("Deployment")
    config = config_of(deployment)
    grace = pod(deployment)["terminationGracePeriodSeconds"]
    assert config.drain_seconds + config.graceful_seconds < grace
    assert "lifecycle" not in container(deployment)


def test_readiness_is_seen_to_end_before_the_drain_does(found):
    deployment = found("Deployment")
    probe = container(deployment)["readinessProbe"]
    noticed = probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
    assert noticed < config_of(deployment).drain_seconds


def test_a_rollout_takes_no_instance_away(found):
    deployment = found("Deployment")
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert "replicas" not in deployment  # an apply would undo the autoscaler's work
    assert (
        found("HorizontalPodAutoscaler")["minReplicas"]
        > found("PodDisruptionBudget")["maxUnavailable"]
    )


def test_the_autoscaler_has_a_request_to_measure_by(found):
    (metric,) = found("HorizontalPodAutoscaler")["metrics"]
    assert metric["resource"]["name"] in container(found("Deployment"))["resources"]["requests"]
    assert found("HorizontalPodAutoscaler")["scaleTargetRef"]["name"] == "petsage"


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_no_container_may_do_more_than_serve(found, kind):
    spec = found(kind)
    user = pod(spec)["securityContext"]
    assert user["runAsNonRoot"] is True
    assert min(user["runAsUser"], user["runAsGroup"]) > 0
    assert user["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod(spec)["automountServiceAccountToken"] is False
    assert pod(spec)["enableServiceLinks"] is False
    assert container(spec)["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "limits" in container(spec)["resources"]


def test_every_selector_finds_the_servers_and_never_the_job(found):
    deployment, job = found("Deployment"), found("Job")
    selectors = [
        found("Service/petsage")["selector"],
        found("Service/petsage-headless")["selector"],
        deployment["selector"]["matchLabels"],
        found("PodDisruptionBudget")["selector"]["matchLabels"],
        found("NetworkPolicy")["podSelector"]["matchLabels"],
        *(s["labelSelector"]["matchLabels"] for s in pod(deployment)["topologySpreadConstraints"]),
    ]
    assert len(selectors) == 7
    for selector in selectors:
        assert selects(selector, deployment)
        assert not selects(selector, job)


def test_the_services_expose_the_main_port_alone(found):
    for name in ("petsage", "petsage-headless"):
        (port,) = found(f"Service/{name}")["ports"]
        assert port["targetPort"] == "http"


def test_the_management_port_is_for_monitoring_alone(found):
    public, private = found("NetworkPolicy")["ingress"]
    assert public == {"ports": [{"port": "http"}]}  # from anywhere, so from the Job too
    assert private["ports"] == [{"port": "management"}]
    assert private["from"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    ]


def test_the_job_asks_every_pod_for_the_new_release(found):
    job = found("Job")
    petsage, command, target, *options = container(job)["command"]
    assert (petsage, command) == ("petsage", "smoke-test")
    headless = found("Service/petsage-headless")
    assert headless["clusterIP"] == "None"
    # Headless: a name's addresses are the pods', and so is the port.
    assert target == f"http://petsage-headless:{headless['ports'][0]['port']}"
    assert headless["ports"][0]["port"] == config_of(found("Deployment")).bind.port
    least = found("HorizontalPodAutoscaler")["minReplicas"]
    assert {"--every-address", "--release=1.0.0", f"--instances={least}"} <= set(options)


def test_the_job_is_not_killed_before_its_own_deadline_nor_tried_twice(found):
    job = found("Job")
    (wait,) = [o for o in container(job)["command"] if o.startswith("--wait=")]
    assert int(wait.removeprefix("--wait=")) < job["activeDeadlineSeconds"]
    assert job["backoffLimit"] == 0
    assert pod(job)["restartPolicy"] == "Never"
    assert job["ttlSecondsAfterFinished"] > 0


# --- systemd


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The printed unit, on the `petsage` that is installed here."""
    text = run("systemd").stdout
    assert text.count("ExecStart=/opt/petsage/bin/petsage serve\n") == 1
    path = tmp_path / "petsage.service"
    path.write_text(text.replace("/opt/petsage/bin/petsage serve", f"{PETSAGE} serve"))
    return path


def test_systemd_understands_every_line_of_the_unit(unit):
    command = [tool("systemd-analyze"), "verify", "--man=no", str(unit)]
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
    assert settings(unit)["KillMode"] == "mixed"  # to all, SIGTERM would end the workers undrained


def test_systemd_does_not_restart_a_wrong_configuration(unit):
    assert settings(unit)["RestartPreventExitStatus"] == "78"


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
    assert build[0][1].removesuffix(" AS build") == last[0][1]  # a venv fits its own Python only
    assert [rest for name, rest in last if name in ("COPY", "ADD")] == [
        "--from=build /opt/petsage /opt/petsage"
    ]
    assert "RUN" not in dict(last)


def test_what_is_copied_into_the_build_is_in_the_project():
    copied = [shlex.split(rest)[:-1] for name, rest in stages()[0] if name == "COPY"]
    for source in (one for sources in copied for one in sources):
        assert (ROOT / source).exists(), source


def test_the_container_runs_as_the_same_number_as_the_pod(found):
    user = pod(found("Deployment"))["securityContext"]
    assert dict(stages()[-1])["USER"] == f"{user['runAsUser']}:{user['runAsGroup']}"


def test_no_shell_stands_between_a_signal_and_petsage():
    last = dict(stages()[-1])
    assert (last["ENTRYPOINT"], last["CMD"]) == ('["petsage"]', '["serve"]')


def test_the_container_asks_its_own_readiness(found):
    last = dict(stages()[-1])
    assert last["HEALTHCHECK"].endswith(
        f'CMD ["petsage", "check", "http://{Config().management_bind}/readyz"]'
    )
    variables = dict(one.split("=", 1) for one in shlex.split(last["ENV"]) if "PETSAGE_" in one)
    assert Config.load(variables).bind == config_of(found("Deployment")).bind
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
