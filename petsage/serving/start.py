"""The start: refuses what gunicorn would not refuse, then runs gunicorn in this process."""

import errno
import gc
import importlib.util
import os
import re
import shutil
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import NoReturn

from petsage.address import Address
from petsage.checks import whereabouts
from petsage.config import Config, ConfigError
from petsage.errors import PetSageError
from petsage.serving.handover import handed_over

OWN_APPLICATION = "petsage:create_app()"


class ServeError(PetSageError):
    """The application cannot be served; the message says why, in one line."""


def serve(config: Config, application: str | None = None) -> NoReturn:
    """Becomes gunicorn, serving PetSage, or the WSGI application named `package.module:app`.

    It does so without an exec: a second interpreter would double the time that a start takes.

    Raises `ServeError` if an address is taken or cannot be used, or if there is no such module, and
    `petsage.FeatureError` as `petsage.create_app` does.
    """
    refuse_environment()
    gc.disable()  # until the arbiter is ready: what is imported stays, and is scanned for nothing
    if application:
        find(application)
    listeners, claims = handed_over(config), ExitStack()
    if not listeners:
        for address in {config.management_bind, config.bind}:
            claims.enter_context(_claimed(address))
        with bound(config.management_bind, config.bind):
            pass  # each address can be used: gunicorn binds it anew
    # gunicorn reads its command line from here, and SIGUSR2 makes it execute the same again.
    sys.argv = [_gunicorn(), "--config", "python:petsage.serving.settings"]
    sys.argv += [f"--bind=fd://{descriptor}" for descriptor in listeners]
    sys.argv += [application] if application else ["--preload", OWN_APPLICATION]
    from gunicorn.app.wsgiapp import WSGIApplication
    from gunicorn.errors import HaltServer

    try:
        gunicorn = WSGIApplication()
        gunicorn.claims = claims  # until its listeners are there
        sys.exit(gunicorn.run())
    except PetSageError:
        raise
    except HaltServer as halt:  # another worker could not boot while the arbiter halted for one
        sys.exit(halt.exit_status)
    except Exception:  # raised by the application while it is loaded: its author needs the trace
        traceback.print_exc()
        sys.exit(1)


def refuse_environment() -> None:
    """Raises `ConfigError` or `ServeError` for what would break a start, or the instance later."""
    if os.environ.get("GUNICORN_CMD_ARGS", "").strip():
        raise ConfigError("GUNICORN_CMD_ARGS: not allowed: PETSAGE_* variables set everything")
    refuse_patched_threads()
    if (memory := Path("/dev/shm")).is_dir():  # noqa: S108
        try:
            TemporaryFile(dir=memory).close()
        except OSError as error:
            raise ServeError(f"cannot write to {memory}: {error.strerror}") from error


def refuse_patched_threads() -> None:
    """Raises `ServeError` if gevent has replaced threads and sockets: both listeners would hang."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey and monkey.saved:
        raise ServeError("gevent.monkey has patched this process: PetSage serves by real threads")


@contextmanager
def _claimed(address: Address) -> Iterator[None]:
    """Only one start at a time has an address. The claim is an abstract socket, unix(7): it ends
    with its process."""
    name = str(address)
    if address.path and (parent := Path(address.path).parent).is_dir():
        folder = parent.stat()  # other containers may have a path of the same name
        name = f"{folder.st_dev} {folder.st_ino} {Path(address.path).name}"
    with socket.socket(socket.AF_UNIX) as claim:
        try:
            claim.bind(f"\0petsage {name}")
        except OSError as error:
            raise ServeError(f"cannot listen on {address}: another start is under way") from error
        yield


def _gunicorn() -> str:
    """The path of gunicorn's script, which SIGUSR2 executes: `python -m gunicorn` it could not."""
    beside = os.pathsep.join(str(Path(p).parent) for p in (sys.argv[0], sys.executable))
    script = shutil.which("gunicorn", path=beside) or shutil.which("gunicorn")
    if script is None:
        raise ServeError("there is no gunicorn script: install PetSage again")
    return script


def find(application: str) -> None:
    """Raises `ServeError` unless there is a module for `package.module:app`."""
    name, colon, attribute = application.partition(":")
    if not (re.fullmatch(r"\w+(\.\w+)*", name) and colon and attribute):
        raise ServeError(f"{application!r} is not of the form package.module:app")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as gunicorn does
    try:
        found = importlib.util.find_spec(name)
    except ImportError as error:
        raise ServeError(f"{application!r}: {error}") from error
    except Exception as error:  # raised by the package that holds the module
        raise ServeError(f"{application!r} raised {whereabouts(error)}") from error
    if found is None:
        raise ServeError(f"{application!r}: there is no module {name!r} here")


@contextmanager
def bound(*addresses: Address) -> Iterator[list[socket.socket]]:
    """Binds all TCP addresses at once, until the block ends, and tries the paths of the others.

    Raises `ServeError`, which names the first address that cannot be used. gunicorn alone would
    replace a live listener's unix socket silently, and retry a taken port for 5 s. The last
    address's socket does not listen: if it did, it would accept a proxy's POST and lose it.
    """
    if len(set(addresses)) < len(addresses):
        raise ServeError(f"cannot listen on {addresses[0]} twice: each listener needs its own")
    listeners = []
    with ExitStack() as held:
        for address in addresses:
            try:
                if address.path:
                    _try_path(Path(address.path))
                    continue
                listeners.append(held.enter_context(_bound(address)))
                if address is not addresses[-1]:  # two that are merely bound do not collide
                    listeners[-1].listen(1)
            except OSError as error:
                raise ServeError(f"cannot listen on {address}: {_why(error)}") from error
        yield listeners


def _bound(address: Address) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gunicorn does it
        listener.bind((address.host, address.port))
    except OSError:
        listener.close()
        raise
    return listener


def _try_path(path: Path) -> None:
    """Raises `OSError` unless gunicorn can make a socket there."""
    if not path.parent.is_dir():
        raise OSError(errno.ENOENT, f"there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, f"the folder {path.parent} is not writable")
    if path.exists() and not path.is_socket():
        raise OSError(errno.EEXIST, "what is there is not a socket")
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        # A listener whose queue is full gives EAGAIN.
        if client.connect_ex(str(path)) in (0, errno.EAGAIN):
            raise OSError(errno.EADDRINUSE, "in use")


def _why(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the address is in use"
    return error.strerror or str(error)
