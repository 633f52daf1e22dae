"""What a log line looks like, whoever writes it: gunicorn, Flask, PetSage, the application."""

import json
import logging
import re
import traceback
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from datetime import datetime
from typing import Any, TextIO, cast

from petsage.config import Config
from petsage.log_queue import QueueHandler
from petsage.printable import escaped

request_headers: ContextVar[Iterable[tuple[str, str]]] = ContextVar("request_headers", default=())
"""The headers of the request that this thread serves; the names are in capitals."""

_HARMLESS = re.compile(r"[0-9A-Za-z_-]{8,64}", re.ASCII)  # the same rule as in deploy/nginx.conf
_FRAME = re.compile(r"[ |]*  File ")  # the bars are an ExceptionGroup's


def request_id() -> str | None:
    """The ID of the request that this thread serves; None if it has none, or a harmful one."""
    headers = request_headers.get()
    return harmless(",".join(value for name, value in headers if name == "X-REQUEST-ID"))


def harmless(identifier: str) -> str | None:
    """The identifier if it has 8 to 64 ASCII letters, digits, `_` and `-`, else None."""
    return identifier if _HARMLESS.fullmatch(identifier) else None


def enabled_logger(name: str) -> logging.Logger:
    """The logger of this name, enabled again: by default `logging.config.dictConfig` disables every
    existing logger that it does not name, and applications call it without that in mind."""
    logger = logging.getLogger(name)
    logger.disabled = False
    return logger


def settings(config: Config) -> dict[str, Any]:
    """The argument of `logging.config.dictConfig`: one handler, to standard error, for all."""
    loggers = ("gunicorn.error", "gunicorn.access")
    form = JsonFormatter if config.log_format == "json" else TextFormatter
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "petsage": {"()": form, "release": config.release, "instance": config.instance}
        },
        "handlers": {"stderr": {"()": QueueHandler, "formatter": "petsage"}},
        "root": {"level": config.log_level.upper(), "handlers": ["stderr"]},
        "loggers": {name: {"handlers": [], "propagate": True} for name in loggers},
    }


def streams() -> tuple[TextIO, TextIO]:
    """Standard output and standard error, through the log's queue, which `settings` sets up."""
    queue = cast(QueueHandler, logging.getLogger().handlers[0])
    return queue.stream(1), queue.stream(2)


class JsonFormatter(logging.Formatter):
    """One JSON object in each line, in ASCII: no text of a client's can end the line early."""

    def __init__(self, release: str, instance: str) -> None:
        super().__init__()
        self._release = release
        self._instance = instance

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self._fields(record))

    def _fields(self, record: logging.LogRecord) -> dict[str, object]:
        identifier = request_id()
        moment = datetime.fromtimestamp(record.created).astimezone()
        return {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "release": self._release,
            "instance": self._instance,
            "logger": record.name,
            "process": record.process,
            **({"request_id": identifier} if identifier else {}),
            "event": _event(record),
            **({"trace": "".join(trace)} if (trace := _trace(record)) else {}),
        }


class TextFormatter(JsonFormatter):
    """The same fields as text in one line, with a trace in indented lines below it.

    The event, which may hold a client's text, stands last, and what cannot be printed is escaped:
    nobody can forge a line.
    """

    def format(self, record: logging.LogRecord) -> str:
        fields = self._fields(record)
        identifier = fields.get("request_id", "-")
        head = (
            f"{fields['time']} {fields['level']} {self._release} {self._instance}"
            f" {record.name}[{record.process}] {identifier} {escaped(str(fields['event']))}"
        )
        return "\n".join([head, *_indented(_trace(record))])


def _event(record: logging.LogRecord) -> str:
    """The message. If its arguments do not fit it, both as they are: nothing must be lost."""
    try:
        return record.getMessage()
    except Exception:
        return f"{record.msg!r} {record.args!r}"


def _trace(record: logging.LogRecord) -> list[str]:
    trace = traceback.format_exception(*record.exc_info) if record.exc_info else []
    return trace + (record.stack_info or "").splitlines(keepends=True)


def _indented(trace: Iterable[str]) -> Iterator[str]:
    for piece in trace:
        # A stack frame is several lines. A line break in a message is the message's: it is escaped.
        for line in piece.splitlines() if _FRAME.match(piece) else [piece.strip("\n")]:
            yield "    " + escaped(line)
