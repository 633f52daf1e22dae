"""The plan of a rollout."""

import math
from dataclasses import dataclass

from petsage.client import Target
from petsage.contract import SMOKE_TEST_CONTRACT, Contract


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPlan:
    """What is to be proven, and how long that may take."""

    targets: tuple[Target, ...]
    every_address: bool = False
    """Whether each address that a name resolves to is asked; if not, one of them is."""
    instances: int = 0
    """How many instances must have answered for each target."""
    release: str = ""
    """The release that each answer must carry. Without one, all answers of a target must carry
    the same."""
    contract: Contract = SMOKE_TEST_CONTRACT
    max_latency_seconds: float = math.inf
    timeout_seconds: float = 5
    """For one answer, from the connection to the last byte; and for one look-up of a name."""
    consecutive: int = 1
    """How many rounds in a row must be without a breach."""
    wait_seconds: float = 0
    """For the whole rollout. With 0 it does not wait: the first breach ends it."""

    @property
    def max_requests(self) -> int:
        """How many requests a round may send to each target to find all instances.

        With N instances behind a balancer that picks at random, n requests miss one of them with a
        chance below N·exp(-n/N). This number brings that to exp(-12), 1 in 160,000: 40 for three.
        """
        return math.ceil(self.instances * (math.log(self.instances) + 12)) if self.instances else 1
