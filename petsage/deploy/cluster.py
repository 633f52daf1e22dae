"""What differs from one cluster to another, and the files that are printed from it."""

import re
from dataclasses import dataclass
from string import Template

from petsage import deploy

# https://github.com/distribution/reference: [HOST[:PORT]/]PATH[:TAG][@DIGEST]
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?=.{{1,512}}\Z)(?:{_LABEL}(?:\.{_LABEL})*(?::\d{{1,5}})?/)?{_PART}(?:/{_PART})*"
    r"(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?",
    re.ASCII,
)

# https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
_RELEASE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", re.ASCII)

# A Service's name begins with a letter (RFC 1035). The Deployment appends 17 characters for a pod,
# whose name has 63 at most.
_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,44}[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")

_APPLICATION = re.compile(r"\w+(?:\.\w+)*:\w+(?:\(\))?", re.ASCII)


def image(text: str) -> str:
    """An image reference. Each function here raises `ValueError`, in words for the user."""
    return _matched(_IMAGE, text, "is not an image reference, such as registry.example/pets:1.0.0")


def release(text: str) -> str:
    """A release that can be a label's value."""
    words = (
        "is not a release that Kubernetes takes: 1 to 63 letters, digits, -, _ and ., "
        "a letter or digit first and last"
    )
    return _matched(_RELEASE, text, words)


def name(text: str) -> str:
    """A name that every object and pod can have."""
    words = "is not a name: 1 to 46 small letters, digits and -, a letter first, no - last"
    return _matched(_NAME, text, words)


def namespace(text: str) -> str:
    """A namespace's name."""
    words = "is not a namespace: 1 to 63 small letters, digits and -, no - first or last"
    return _matched(_NAMESPACE, text, words)


def application(text: str) -> str:
    """What `petsage serve` takes."""
    return _matched(_APPLICATION, text, "is not of the form package.module:app")


def replicas(text: str) -> tuple[int, int]:
    """How many pods there are at least and at most, from MIN or MIN:MAX."""
    found = re.fullmatch(r"([0-9]{1,4})(?::([0-9]{1,4}))?", text)
    least, most = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= least <= most:
        raise ValueError(f"{text!r} is not MIN or MIN:MAX, from 1 to 9999, the larger one last")
    return least, most


def _matched(pattern: re.Pattern[str], text: str, otherwise: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"{text!r} {otherwise}")
    return text


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The place of one deployment. Each value has passed its function above."""

    name: str
    """Of every object, and the value of its label."""
    namespace: str | None = None
    """Where the objects stand; None leaves it to kubectl."""

    def print(self, file: str, **more: str | int | None) -> str:
        """The file with these values in it.

        What a value of None is for is not printed: the line, or the item of a list.
        """
        given = {"name": self.name, "namespace": self.namespace, **more}
        scope = f" --namespace {self.namespace}" if self.namespace else ""
        text = deploy.text(file)
        for one in (key for key, value in given.items() if value is None):
            text = re.sub(rf'(?m), "\${one}"|^ *\w+: "\${one}"\n', "", text)
        return Template(text).substitute(given, scope=scope)
