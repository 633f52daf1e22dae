"""The Kubernetes manifests hold what no schema sees, with every pair of options and kustomized."""

import functools
import re
import subprocess
from collections.abc import Iterator
from itertools import chain, combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import kubernetes_validate
import pytest
import yaml

from petsage import deploy
from petsage.health.report import LIMITS
from tests.deploy.printed import IMAGE, Manifests, printed, run
from tests.support import ROOT, tool

README = re.findall(
    r"```yaml\n(resources: .*?|apiVersion: .*?)```",
    (ROOT / "README.md").read_text(encoding="utf-8"),
    re.DOTALL,
)
"""The README's kustomization, its patch, the patch and the Ingress, the patch for Argo CD."""

VERSIONS = ["1.31", kubernetes_validate.latest_version()]

OPTIONS = [
    ("--name", "shop-2"),
    ("--name", "p" + "-" * 44 + "s"),
    ("--namespace", "production"),
    ("--namespace", "1"),
    ("--replicas", "1"),
    ("--replicas", "2:9999"),
    ("--app", "shop.web:create_app()"),
    ("--monitoring-namespace", "observability"),
    ("--image", "localhost:5000/a/b__c@sha256:" + "0" * 64),
    ("--release", "1e3"),
    ("--release", "v" * 63),
]
"""Values that YAML could take for another type, or that have the greatest length."""


def _choices() -> Iterator[tuple[str, ...]]:
    """No option, each option alone, and few combinations in which every two options meet."""
    yield from [(), *OPTIONS]
    left = [dict(pair) for pair in combinations(OPTIONS, 2) if pair[0][0] != pair[1][0]]
    while left:
        chosen: dict[str, str] = {}
        for pair in left:
            if chosen.items() | pair.items() == (chosen | pair).items():
                chosen |= pair
        left = [pair for pair in left if not pair.items() <= chosen.items()]
        yield tuple(chain.from_iterable(chosen.items()))


_COUNT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: petsage}
spec: {replicas: 5}
"""
_THESE = "resources: [petsage.yaml]\n"

PATCHES = {
    "namespace": _THESE + "namespace: staging\n",
    "labels": _THESE + "commonLabels: {team: pets}\ncommonAnnotations: {owner: pets}\n",
    "image": _THESE + "images: [{name: registry.example/petsage, newTag: 2.0.0}]\n",
    "replicas": _THESE + "patchesStrategicMerge: [count.yaml]\n",
    "readme": README[0],
    "ingress": (
        "resources: [petsage.yaml, readme-3.yaml]\npatchesStrategicMerge: [readme-2.yaml]\n"
    ),
    "argo-cd": _THESE + "patchesStrategicMerge: [readme-4.yaml]\n",
}
"""Kustomizations as people write them, in a form that kustomize takes from version 2.0 on."""


@functools.cache
def _kustomized(change: str) -> Manifests:
    """The printed manifests after `kubectl kustomize`."""
    text = run("kubernetes", "--image", IMAGE, "--release", "1.0.0").stdout
    files = {"petsage": text, "minimum": README[1], "count": _COUNT}
    files |= {f"readme-{number}": block for number, block in enumerate(README)}
    with TemporaryDirectory() as folder:
        for name, content in {**files, "kustomization": PATCHES[change]}.items():
            Path(folder, f"{name}.yaml").write_text(content)
        command = [tool("kubectl"), "kustomize", folder]
        return Manifests.read(subprocess.check_output(command, text=True, timeout=60))


@pytest.fixture(
    params=[*_choices(), *PATCHES],
    ids=lambda one: one if isinstance(one, str) else "".join(one)[:60] or "plain",
)
def manifests(request) -> Manifests:
    """The printed manifests: as they are, with options, and kustomized."""
    return (_kustomized if isinstance(request.param, str) else _printed)(request.param)


@functools.cache
def _printed(options: tuple[str, ...]) -> Manifests:
    return printed(*options)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifests_pass_the_strict_schemas(manifests, version):
    for one in manifests.objects:
        kubernetes_validate.validate(one, version, strict=True)


def test_the_manifests_are_all_that_a_rollout_needs():
    kinds = [one["kind"] for one in printed().objects]
    assert kinds == [
        "Deployment",
        "Service",
        "Service",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "NetworkPolicy",
        "Job",
    ]


def test_the_file_itself_is_yaml():
    objects = list(yaml.safe_load_all(deploy.text("kubernetes.yaml")))
    assert len(objects) == len(printed().objects)


@pytest.mark.parametrize("release", ["1.0", "2026", "1e3", "true", "null", "0x1F", "No", "1_0"])
def test_a_release_that_looks_like_another_type_stays_a_text(release):
    assert printed(release=release).labels("Deployment")["app.kubernetes.io/version"] == release


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
    found = printed(image=image)
    assert found.container("Deployment")["image"] == found.container("Job")["image"] == image


_HOSTILE = ["", "a b", 'x"\n    privileged: true #', "x\n", "$name", "é", "-x", "a" * 600]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *((f"--{option}", value) for option in ("image", "release", "app") for value in _HOSTILE),
        *((f"--{option}", value) for option in ("name", "namespace") for value in _HOSTILE),
        *(("--monitoring-namespace", value) for value in _HOSTILE),
        *(("--image", value) for value in ("Petsage", "petsage:", "petsage@sha256:abc")),
        ("--image", "https://registry.example/petsage"),
        *(("--release", value) for value in ("1.0+local", "1.", "v" * 64)),
        *(("--name", value) for value in ("1a", "Shop", "shop-", "s" * 47, "a.b")),
        *(("--namespace", value) for value in ("a-", "a.b", "n" * 64, "A")),
        *(("--replicas", value) for value in ("", "0", "3:2", "1:", ":2", "-1", "10000", "1:2:3")),
        *(("--app", value) for value in ("shop", "shop:", ":app", "shop:app(1)", "a/b:c")),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_and_nothing_is_printed(option, value):
    given = ["--image", "petsage", "--release", "1", option, value]
    refused = run("kubernetes", *given)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.splitlines()[-1].startswith(f"Error: Invalid value for '{option}': ")


def test_a_factory_with_arguments_is_refused_with_the_forms_that_are_taken():
    refused = run("kubernetes", "--image", "petsage", "--release", "1", "--app", "shop:app(1)")
    assert "package:create_app() without arguments" in refused.stderr


def test_the_job_has_one_name_whatever_the_release_is(manifests):
    assert manifests.object("Job")["metadata"]["name"] == f"{manifests.name}-smoke-test"
    for one in manifests.objects:  # RFC 1123, 63 at most
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", one["metadata"]["name"])


def test_the_job_proves_the_release_of_the_image_that_is_served(manifests):
    assert manifests.container("Job")["image"] == manifests.container("Deployment")["image"]
    assert not any("--release" in word for word in manifests.job_command())
    names = {one["name"] for one in manifests.container("Deployment")["env"]}
    assert "PETSAGE_RELEASE" not in names


def test_all_objects_stand_in_one_namespace(manifests):
    assert len({one["metadata"].get("namespace") for one in manifests.objects}) == 1


def test_every_variable_of_the_manifest_is_configuration(manifests):
    config = manifests.config()
    ports = {p["name"]: p["containerPort"] for p in manifests.container("Deployment")["ports"]}
    # A kubelet and the Services come from outside the pod.
    assert config.bind.host == config.management_bind.host == "0.0.0.0"
    assert ports == {"http": config.bind.port, "management": config.management_bind.port}


def test_each_probe_asks_its_own_path_and_waits_longer_than_a_report_takes(manifests):
    asked = manifests.container("Deployment")
    for probe, path in (("startup", "/startupz"), ("liveness", "/livez"), ("readiness", "/readyz")):
        assert asked[f"{probe}Probe"]["httpGet"] == {"path": path, "port": "management"}
        timeout = asked[f"{probe}Probe"]["timeoutSeconds"]
        assert timeout > max(LIMITS[name].deadline_seconds for name in ("startup", "live", "ready"))


def test_the_drain_fits_the_grace_period_and_stands_alone(manifests):
    config = manifests.config()
    grace = manifests.pod("Deployment")["terminationGracePeriodSeconds"]
    assert config.drain_seconds + config.graceful_seconds < grace
    assert "lifecycle" not in manifests.container("Deployment")


def test_readiness_is_seen_to_end_before_the_drain_does(manifests):
    probe = manifests.container("Deployment")["readinessProbe"]
    noticed = probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
    assert noticed < manifests.config().drain_seconds


def test_a_rollout_takes_no_instance_away(manifests):
    assert manifests.spec("Deployment")["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert manifests.spec("PodDisruptionBudget")["maxUnavailable"] == 1


def test_the_autoscaler_alone_owns_the_number_of_pods():
    assert "replicas" not in printed().spec("Deployment")  # or each apply would reset it


@pytest.mark.parametrize(("option", "bounds"), [("2", (2, 2)), ("2:5", (2, 5)), ("1:1", (1, 1))])
def test_the_number_of_pods_is_as_wanted(option, bounds):
    scaled = printed("--replicas", option).spec("HorizontalPodAutoscaler")
    assert (scaled["minReplicas"], scaled["maxReplicas"]) == bounds


def test_the_application_is_served_or_else_petsage():
    assert printed().container("Deployment")["command"] == ["petsage", "serve"]
    shop = printed("--app", "shop.web:app").container("Deployment")
    assert shop["command"] == ["petsage", "serve", "shop.web:app"]


def test_the_autoscaler_scales_the_deployment_by_what_it_requests(manifests):
    scaled = manifests.spec("HorizontalPodAutoscaler")
    assert scaled["minReplicas"] <= scaled["maxReplicas"]
    assert scaled["scaleTargetRef"]["name"] == manifests.name
    (metric,) = scaled["metrics"]
    requests = manifests.container("Deployment")["resources"]["requests"]
    assert metric["resource"]["name"] in requests


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_no_container_may_do_more_than_serve(manifests, kind):
    pod, container = manifests.pod(kind), manifests.container(kind)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert min(pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]) > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert container["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "limits" in container["resources"]


def _selectors(manifests: Manifests) -> Iterator[dict[str, str]]:
    yield manifests.spec("Service", "")["selector"]
    yield manifests.spec("Service", "-headless")["selector"]
    yield manifests.spec("Deployment")["selector"]["matchLabels"]
    yield manifests.spec("PodDisruptionBudget")["selector"]["matchLabels"]
    yield manifests.spec("NetworkPolicy", "")["podSelector"]["matchLabels"]
    to_servers = manifests.spec("NetworkPolicy", "-smoke-test")["egress"][0]
    yield to_servers["to"][0]["podSelector"]["matchLabels"]
    for spread in manifests.pod("Deployment")["topologySpreadConstraints"]:
        yield spread["labelSelector"]["matchLabels"]


def test_every_selector_finds_the_servers_and_never_the_job(manifests):
    selectors = list(_selectors(manifests))
    assert len(selectors) == 8
    for selector in selectors:
        assert selector
        assert selector.items() <= manifests.labels("Deployment").items()
        assert not selector.items() <= manifests.labels("Job").items()


def test_two_deployments_in_one_namespace_do_not_mix():
    other = printed("--name", "other")
    for selector in _selectors(printed()):
        assert not selector.items() <= other.labels("Deployment").items()


def test_the_service_exposes_the_main_port_alone_and_the_headless_one_both(manifests):
    (public,) = manifests.spec("Service", "")["ports"]
    assert public["targetPort"] == "http"
    both = {one["name"]: one["port"] for one in manifests.spec("Service", "-headless")["ports"]}
    served = manifests.container("Deployment")["ports"]
    assert both == {one["name"]: one["containerPort"] for one in served}


def test_the_management_port_is_for_monitoring_alone():
    found = printed("--monitoring-namespace", "observability")
    public, private = found.spec("NetworkPolicy", "")["ingress"]
    assert public == {"ports": [{"port": "http"}]}  # from anywhere, so from the Job too
    assert private["ports"] == [{"port": "management"}]
    assert private["from"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "observability"}}}
    ]


def test_the_smoke_test_reaches_the_servers_and_nothing_else(manifests):
    policy = manifests.spec("NetworkPolicy", "-smoke-test")
    assert policy["podSelector"]["matchLabels"].items() <= manifests.labels("Job").items()
    assert sorted(policy["policyTypes"]) == ["Egress", "Ingress"]
    assert not policy.get("ingress")
    servers, names = policy["egress"]
    assert servers["ports"] == [{"port": manifests.config().bind.port}]
    assert {one["port"] for one in names["ports"]} == {53}


def test_the_job_asks_every_pod_and_at_least_the_autoscalers_minimum(manifests):
    petsage, command, target, *options = manifests.job_command()
    assert (petsage, command) == ("petsage", "smoke-test")
    headless = manifests.spec("Service", "-headless")
    assert headless["clusterIP"] == "None"
    # Headless: a name's addresses are the pods', and so is the port.
    assert target == f"http://{manifests.name}-headless:{manifests.config().bind.port}"
    least = manifests.spec("HorizontalPodAutoscaler")["minReplicas"]
    assert {"--every-address", f"--instances={least}"} <= set(options)


def test_the_job_is_not_killed_before_its_own_deadline_nor_tried_twice(manifests):
    job = manifests.spec("Job")
    (wait,) = [o for o in manifests.job_command() if o.startswith("--wait=")]
    assert int(wait.removeprefix("--wait=")) < job["activeDeadlineSeconds"]
    assert job["backoffLimit"] == 0
    assert manifests.pod("Job")["restartPolicy"] == "Never"
    assert job["ttlSecondsAfterFinished"] > 0


def test_a_password_of_its_own_is_a_file_that_the_server_reads(manifests):
    (mount,) = manifests.container("Deployment")["volumeMounts"]
    (volume,) = manifests.pod("Deployment")["volumes"]
    assert mount == {"name": volume["name"], "mountPath": "/run/secrets/petsage", "readOnly": True}
    assert volume["secret"] == {"secretName": manifests.name, "optional": True}


# --- kustomize


def test_a_kustomized_deployment_is_what_was_wanted():
    changed = _kustomized
    assert changed("namespace").object("Job")["metadata"]["namespace"] == "staging"
    assert changed("labels").labels("Job")["team"] == "pets"
    assert changed("image").container("Job")["image"].endswith(":2.0.0")
    assert changed("replicas").spec("Deployment")["replicas"] == 5
    assert changed("readme").spec("HorizontalPodAutoscaler")["minReplicas"] == 5
    annotations = changed("argo-cd").object("Job")["metadata"]["annotations"]
    assert annotations["argocd.argoproj.io/hook"] == "PostSync"


def test_the_ingress_of_the_readme_sends_to_the_service_and_is_believed():
    manifests = _kustomized("ingress")
    (rule,) = manifests.spec("Ingress")["rules"]
    (path,) = rule["http"]["paths"]
    backend = path["backend"]["service"]
    assert backend["name"] == manifests.object("Service", "")["metadata"]["name"]
    (port,) = manifests.spec("Service", "")["ports"]
    assert backend["port"]["name"] == port["name"]
    assert manifests.config().proxies == 1


def test_hadolint_finds_nothing_in_the_readmes_image_of_an_application():
    (text,) = re.findall(r"```dockerfile\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    found = subprocess.run([tool("hadolint"), "-"], input=text, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "")


# --- the PodMonitor


@pytest.mark.parametrize("options", [(), ("--name", "shop", "--namespace", "production")])
def test_the_pod_monitor_finds_the_pods_and_their_port(options):
    monitor = yaml.safe_load(run("podmonitor", *options).stdout)
    servers = printed(*options)
    selector = monitor["spec"]["selector"]["matchLabels"]
    assert selector.items() <= servers.labels("Deployment").items()
    assert not selector.items() <= servers.labels("Job").items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["path"] == "/metrics"
    assert endpoint["port"] in {one["name"] for one in servers.container("Deployment")["ports"]}
    namespace = servers.object("Job")["metadata"].get("namespace")
    assert monitor["metadata"].get("namespace") == namespace
