"""The files that deploy PetSage, as `petsage deploy` prints them."""

from pathlib import Path


def text(name: str) -> str:
    """The content of the file of that name in this package."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
