"""The `petsage` command: the table of its commands, and how an error ends one.

Exit codes: 1 for what the user has to mend, 2 for wrong usage, 70 for an internal error, 78 for a
wrong configuration (sysexits.h), 130 when interrupted, 143 by SIGTERM. Each command documents its
others.
"""

import os
from importlib import import_module
from typing import NoReturn

import click

from petsage.errors import PetSageError, Terminated
from petsage.tracebacks import whereabouts

INTERRUPTED = 130  # as in a shell: 128 + SIGINT
TERMINATED = 143  # 128 + SIGTERM

COMMANDS = {
    "serve": "petsage.serving.command",
    "check": "petsage.checking.command",
    "smoke-test": "petsage.rollout.command",
    "watch": "petsage.rollout.watch_command",
    "feature": "petsage.builder.command",
    "deploy": "petsage.deploy.command",
}
"""The module of each command, which has it as `command`. It is imported only if the command is
used: `petsage serve` loads neither the prover nor the builder."""


class _Commands(click.Group):
    """Every error becomes lines on standard error and an exit code, here and nowhere else."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[name]).command
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except PetSageError as error:
            _stop(error.lines(), error.exit_code)
        except Terminated:
            _stop("petsage: terminated", TERMINATED)
        except KeyboardInterrupt:
            _stop("petsage: interrupted", INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click prints these itself
        except Exception as error:
            _stop(f"petsage: internal error: {whereabouts(error)}", os.EX_SOFTWARE)


def _stop(message: str, code: int) -> NoReturn:
    click.echo(message, err=True)
    raise click.exceptions.Exit(code)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="petsage", prog_name="petsage", message="%(prog)s %(version)s")
def main() -> None:
    """PetSage tells the truth about a running Python service."""
