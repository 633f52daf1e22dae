"""The application that is served, and what cannot be served."""

import inspect
import sys
from typing import Any

from gunicorn import util

from petsage.errors import PetSageError

OWN_APPLICATION = "petsage:create_app()"

PROVEN = "could be served"
"""What `petsage serve --test` prints if all is well."""


class ServeError(PetSageError):
    """The application cannot be served; the message says why, in one line."""


def loaded(application: str) -> Any:
    """The WSGI callable. Raises what the application raises, and `ServeError` if it has patched
    threads, or is an ASGI callable: each answer would be an error."""
    try:
        app = util.import_app(application)
    finally:  # the import may have failed just because of the patching
        refuse_patched_threads()
    if any(map(inspect.iscoroutinefunction, (app, type(app).__call__))):
        raise ServeError(f"{application!r} is an ASGI application: PetSage serves WSGI")
    return app


def refuse_patched_threads() -> None:
    """Raises `ServeError` if gevent has replaced threads and sockets: both listeners would hang."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey and monkey.saved:
        raise ServeError("gevent.monkey has patched this process: PetSage serves by real threads")
