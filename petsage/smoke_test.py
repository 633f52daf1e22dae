"""The smoke test: where it is, and what it answers."""

from dataclasses import dataclass

SMOKE_TEST = "smoke_test"
"""PetSage's own feature, and the check of it."""

PATH = "/api/v1/smoke-test"
"""Where it is, on the main listener; and the path of a target that names none."""


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
