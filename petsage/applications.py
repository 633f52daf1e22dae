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
_SKIPPED = (str, bytes, int, float, type, ModuleType)
_MAX_OBJECTS = 2000
"""How many objects are looked at. What a middleware wraps is close to it."""


class ApplicationError(PetSageError):
    """The application cannot be loaded; the message says why, in one line."""

    exit_code: ClassVar[int] = os.EX_CONFIG


def load(name: str) -> object:
    """The application that `package.module:app` or `package.module:create_app()` names.

    Modules are looked up in the working directory too. Raises `ApplicationError`.
    """
    match = _NAME.fullmatch(name)
    if not match:
        given = one_line(repr(name))
        raise ApplicationError(f"{given} is not of the form package.module:app or package:create()")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        application: object = getattr(importlib.import_module(match["module"]), match["attribute"])
        return application() if match["called"] and callable(application) else application
    except PetSageError:
        raise
    except (ImportError, SyntaxError) as error:  # these say where, and hold no secret
        raise ApplicationError(f"{name}: {one_line(error)}") from error
    except AttributeError as error:
        if error.name == match["attribute"]:
            raise ApplicationError(f"{name}: the module has no {error.name}") from None
        raise ApplicationError(f"{name} raised {whereabouts(error)}") from error
    except (Exception, SystemExit) as error:
        raise ApplicationError(f"{name} raised {whereabouts(error)}") from error


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
    """An object's own attributes; those of a proxy, as werkzeug has, not those of its object."""
    try:
        own = object.__getattribute__(instance, "__dict__")
    except AttributeError:
        return {}
    return dict(own) if isinstance(own, dict) else {}
