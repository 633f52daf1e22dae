"""The printed manifests, read as a cluster reads them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml
from click.testing import CliRunner, Result

from petsage.cli import main
from petsage.config import Config

Object = dict[str, Any]


def run(*arguments: str) -> Result:
    """Runs `petsage deploy` with these arguments."""
    return CliRunner().invoke(main, ["deploy", *arguments])


@dataclass(frozen=True)
class Manifests:
    """All objects of one deployment."""

    name: str
    objects: tuple[Object, ...]

    @classmethod
    def read(cls, text: str) -> "Manifests":
        return cls.of(yaml.safe_load_all(text))

    @classmethod
    def of(cls, objects: Iterable[Object]) -> "Manifests":
        objects = tuple(objects)
        (name,) = (one["metadata"]["name"] for one in objects if one["kind"] == "Deployment")
        return cls(name, objects)

    def object(self, kind: str, suffix: str | None = None) -> Object:
        """The only object of that kind, or the one whose name is the deployment's plus `suffix`."""
        of_kind = [one for one in self.objects if one["kind"] == kind]
        if suffix is not None:
            of_kind = [one for one in of_kind if one["metadata"]["name"] == self.name + suffix]
        (only,) = of_kind
        return dict(only)

    def spec(self, kind: str, suffix: str | None = None) -> Object:
        return dict(self.object(kind, suffix)["spec"])

    def pod(self, kind: str) -> Object:
        return dict(self.spec(kind)["template"]["spec"])

    def container(self, kind: str) -> Object:
        (one,) = self.pod(kind)["containers"]
        return dict(one)

    def labels(self, kind: str) -> dict[str, str]:
        """The labels of the pods that an object of that kind makes."""
        return dict(self.spec(kind)["template"]["metadata"]["labels"])

    def config(self) -> Config:
        """The configuration that PetSage loads from the server's variables."""
        given = self.container("Deployment")["env"]
        return Config.load({one["name"]: one.get("value", "") for one in given})

    def job_command(self) -> list[str]:
        """The Job's command, its variables expanded as a kubelet expands them."""
        container = self.container("Job")
        known = {f"$({one['name']})": one["value"] for one in container["env"]}
        return list(_expanded(container["command"], known))


def _expanded(command: list[str], known: dict[str, str]) -> Iterable[str]:
    for word in command:
        for name, value in known.items():
            word = word.replace(name, value)
        yield word


IMAGE = "registry.example/petsage:1.0.0"


def printed(*options: str, image: str = IMAGE, release: str = "1.0.0") -> Manifests:
    """What `petsage deploy kubernetes` prints with these options."""
    done = run("kubernetes", "--image", image, "--release", release, *options)
    assert done.exit_code == 0, done.output
    return Manifests.read(done.stdout)
