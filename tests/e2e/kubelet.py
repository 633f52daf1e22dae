"""A small kubelet: runs a Deployment's pod on this machine, and sends its probes.

It follows https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/ and
k8s.io/kubernetes/pkg/kubelet/prober. Ports are substituted, and its time may run faster.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import Served, free_port

AGENT = "kube-probe/1.34"


class Clock:
    """The kubelet's time, which runs `pace` times as fast as the machine's."""

    def __init__(self, pace: float = 1) -> None:
        self._pace = pace

    def now(self) -> float:
        return time.monotonic() * self._pace

    def wait_till(self, moment: float) -> None:
        threading.Event().wait(max(0.0, moment - self.now()) / self._pace)


@dataclass
class Probe:
    """One probe of a container, with Kubernetes' own defaults, and its outcomes."""

    spec: Mapping[str, Any]
    port: int
    due: float = 0
    outcomes: list[str] = field(default_factory=list)
    """For each ask the HTTP status, or the name of the exception."""
    verdict: bool | None = None
    """None until a threshold is reached."""

    def ask(self) -> None:
        outcome = self._outcome()
        self.outcomes.append(outcome)
        good = _succeeded(outcome)
        needed = self.spec.get("successThreshold" if good else "failureThreshold", 1 if good else 3)
        latest = self.outcomes[-needed:]
        if len(latest) == needed and all(_succeeded(one) is good for one in latest):
            self.verdict = good

    def _outcome(self) -> str:
        path = self.spec["httpGet"]["path"]
        try:
            return str(http_status(self.port, path, self.spec.get("timeoutSeconds", 1)))
        except OSError as error:
            return type(error).__name__


def _succeeded(outcome: str) -> bool:
    return outcome.isdigit() and 200 <= int(outcome) < 400


def http_status(port: int, path: str, seconds: float) -> int:
    """The status of one GET without keep-alive, which may take so many seconds, body included."""
    deadline = time.monotonic() + seconds
    received = b""
    with socket.create_connection(("127.0.0.1", port), seconds) as connection:
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: {AGENT}\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n".encode()
        )
        while True:
            if (left := deadline - time.monotonic()) <= 0:
                raise TimeoutError
            connection.settimeout(left)
            if not (piece := connection.recv(65536)):
                break
            received += piece
    if not received:
        raise ConnectionResetError
    return int(received.split(b" ", 2)[1])


class Kubelet:
    """Runs the one container of a Deployment, restarts it, and stops it within the grace period."""

    def __init__(
        self,
        manifests: Iterable[dict[str, Any]],
        folder: Path,
        clock: Clock,
        *,
        name: str = "petsage-7c5ddbdf54-x2x9z",
        secrets: Mapping[str, str] | None = None,
        restarts: bool = True,
        image: Path | None = None,
        **variables: object,
    ) -> None:
        """`name` is the pod's name; `secrets` has values by `name/key`. With `restarts=False` it
        notices that a restart is due, but does not restart. `image` is the root of another copy of
        PetSage, which runs instead of this one. `variables` are configuration without the prefix,
        which replaces the manifest's."""
        manifests = list(manifests)
        (deployment,) = [one for one in manifests if one["kind"] == "Deployment"]
        self._pod = deployment["spec"]["template"]["spec"]
        (self._container,) = self._pod["containers"]
        self._ports = {
            one["name"]: (one["containerPort"], free_port()) for one in self._container["ports"]
        }
        self._clock = clock
        self._restarts = restarts
        self._name = name
        self._log = folder / f"{name}.log"
        self._environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOSTNAME": name,
            **({"PYTHONPATH": str(image)} if image else {}),
            **service_links(manifests),
            **dict(self._variables(secrets or {})),
            **{f"PETSAGE_{name.upper()}": str(value) for name, value in variables.items()},
        }
        self.restarted = 0
        self.probes: dict[str, Probe] = {}
        self.process: subprocess.Popen[str]

    def port(self, name: str) -> int:
        """The port of this machine for the container's port of that name."""
        return self._ports[name][1]

    @property
    def served(self) -> Served:
        """The running container, as the helpers of other tests take it."""
        main, management = (f"http://127.0.0.1:{self.port(p)}" for p in ("http", "management"))
        return Served(self.process, main, management, self._log)

    def _variables(self, secrets: Mapping[str, str]) -> Iterable[tuple[str, str]]:
        for one in self._container["env"]:
            value = self._value(one, secrets)
            if value is not None:
                for inside, outside in self._ports.values():
                    value = value.replace(f":{inside}", f":{outside}")
                yield one["name"], value

    def _value(self, variable: Mapping[str, Any], secrets: Mapping[str, str]) -> str | None:
        """The variable's value; None if it is optional and missing."""
        if "valueFrom" not in variable:
            return str(variable["value"])
        source = variable["valueFrom"]
        if "fieldRef" in source:
            return {"metadata.name": self._name}[source["fieldRef"]["fieldPath"]]
        reference = source["secretKeyRef"]
        value = secrets.get(f"{reference['name']}/{reference['key']}")
        assert value is not None or reference["optional"], "CreateContainerConfigError"
        return value

    # --- what it knows

    @property
    def started(self) -> bool:
        return self.probes["startup"].verdict is True

    @property
    def ready(self) -> bool:
        """Whether the Services may send it traffic."""
        return self.started and self.probes["readiness"].verdict is True

    @property
    def restart_due(self) -> bool:
        return False in (self.probes["startup"].verdict, self.probes["liveness"].verdict)

    # --- what it does

    def start(self) -> None:
        """Starts the container by the manifest's own command; nothing is known of it then."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._container["command"],
                env=self._environment,
                cwd="/",
                stdout=log,
                stderr=log,
                start_new_session=True,
                text=True,
            )
        self.probes = {
            kind: Probe(spec, self.port(spec["httpGet"]["port"]), self._clock.now())
            for kind in ("startup", "liveness", "readiness")
            if (spec := self._container[f"{kind}Probe"])
        }

    def watch(self, until: Callable[[], bool], seconds: float = 20) -> None:
        """Sends probes and restarts if due, until `until()` is true; fails after `seconds`."""
        deadline = time.monotonic() + seconds
        while not until():
            outcomes = {kind: probe.outcomes[-5:] for kind, probe in self.probes.items()}
            assert time.monotonic() < deadline, f"{outcomes}\n{self._log.read_text()}"
            assert self.process.poll() is None, self._log.read_text()
            self._ask_next("liveness", "readiness")
            if self.restart_due and self._restarts:
                self.stop()
                self.restarted += 1
                self.start()

    def _ask_next(self, *kinds: str) -> None:
        """Sends the probe that is due next; only startup until that has succeeded."""
        probes = [self.probes[kind] for kind in (kinds if self.started else ("startup",))]
        probe = min(probes, key=lambda probe: probe.due)
        self._clock.wait_till(probe.due)
        probe.ask()
        probe.due = max(probe.due + probe.spec.get("periodSeconds", 10), self._clock.now())

    def stop(self) -> int:
        """Sends SIGTERM, and SIGKILL after the grace period; returns the exit code.

        Until the end it sends only readiness probes. The grace period is in real seconds.
        """
        deadline = time.monotonic() + self._pod["terminationGracePeriodSeconds"]
        self.process.send_signal(signal.SIGTERM)
        while self.process.poll() is None and time.monotonic() < deadline:
            self._ask_next("readiness")
        return self.kill()

    def kill(self) -> int:
        """Kills all processes of the container; returns the exit code of the first one."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait(10)


def service_links(manifests: Iterable[dict[str, Any]]) -> dict[str, str]:
    """The variables that a pod gets for each Service with an address.

    https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
    """
    links: dict[str, str] = {}
    for one in manifests:
        if one["kind"] == "Service" and one["spec"].get("clusterIP") != "None":
            links |= _links(one["metadata"]["name"].upper().replace("-", "_"), one["spec"]["ports"])
    return links


def _links(name: str, ports: list[dict[str, Any]], address: str = "10.96.0.7") -> dict[str, str]:
    first = ports[0]["port"]
    links = {
        f"{name}_SERVICE_HOST": address,
        f"{name}_SERVICE_PORT": str(first),
        f"{name}_PORT": f"tcp://{address}:{first}",
    }
    for one in ports:
        prefix = f"{name}_PORT_{one['port']}_TCP"
        links |= {
            f"{name}_SERVICE_PORT_{one['name'].upper()}": str(one["port"]),
            prefix: f"tcp://{address}:{one['port']}",
            f"{prefix}_PROTO": "tcp",
            f"{prefix}_PORT": str(one["port"]),
            f"{prefix}_ADDR": address,
        }
    return links
