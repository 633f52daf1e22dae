"""What the smoke test answers."""

from dataclasses import dataclass

from petsage.checks import SMOKE_TEST


@dataclass(frozen=True, slots=True)
class SmokeTest:
    """What the smoke test answers."""

    status: str
    message: str
    feature: str
    failed: tuple[str, ...] = ()
    """The names of the failing checks; empty when all is well."""


SUCCESS = SmokeTest("ok", "PetSage Smoke Test: Success!", SMOKE_TEST)
FAILURE = SmokeTest("error", "PetSage Smoke Test: Failed!", SMOKE_TEST)
