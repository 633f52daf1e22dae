"""The start: refuses what gunicorn would accept, then runs gunicorn in this process."""

import gc
import os
import sys
import traceback
from pathlib import Path
from tempfile import TemporaryFile
from typing import NoReturn

from petsage.applications import find
from petsage.config import Config, ConfigError
from petsage.errors import PetSageError
from petsage.serving.listeners import Handover
from petsage.serving.loading import OWN_APPLICATION, ServeError, refuse_patched_threads


def serve(config: Config, application: str = OWN_APPLICATION) -> NoReturn:
    """Serves PetSage, or the WSGI application named `package.module:app`, by gunicorn.

    gunicorn runs in this process: a second interpreter would double the time that a start takes.

    Raises `ServeError` if an address is taken or cannot be used, `ApplicationError` if there is no
    such module, `ConfigError` if systemd's sockets are not the configured ones, and
    `petsage.FeatureError` as `petsage.create_app` does.
    """
    # If a standard stream is closed, the next file or socket that is opened would take its place,
    # and get the log.
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(spare)
    refuse_environment()
    gc.disable()  # until the arbiter is ready: nothing that is imported could be collected
    find(application)
    handover = Handover.received(config)
    try:
        _run(config, application, handover)
    except PetSageError:
        raise
    except Exception:  # the application's, while it is loaded: its author needs the trace
        traceback.print_exc()
        sys.exit(1)


def _run(config: Config, application: str, handover: Handover) -> NoReturn:
    variables = ("WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS")
    hidden = {name: os.environ.pop(name) for name in variables if name in os.environ}
    # gunicorn reads these variables while it is imported.
    from petsage.serving.application import ServedApplication
    from petsage.serving.reload import ReloadingArbiter

    os.environ.update(hidden)
    sys.exit(ReloadingArbiter(ServedApplication(config, application, handover)).run())


def refuse_environment() -> None:
    """Raises `ConfigError` or `ServeError` for what would break a start, or the instance later."""
    if os.environ.get("GUNICORN_CMD_ARGS", "").strip():
        raise ConfigError("GUNICORN_CMD_ARGS: not allowed: PETSAGE_* variables set everything")
    refuse_patched_threads()
    folder = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
    try:  # each worker has a file there
        TemporaryFile(dir=folder).close()
    except OSError as error:
        where = folder or "any temporary folder"
        raise ServeError(f"cannot write to {where}: {error.strerror}") from error
