"""An application: loaded by its name, and found within what wraps it."""

import functools
import importlib
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any, ClassVar

from petsage.checks import whereabouts
from petsage.errors import PetSageError
from petsage.printable import one_line

_NAME = re.compile(r"(?P<module>\w+(?:\.\w+)*):(?P<attribute>\w+)(?P<called>\(\))?")
_BARE = (str, bytes, int, float, type)
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

    WSGI middleware holds the application that it wraps: in an attribute, in a dictionary of mounted
    applications, in a function's closure, as a method of it. No property is called.
    """
    found, waiting = {id(application)}, deque([application])
    while waiting:
        one = waiting.popleft()
        yield one
        for inner in _held(one):
            if len(found) == _MOST:
                break
            if id(inner) not in found and not issubclass(type(inner), _BARE):
                found.add(id(inner))
                waiting.append(inner)


def attributes(one: object) -> dict[str, object]:
    """An object's own attributes, also of one that stands in for another, as werkzeug's do."""
    try:
        own = object.__getattribute__(one, "__dict__")
    except AttributeError:
        return {}
    return dict(own) if isinstance(own, dict) else {}


def _held(one: object) -> Iterator[object]:
    yield from attributes(one).values()
    # By the type: isinstance would ask a stand-in what it stands for.
    yield from _HELD.get(type(one), lambda _: ())(one)


def _closed_over(function: FunctionType) -> Iterator[object]:
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # it is still empty
            yield cell.cell_contents


_HELD: dict[type, Callable[[Any], Iterable[object]]] = {
    dict: dict.values,
    list: iter,
    tuple: iter,
    MethodType: lambda method: (method.__self__,),
    functools.partial: lambda partial: (partial.func, *partial.args, *partial.keywords.values()),
    FunctionType: _closed_over,
}
"""What an object of one of these types holds besides its attributes."""
