"""What `petsage check` prints."""

import os
import shutil

import click

from petsage.health.report import Report
from petsage.health.schemas import result_fields
from petsage.json_text import json_line


def show_progress(line: str) -> None:
    """Shows a line on the terminal in place of the last one. Without a terminal it does nothing."""
    if os.isatty(2):
        click.echo(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}", nl=False, err=True)


def as_table(report: Report) -> str:
    """A line for each check: name, status, duration, and the value and the reason if any."""
    width = max(len(result.name) for result in report.results)
    return "".join(
        f"{r.name:{width}}  {r.status}  {r.duration_seconds:6.3f} s  {r.words}".rstrip() + "\n"
        for r in report.results
    )


def as_json(report: Report) -> bytes:
    """The report as a JSON document, for machines."""
    checks = [{"name": result.name, **result_fields(result)} for result in report.results]
    return json_line({"status": report.status, "checks": checks})
