"""The values of options that several commands have. Each raises `click.BadParameter`."""

from contextlib import suppress

import click


def seconds(text: str, at_least: float = 0.001) -> float:
    """A number of seconds, a day at most."""
    with suppress(ValueError):
        if at_least <= float(text) <= 86400:
            return float(text)
    raise click.BadParameter(f"it must be a number of seconds from {at_least:g} to 86400")


def seconds_or_0(text: str) -> float:
    """The same, but it may be 0."""
    return seconds(text, at_least=0)
