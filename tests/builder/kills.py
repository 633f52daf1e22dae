"""Builders that are killed: no feature is ever half there, and the next run clears up."""

import json
import subprocess
import sys
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from petsage.builder import project, proof, workspace
from petsage.builder.workspace import FOLDER
from tests.builder.projects import environment, snapshot
from tests.support import running

ADD = ("add", "vet", "--description", "Finds one", "--requirement", "Ring twice")
REMOVE = ("remove", "vet")
UPDATE = ("update", *ADD[1:], "--field", "day:date!")


class Killed:
    """Kills runs, and counts for each command the runs that left the project as before, and those
    that had changed it completely.

    The commands run in turn: each can follow the one before it, and the first one the last one.
    """

    def __init__(self, root: Path, *commands: tuple[str, ...]) -> None:
        self.root, self.commands = root, commands
        self.outcomes = {command[0]: [0, 0] for command in commands}
        self.seconds: dict[tuple[str, ...], float] = {}
        self.states: dict[tuple[str, ...], object] = {}
        for command in (ADD, *commands):
            began = time.monotonic()
            assert self._run(command) == 0
            self.seconds[command] = time.monotonic() - began
            self.states[command] = self._tree()

    def _running(self, command: tuple[str, ...]) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Runs a command; at the end of the block it is killed."""
        program = [sys.executable, "-m", "petsage", "feature", *command]
        nowhere = subprocess.DEVNULL
        return running(program, cwd=self.root, env=environment(), stdout=nowhere, stderr=nowhere)

    def _run(self, command: tuple[str, ...]) -> int:
        with self._running(command) as run:
            return run.wait(60)

    def _tree(self) -> dict[str, bytes | None]:
        return {p: c for p, c in snapshot(self.root).items() if FOLDER not in p}

    def kill(self, number: int, share: float) -> None:
        """Kills the next command after this share of the time that it takes."""
        command, before = self.commands[number % len(self.commands)], self._tree()
        with self._running(command) as run, suppress(subprocess.TimeoutExpired):
            run.wait(share * self.seconds[command])
        after = self._tree()
        is_whole = after == self.states[command]
        assert is_whole or after == before
        assert {feature for _, feature in proof.application(self.root).routes} <= {
            None,
            *project.features(self.root),
        }
        with workspace.locked(self.root, "vet"):
            assert self._tree() == after
        assert not (self.root / FOLDER).exists()
        self.outcomes[command[0]][is_whole] += 1
        if not is_whole:
            assert self._run(command) == 0

    def __str__(self) -> str:
        return json.dumps(self.outcomes)
