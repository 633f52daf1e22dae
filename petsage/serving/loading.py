"""The application that is served: found by its name, and loaded."""

import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gunicorn import util
from gunicorn.errors import AppImportError

from petsage.checks import whereabouts
from petsage.errors import PetSageError
from petsage.printable import one_line

OWN_APPLICATION = "petsage:create_app()"

PROVEN = "could be served"
"""What `petsage serve --test` says of an application that holds."""


class ServeError(PetSageError):
    """The application cannot be served; the message says why, in one line."""


def find(application: str) -> None:
    """Raises `ServeError` unless there is a module for `package.module:app`."""
    name, colon, attribute = application.partition(":")
    if not (re.fullmatch(r"\w+(\.\w+)*", name) and colon and attribute):
        raise ServeError(f"{application!r} is not of the form package.module:app")
    try:
        here = str(Path.cwd())
    except OSError as error:
        raise ServeError(f"the working directory cannot be used: {error.strerror}") from error
    if here not in sys.path:
        sys.path.insert(0, here)
    with in_one_line(application):  # a package that holds the module is imported
        found = importlib.util.find_spec(name)
    if found is None:
        raise ServeError(f"{application!r}: there is no module {name!r} here")


def loaded(application: str) -> Any:
    """The WSGI callable. Raises what the application raises, and `ServeError` if that has patched
    threads away, or if it is an ASGI callable, all of whose answers would be errors."""
    try:
        app = util.import_app(application)
    finally:  # the patching may also have failed the import
        refuse_patched_threads()
    if any(map(inspect.iscoroutinefunction, (app, type(app).__call__))):
        raise ServeError(f"{application!r} is an ASGI application: PetSage serves WSGI")
    return app


def refuse_patched_threads() -> None:
    """Raises `ServeError` if gevent has replaced threads and sockets: both listeners would hang."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey and monkey.saved:
        raise ServeError("gevent.monkey has patched this process: PetSage serves by real threads")


@contextmanager
def in_one_line(application: str) -> Iterator[None]:
    """Makes a `ServeError` of what the application raises while it is imported."""
    try:
        yield
    except PetSageError:
        raise
    except (AppImportError, ImportError, SyntaxError) as error:  # these say where
        raise ServeError(f"{application!r}: {one_line(error)}") from error
    except (Exception, SystemExit) as error:
        raise ServeError(f"{application!r} raised {whereabouts(error)}") from error
