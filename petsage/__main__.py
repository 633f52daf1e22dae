"""`python -m petsage` is the `petsage` command."""

from petsage.cli import run

run()
