"""The values that differ from cluster to cluster, and the files that are printed with them."""

import re
from collections.abc import Mapping
from string import Template

from petsage import deploy

# https://github.com/distribution/reference: [HOST[:PORT]/]PATH[:TAG][@DIGEST]
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE = (
    rf"(?=.{{1,512}}\Z)(?:{_LABEL}(?:\.{_LABEL})*(?::\d{{1,5}})?/)?{_PART}(?:/{_PART})*"
    r"(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
# gunicorn takes a factory's arguments too, but these could hold anything.
_APP = r"\w+(?:\.\w+)*:\w+(?:\(\))?"

FORMS: Mapping[str, tuple[str, str]] = {
    "image": (_IMAGE, "is not an image reference, such as registry.example/pets:1.0.0"),
    # https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
    "release": (
        r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?",
        "is not a release that Kubernetes takes: 1 to 63 letters, digits, -, _ and .; "
        "the first and the last are letters or digits",
    ),
    # A Service's name begins with a letter (RFC 1035). A pod's name has at most 63 characters, of
    # which the Deployment appends 17.
    "name": (
        r"[a-z](?:[a-z0-9-]{0,44}[a-z0-9])?",
        "is not a name: 1 to 46 lower-case letters, digits and -; "
        "the first is a letter, the last is not -",
    ),
    "namespace": (
        r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?",
        "is not a namespace: 1 to 63 lower-case letters, digits and -; "
        "the first and the last are not -",
    ),
    "app": (_APP, "is not package.module:app or package:create_app() without arguments"),
}
"""The pattern of each option's value, and the message for a value that does not match it. No other
value gets into the YAML."""


def filled(file: str, values: Mapping[str, str | int | None]) -> str:
    """The file with these values in it. Each has the form that `FORMS` has for its name.

    Where a value is None, what is for it alone is left out: an option of a command, an item of a
    list, a line that has no other value, and the lines that begin with it.
    """
    text = deploy.text(file)
    for name in (key for key, value in values.items() if value is None):
        option, item = rf" --\w+ \${name}\b", rf', "\${name}"'
        lines = rf'^ *\w+: "\${name}"\n|^\${{{name}}}.*\n'
        text = re.sub(f"{option}|{item}|{lines}", "", text, flags=re.MULTILINE)
    return Template(text).substitute(values)
