"""The listening sockets: those that were handed over, or new ones."""

import ctypes
import errno
import json
import os
import re
import socket
import struct
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from petsage.address import Address
from petsage.config import Config, ConfigError
from petsage.serving.loading import ServeError
from petsage.sockets import addresses_of

HANDOVER = "_PETSAGE_HANDOVER"
"""The variable with the `Handover` of a reload."""

# A program of the kernel's socket filter: it drops a TCP segment with SYN among its flags, byte 13.
# Each instruction is a code, two jumps and a value (linux/filter.h).
_DROP_SYN = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h

_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


class Handover(NamedTuple):
    """What an arbiter inherits."""

    pid: int
    """The process that it is for: others may inherit the variable."""
    listeners: Sequence[int] = ()
    """The descriptors of the main and of the management listener; empty if there are none yet."""
    workers: Sequence[int] = ()
    """The workers of the old code, after a reload."""
    own: bool = True
    """Whether the paths of its unix sockets are its own, and are unlinked when it ends."""

    @classmethod
    def received(cls, config: Config) -> "Handover":
        """What a reload, a parent's SIGUSR2 or systemd has handed over to this process.

        Raises `ConfigError` unless systemd's sockets are exactly the configured two. The variables
        are removed: they are for no other process.
        """
        of_reload = cls(*json.loads(os.environ.pop(HANDOVER, "[0]")))
        of_parent, of_systemd = _of_parent(), _of_systemd(config)
        if of_reload.pid == os.getpid():
            return of_reload
        return cls(os.getpid(), of_parent or of_systemd, own=not of_systemd)


def _of_parent() -> Sequence[int]:
    """The listeners that gunicorn passes on at SIGUSR2."""
    descriptors = os.environ.pop("GUNICORN_FD", "")
    if not re.fullmatch(r"\d+,\d+", descriptors):
        os.environ.pop("GUNICORN_PID", None)
        return []
    return [int(descriptor) for descriptor in descriptors.split(",")]


def _of_systemd(config: Config) -> Sequence[int]:
    """systemd's sockets, the main listener first: what each is bound to says which it is."""
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
            f"the sockets handed over are {', '.join(bound.values()) or 'none'}; PETSAGE_BIND "
            f"needs one at {config.bind}, PETSAGE_MANAGEMENT_BIND one at {config.management_bind}"
        )
    return listeners


def _bound_to(descriptor: int) -> str:
    """The address of a listening socket, or what it is instead."""
    try:
        listener = socket.socket(fileno=descriptor)
        listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        name = listener.getsockname()
    except OSError as error:
        return f"none ({error.strerror})"
    listener.detach()  # so that it stays open
    if not listens:
        return "one that does not listen"
    if listener.family not in _FAMILIES or listener.type is not socket.SOCK_STREAM:
        return "one of another kind"
    return str(Address(*name[:2]) if isinstance(name, tuple) else Address(path=name))


def _names(address: Address) -> set[str]:
    """The addresses that a socket bound to this one may have: the host may be a name."""
    names = {str(address)}
    if not address.path:
        with suppress(OSError):
            names |= {str(Address(host, address.port)) for host in addresses_of(address.host)}
    return names


def new_listeners(config: Config, backlog: int) -> list[int]:
    """The descriptors of a new main and a new management listener.

    Raises `ServeError`, which names the address that cannot be used. The main listener is opened
    last: once it listens it gets requests, and a start that fails would lose them.
    """
    if config.bind == config.management_bind:
        raise ServeError(f"cannot listen on {config.bind} twice: each listener needs its own")
    with ExitStack() as held:
        management, main = (
            held.enter_context(_new_listener(address, backlog, mode))
            for address, mode in ((config.management_bind, 0o600), (config.bind, 0o666))
        )
        held.pop_all()
    return [main.detach(), management.detach()]


def _new_listener(address: Address, backlog: int, mode: int) -> socket.socket:
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
        reason = "the address is in use" if in_use else error.strerror or error
        raise ServeError(f"cannot listen on {address}: {reason}") from error
    return listener


def _bind_path(listener: socket.socket, path: Path, mode: int) -> None:
    """Binds a unix socket. It replaces one at this path on which nobody listens any more."""
    folder = path.parent.stat()
    claim = os.fsencode(f"\0petsage {folder.st_dev} {folder.st_ino} {path.name}")
    with socket.socket(socket.AF_UNIX) as claimed, socket.socket(socket.AF_UNIX) as client:
        # A lock: of two starts at once, only one may replace the path. It is an abstract socket,
        # unix(7), which ends with its process.
        claimed.bind(claim[:107])
        client.setblocking(False)
        if path.is_socket() and client.connect_ex(str(path)) == errno.ECONNREFUSED:
            path.unlink()
        elif path.exists() and not path.is_socket():
            raise OSError(errno.EEXIST, "what is there is not a socket")
        listener.bind(str(path))
    path.chmod(mode)  # before it listens, nobody can connect


def begin_no_connection(listener: socket.socket) -> None:
    """Has the kernel ignore who begins to connect by TCP to a listener that is about to close.

    The close resets what waits in the listener's queue, so nobody may come between the last look at
    the queue and the close. A client's kernel tries again after a second: then the connection is
    refused, or the next instance takes it.
    """
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in _DROP_SYN))
    pointer = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(program))
    if listener.family != socket.AF_UNIX:  # to its path nobody connects: it is unlinked
        with suppress(OSError):  # where that is forbidden, there is a gap of a millisecond
            listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)
