"""The files that deploy PetSage, as `petsage deploy` prints them."""

import re
from pathlib import Path
from string import Template

# https://github.com/distribution/reference: [HOST[:PORT]/]PATH[:TAG][@DIGEST]
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:{_LABEL}(?:\.{_LABEL})*(?::\d{{1,5}})?/)?{_PART}(?:/{_PART})*"
    r"(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?",
    re.ASCII,
)

# It becomes a label's value and, behind "petsage-smoke-test-", a Job's name: both have at most 63
# characters (https://kubernetes.io/docs/concepts/overview/working-with-objects/names/).
_RELEASE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,42}[A-Za-z0-9])?", re.ASCII)


def text(name: str) -> str:
    """The file of that name, as it stands in the package."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def kubernetes(image: str, release: str) -> str:
    """The manifests that roll out `image` as `release`.

    Raises `ValueError`, in words for the user, for what is not an image reference or a label's
    value: nothing else gets into the YAML.
    """
    if len(image) > 512 or not _IMAGE.fullmatch(image):
        raise ValueError(
            f"{image!r} is not an image reference, such as registry.example/petsage:1.0.0"
        )
    if not _RELEASE.fullmatch(release):
        raise ValueError(
            f"{release!r} is not a release that Kubernetes takes: 1 to 44 letters, digits, "
            "-, _ and ., a letter or digit first and last"
        )
    suffix = re.sub("[_.]", "-", release.lower())
    return Template(text("kubernetes.yaml")).substitute(image=image, release=release, suffix=suffix)
