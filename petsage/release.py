"""What a release is; and the one that the build of an image writes into the package, so that image
and release cannot differ.

python -m petsage.release 2.0.0     (in the build, as whoever owns the package)
"""

import re
import sys
from pathlib import Path

RELEASE = re.compile(r"[!-~]{1,128}")
"""A release goes into a header and a metric's label: no spaces, no control characters."""

RULE = "must be 1 to 128 printable ASCII characters without spaces"
"""What a message says of a text that is no release."""

FILE = Path(__file__).with_name("RELEASE")


def baked_release(file: Path = FILE) -> str | None:
    """The release that the image was built as; None outside of such an image."""
    try:
        return file.read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None


def bake(release: str, file: Path = FILE) -> None:
    """Writes the release into the package. Raises `ValueError` for what is no release."""
    if not RELEASE.fullmatch(release):
        raise ValueError(f"RELEASE {RULE}")
    file.write_text(f"{release}\n", encoding="ascii")
    file.chmod(0o644)  # whatever the builder's umask is, the image's user reads it


if __name__ == "__main__":
    try:
        bake(" ".join(sys.argv[1:]))
    except ValueError as error:
        sys.exit(f"petsage: {error}")
