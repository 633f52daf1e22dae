"""What is known of a target over all rounds. It asks nobody, and knows no clock."""

from petsage.client import Target
from petsage.contract import Breach
from petsage.rollout.asking import Inquiry, RolloutPlan
from petsage.rollout.verdict import EVERY, Finding, judge_instances, judge_releases


class Record:
    """What is known of a target."""

    def __init__(self, plan: RolloutPlan, target: Target) -> None:
        self._plan = plan
        self._target = target
        self._addresses: tuple[str, ...] | None = None
        self.answers: list[Finding] = []
        """All that the latest round found; of an address that had no time to answer in it, what
        the round before found there."""
        self.rows: list[Finding] = []
        """The latest answer of each address, or a broken one, and what is wrong with all."""
        self.breaches: list[Breach] = []
        """All that was wrong in the latest round."""
        self.waiting: list[str] = []
        """Who has not answered in the latest round, if an earlier answer stands instead."""
        self.notes: list[str] = []
        """The addresses that appeared and vanished, and when."""

    def learn(self, inquiry: Inquiry, number: int) -> None:
        """Enters what round `number` has found, which may be cut."""
        fresh = inquiry.findings
        self._compare(inquiry.addresses, number)
        self.answers = standing(fresh, self.answers)
        self.rows = self._rows()
        self.breaches = [found.breach for found in [*fresh, *self.rows] if found.breach]
        cut = {row.address for row in self.rows if row.cut}
        late = {found.address: found for found in reversed(fresh) if found.cut}
        self.waiting = [
            f"{found} for {found.seconds or 0:.1f} s"
            for address, found in late.items()
            if address not in cut
        ]

    def _rows(self) -> list[Finding]:
        answers = self.answers
        latest = {answer.address: answer for answer in answers}
        latest |= {answer.address: answer for answer in answers if answer.breach}
        breach = judge_releases(answers, self._plan.release)
        if not any(answer.breach for answer in answers):
            breach = breach or judge_instances(answers, self._plan.instances)
        together = [Finding(self._target.url, EVERY, breach)] if breach else []
        return [*latest.values(), *together]

    def _compare(self, found: tuple[str, ...] | None, number: int) -> None:
        """Notes which addresses are new and which are gone since they were looked up last."""
        if found is None or not self._plan.every_address:
            return
        known = found if self._addresses is None else self._addresses
        changes = [f"{address} appeared" for address in found if address not in set(known)]
        changes += [f"{address} vanished" for address in known if address not in set(found)]
        self.notes += [f"round {number}: {self._target.url}: {change}" for change in changes]
        self._addresses = found


def standing(fresh: list[Finding], old: list[Finding]) -> list[Finding]:
    """What is known of a target: an address that was cut keeps its answers of the round before."""
    if old and all(found.cut and not found.address for found in fresh):
        return old  # there was no time even for its name
    asked = {found.address for found in fresh}
    known = [found for found in fresh if not found.cut]
    for others in (old, fresh):
        missing = asked - {found.address for found in known}
        known += [found for found in others if found.address in missing]
    return known
