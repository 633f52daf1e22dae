"""An application: loaded by its name, and found within what wraps it."""

import gc
import importlib.util
import re
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from petsage.errors import PetSageError
from petsage.printable import one_line
from petsage.tracebacks import whereabouts

_SKIPPED = (str, bytes, int, float, type, ModuleType)
_MAX_OBJECTS = 2000
"""How many objects are looked at. What a middleware wraps is close to it."""


class ApplicationError(PetSageError):
    """The application cannot be loaded; the message says why, in one line."""


def find(name: str) -> None:
    """Raises `ApplicationError` unless there is a module for `package.module:app`.

    Modules are looked up in the working directory too, from now on.
    """
    module, _, attribute = name.partition(":")
    if not (re.fullmatch(r"\w+(\.\w+)*", module) and attribute):
        raise ApplicationError(f"{_quoted(name)} is not of the form package.module:app")
    try:
        here = str(Path.cwd())
    except OSError as error:
        reason = f"the working directory cannot be used: {error.strerror}"
        raise ApplicationError(reason) from error
    if here not in sys.path:
        sys.path.insert(0, here)
    with in_one_line(name):  # a package that holds the module is imported
        spec = importlib.util.find_spec(module)
    if spec is None:
        raise ApplicationError(f"{_quoted(name)}: there is no module {_quoted(module)} here")


def load(name: str) -> object:
    """The application that `package.module:app` or `package.module:create_app()` names, as gunicorn
    reads it. Raises `ApplicationError`."""
    from gunicorn import util  # here: a check can be written without loading gunicorn

    find(name)
    with in_one_line(name):
        application: object = util.import_app(name)
    return application


@contextmanager
def in_one_line(name: str) -> Iterator[None]:
    """Turns what the application of that name raises into an `ApplicationError` of one line."""
    from gunicorn.errors import AppImportError

    try:
        yield
    except PetSageError:
        raise
    except (AppImportError, ImportError, SyntaxError) as error:  # these say where
        raise ApplicationError(f"{_quoted(name)}: {one_line(error)}") from error
    except (Exception, SystemExit) as error:
        raise ApplicationError(f"{_quoted(name)} raised {whereabouts(error)}") from error


def _quoted(name: str) -> str:
    return one_line(repr(name))


def objects_within(application: object) -> Iterator[object]:
    """An application and the objects that it holds, the outermost first.

    WSGI middleware holds the application that it wraps: in an attribute or a slot, in a container
    of mounted applications, in a function's closure or defaults, as a bound method of it. The
    garbage collector knows what an object holds, so no code of the object runs.
    """
    seen, waiting = {id(application)}, deque([application])
    while waiting:
        holder = waiting.popleft()
        yield holder
        for held in gc.get_referents(holder):
            if len(seen) == _MAX_OBJECTS:
                break
            if id(held) not in seen and not _is_skipped(held):
                seen.add(id(held))
                waiting.append(held)


def _is_skipped(held: object) -> bool:
    """Whether it holds no application, or, as a module's names do, leads to the whole process."""
    return issubclass(type(held), _SKIPPED) or (type(held) is dict and "__builtins__" in held)


def attributes(instance: object) -> dict[str, object]:
    """An object's own attributes. A proxy, such as one of werkzeug's, is not resolved."""
    try:
        own = object.__getattribute__(instance, "__dict__")
    except AttributeError:
        return {}
    return dict(own) if isinstance(own, dict) else {}
