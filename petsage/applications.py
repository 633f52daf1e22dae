"""An application: loaded by its name, and found within what wraps it."""

import gc
import importlib
import os
import re
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import ClassVar

from petsage.checks import whereabouts
from petsage.errors import PetSageError
from petsage.printable import one_line

_NAME = re.compile(r"(?P<module>\w+(?:\.\w+)*):(?P<attribute>\w+)(?P<called>\(\))?")
_BARE = (str, bytes, int, float, type, ModuleType)
_MOST = 2000
"""How many objects are looked at: a wrapped application is near."""


class ApplicationError(PetSageError):
    """The application cannot be loaded; the message says why, in one line."""

    exit_code: ClassVar[int] = os.EX_CONFIG


def load(name: str) -> object:
    """The application that `package.module:app` or `package.module:create_app()` names.

    Modules are looked up in the working directory too. Raises `ApplicationError`.
    """
    found = _NAME.fullmatch(name)
    if not found:
        given = one_line(repr(name))
        raise ApplicationError(f"{given} is not of the form package.module:app or package:create()")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        application: object = getattr(importlib.import_module(found["module"]), found["attribute"])
        return application() if found["called"] and callable(application) else application
    except PetSageError:
        raise
    except (ImportError, SyntaxError) as error:  # these say where, and hold no secret
        raise ApplicationError(f"{name}: {one_line(error)}") from error
    except AttributeError as error:
        if error.name == found["attribute"]:
            raise ApplicationError(f"{name}: the module has no {error.name}") from None
        raise ApplicationError(f"{name} raised {whereabouts(error)}") from error
    except (Exception, SystemExit) as error:
        raise ApplicationError(f"{name} raised {whereabouts(error)}") from error


def wrapped(application: object) -> Iterator[object]:
    """An application and the objects that it holds, the outermost first.

    WSGI middleware holds the application that it wraps: in an attribute or a slot, in a container
    of mounted applications, in a function's closure or defaults, as a method of it. What an object
    holds is what the garbage collector says: no property is called, no iteration is begun.
    """
    found, waiting = {id(application)}, deque([application])
    while waiting:
        one = waiting.popleft()
        yield one
        for inner in gc.get_referents(one):
            if len(found) == _MOST:
                break
            if id(inner) not in found and not _is_elsewhere(inner):
                found.add(id(inner))
                waiting.append(inner)


def _is_elsewhere(one: object) -> bool:
    """Whether it holds no application, or leads to those of the whole process, as the names of a
    module do."""
    return issubclass(type(one), _BARE) or (type(one) is dict and "__builtins__" in one)


def attributes(one: object) -> dict[str, object]:
    """An object's own attributes, also of one that stands in for another, as werkzeug's do."""
    try:
        own = object.__getattribute__(one, "__dict__")
    except AttributeError:
        return {}
    return dict(own) if isinstance(own, dict) else {}
