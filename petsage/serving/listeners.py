"""The listening sockets: those that were handed over, or new ones."""

import errno
import json
import os
import re
import socket
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from petsage.address import Address
from petsage.config import Config, ConfigError
from petsage.serving.loading import ServeError
from petsage.sockets import addresses_of

HANDOVER = "_PETSAGE_HANDOVER"
"""The variable that a `Handover` of a reload stands in."""

_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


class Handover(NamedTuple):
    """What an arbiter begins with."""

    pid: int
    """Whose it is: other processes may inherit the variable."""
    listeners: Sequence[int] = ()
    """The descriptors of the main and of the management listener; empty if there are none yet."""
    workers: Sequence[int] = ()
    """The workers of the code before a reload."""
    own: bool = True
    """Whether the paths of its unix sockets are its own, and go when it ends."""

    @classmethod
    def received(cls, config: Config) -> "Handover":
        """What the code before a reload, a parent's SIGUSR2 or systemd has left to this process.

        Raises `ConfigError` unless systemd's sockets are exactly the configured two. The variables
        are removed: they mean no other process.
        """
        left = cls(*json.loads(os.environ.pop(HANDOVER, "[0]")))
        parents, handed = _of_parent(), _of_systemd(config)
        if left.pid == os.getpid():
            return left
        return cls(os.getpid(), parents or handed, own=not handed)


def _of_parent() -> Sequence[int]:
    """What gunicorn passes on at SIGUSR2."""
    descriptors = os.environ.pop("GUNICORN_FD", "")
    if not re.fullmatch(r"\d+,\d+", descriptors):
        os.environ.pop("GUNICORN_PID", None)
        return []
    return [int(one) for one in descriptors.split(",")]


def _of_systemd(config: Config) -> Sequence[int]:
    """Which of systemd's sockets is which is decided by what they are bound to."""
    count, owner, _ = (os.environ.pop(f"LISTEN_{name}", "") for name in ("FDS", "PID", "FDNAMES"))
    if owner != str(os.getpid()) or count in ("", "0"):
        return []
    number = min(int(count[:4]), 16) if count.isdecimal() else 0  # more are refused anyway
    bound = {fd: _bound_to(fd) for fd in range(3, 3 + number)}  # sd_listen_fds(3)
    listeners = [
        next((fd for fd, address in bound.items() if address in _names(wanted)), -1)
        for wanted in (config.bind, config.management_bind)
    ]
    if sorted(listeners) != sorted(bound):
        raise ConfigError(
            f"the sockets handed over are {', '.join(bound.values()) or 'none'}; needed is one at "
            f"PETSAGE_BIND, {config.bind}, and one at PETSAGE_MANAGEMENT_BIND, "
            f"{config.management_bind}"
        )
    return listeners


def _bound_to(descriptor: int) -> str:
    """The address of a listening socket, or what it is instead."""
    try:
        handed = socket.socket(fileno=descriptor)
        listens = handed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        name = handed.getsockname()
    except OSError as error:
        return f"none ({error.strerror})"
    handed.detach()  # it stays open
    if not listens:
        return "one that does not listen"
    if handed.family not in _FAMILIES or handed.type is not socket.SOCK_STREAM:
        return "one of another kind"
    return str(Address(*name[:2]) if isinstance(name, tuple) else Address(path=name))


def _names(address: Address) -> set[str]:
    """What a socket at this address may say that it is bound to: a host may be a name."""
    names = {str(address)}
    if not address.path:
        with suppress(OSError):
            names |= {str(Address(host, address.port)) for host in addresses_of(address.host)}
    return names


def opened(config: Config, backlog: int) -> list[int]:
    """The descriptors of a new main and a new management listener.

    Raises `ServeError`, which names the address that cannot be used. The main one comes last: once
    it listens it gets requests, which a start that fails would lose.
    """
    if config.bind == config.management_bind:
        raise ServeError(f"cannot listen on {config.bind} twice: each listener needs its own")
    with ExitStack() as held:
        management, main = (
            held.enter_context(_opened(address, backlog, mode))
            for address, mode in ((config.management_bind, 0o600), (config.bind, 0o666))
        )
        held.pop_all()
    return [main.detach(), management.detach()]


def _opened(address: Address, backlog: int, mode: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(socket.AF_UNIX if address.path else family)
    try:
        if address.path:
            _bind_path(listener, Path(address.path), mode)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address.host, address.port))
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        in_use = error.errno == errno.EADDRINUSE
        why = "the address is in use" if in_use else error.strerror or error
        raise ServeError(f"cannot listen on {address}: {why}") from error
    return listener


def _bind_path(listener: socket.socket, path: Path, mode: int) -> None:
    """Binds a unix socket, in place of one that nobody listens on any more."""
    folder = path.parent.stat()
    claim = os.fsencode(f"\0petsage {folder.st_dev} {folder.st_ino} {path.name}")
    with socket.socket(socket.AF_UNIX) as claimed, socket.socket(socket.AF_UNIX) as client:
        # Of two starts at once one replaces it. An abstract socket ends with its process: unix(7).
        claimed.bind(claim[:107])
        client.setblocking(False)
        if path.is_socket() and client.connect_ex(str(path)) == errno.ECONNREFUSED:
            path.unlink()
        elif path.exists() and not path.is_socket():
            raise OSError(errno.EEXIST, "what is there is not a socket")
        listener.bind(str(path))
    path.chmod(mode)  # before it listens, nobody can connect
