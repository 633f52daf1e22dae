"""What a kubelet makes of PetSage, by the printed manifest's own command, variables and probes."""

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from petsage.release import bake
from tests.builder.projects import project_copy
from tests.deploy.printed import Manifests
from tests.e2e.kubelet import Clock, Kubelet, service_links
from tests.support import PETSAGE, environment_of, free_port, get, holders, wait_until

PACE = 20
"""How much faster than the machine's time the kubelet's runs, in tests that allow it."""

Run = Callable[..., Kubelet]


@pytest.fixture(scope="module")
def manifests():
    command = [PETSAGE, "deploy", "kubernetes", "--image", "petsage:1.0.0", "--release", "2.0-rc.1"]
    return list(yaml.safe_load_all(subprocess.check_output(command)))


def built(folder: Path, release: str) -> Path:
    """A copy of PetSage as the build of an image leaves it."""
    root = project_copy(folder)
    bake(release, root / "petsage" / "RELEASE")
    return root


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    return built(tmp_path_factory.mktemp("image"), "2.0-rc.1")


@pytest.fixture
def run(manifests, image, tmp_path) -> Iterator[Run]:
    """Starts the pod under a kubelet, and waits until it is ready."""
    with ExitStack() as stack:

        def started(pace=PACE, image=image, **options):
            kubelet = Kubelet(manifests, tmp_path, Clock(pace), image=image, **options)
            kubelet.start()
            stack.callback(kubelet.kill)
            kubelet.watch(lambda: kubelet.ready)
            return kubelet

        yield started


def application_workers(kubelet):
    """The two workers that hold the main listener, once both do."""
    found = []

    def both():
        found[:] = holders(kubelet.served, kubelet.served.main)
        return len(found) == 2

    wait_until(both)
    return found


def smoke_test(kubelet):
    """The main listener's answer, on a connection that is closed: a stop would wait for it."""
    return get(f"{kubelet.served.main}/api/v1/smoke-test", headers={"Connection": "close"})


def send(workers, number):
    for pid in workers:
        os.kill(pid, number)


def test_a_pod_gets_ready_and_a_drain_ends_it_within_its_grace_period(run):
    pod = run()
    assert pod.probes["startup"].outcomes[-1] == "200"
    assert set(pod.probes["readiness"].outcomes) == {"200"}  # never asked before it had started
    answer = smoke_test(pod)
    assert answer.status == 200
    assert answer.headers["PetSage-Release"] == "2.0-rc.1"
    assert answer.headers["PetSage-Instance"] == "petsage-7c5ddbdf54-x2x9z"

    assert pod.stop() == 0  # by itself: SIGKILL would be -9
    refused = pod.probes["readiness"].outcomes.index("503")
    threshold = pod.probes["readiness"].spec["failureThreshold"]
    assert pod.probes["readiness"].outcomes[refused:][: threshold + 1] == ["503"] * (threshold + 1)
    assert not pod.ready


def test_stuck_workers_are_restarted_and_the_new_ones_serve(run):
    pod = run(stuck_seconds=1, drain_seconds=0.2, graceful_seconds=1)
    send(application_workers(pod), signal.SIGSTOP)
    pod.watch(lambda: pod.restarted == 1)
    pod.watch(lambda: pod.ready)
    assert smoke_test(pod).status == 200


def test_stuck_workers_that_come_back_need_no_restart(run):
    pod = run(stuck_seconds=1, restarts=False)
    workers = application_workers(pod)
    send(workers, signal.SIGSTOP)
    pod.watch(lambda: pod.restart_due)
    # Each probe got an answer: none of them had to time out.
    assert pod.probes["liveness"].outcomes[-3:] == ["503"] * 3
    assert "503" not in pod.probes["liveness"].outcomes[:-3]
    send(workers, signal.SIGCONT)
    pod.watch(lambda: pod.ready and not pod.restart_due)
    assert application_workers(pod) == workers


def test_a_dependency_that_fails_costs_traffic_but_never_a_restart(run):
    port = free_port()
    secret = {"petsage/checks": f"database=tcp://127.0.0.1:{port}#fresh=0"}
    with socket.create_server(("127.0.0.1", port)):
        pod = run(secrets=secret)
    pod.watch(lambda: not pod.ready)
    asked = len(pod.probes["liveness"].outcomes)
    pod.watch(lambda: len(pod.probes["liveness"].outcomes) >= asked + 3)
    assert set(pod.probes["liveness"].outcomes) == {"200"}
    with socket.create_server(("127.0.0.1", port)):
        pod.watch(lambda: pod.ready)
    assert (pod.restarted, pod.restart_due) == (0, False)


def job(manifests, image, port, addresses, wait):
    """Runs the Job's own command, with its host at these addresses; returns the exit code."""
    command = [one.replace(":8000", f":{port}") for one in Manifests.of(manifests).job_command()]
    command = [one.replace("--wait=120", f"--wait={wait}") for one in command]
    pinned = ["--resolve", f"petsage-headless:{port}:{','.join(addresses)}"]
    environment = {**environment_of({}), "PYTHONPATH": str(image)}
    return subprocess.run([PETSAGE, *command[1:], *pinned], env=environment).returncode


def test_the_job_proves_a_rollout_only_when_every_pod_has_the_release_of_its_image(
    manifests, image, run, tmp_path
):
    port, addresses = free_port(), [f"127.0.0.{number}" for number in (11, 12, 13)]
    pods = [run(name=f"petsage-{one}", bind=f"{one}:{port}") for one in addresses]
    assert job(manifests, image, port, addresses, wait=30) == 0
    old = built(tmp_path, "1.9")
    assert job(manifests, old, port, addresses, wait=1) == 4  # the image was changed elsewhere
    pods[0].kill()
    assert job(manifests, image, port, addresses, wait=1) == 3  # one refuses
    assert job(manifests, image, port, addresses[1:], wait=1) == 5  # two, not three
    run(name="petsage-old", bind=f"{addresses[0]}:{port}", image=old)
    assert job(manifests, image, port, addresses, wait=1) == 4


def test_the_links_that_every_pod_here_is_given_are_those_that_kubernetes_injects(manifests):
    links = service_links(manifests)
    assert {"PETSAGE_SERVICE_HOST", "PETSAGE_PORT", "PETSAGE_PORT_8000_TCP_ADDR"} <= set(links)
    assert not any(name.startswith("PETSAGE_HEADLESS") for name in links)  # it has no address
