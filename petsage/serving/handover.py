"""Listening sockets that were handed over: by systemd, or by the code of before a reload."""

import json
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from petsage.address import Address
from petsage.config import Config, ConfigError
from petsage.sockets import addresses_of

HANDOVER = "_PETSAGE_HANDOVER"
"""The variable that a `Handover` stands in."""


class Handover(NamedTuple):
    """What an arbiter leaves to the code that it executes in its place."""

    pid: int
    """Whose it is: other processes may inherit the variable."""
    listeners: Sequence[int] = ()
    """The descriptors of the main and of the management listener."""
    workers: Sequence[int] = ()
    own: bool = False
    """Whether the paths of its unix sockets are its own, and go when it ends."""

    @classmethod
    def received(cls) -> "Handover":
        """What was left to this process; empty if nothing was."""
        handover = cls(*json.loads(os.environ.get(HANDOVER, "[0]")))
        return handover if handover.pid == os.getpid() else cls(0)


def handed_over(config: Config) -> Sequence[int]:
    """The descriptors of the main and of the management listener; empty if none were handed over.

    Which of systemd's is which is decided by what they are bound to. Raises `ConfigError` unless
    they are exactly the configured two. systemd's variables are removed: they mean no other
    process.
    """
    if left := Handover.received().listeners:
        return left
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
    return str(Address(*name[:2]) if isinstance(name, tuple) else Address(path=name))


def _names(address: Address) -> set[str]:
    """What a socket at this address may say that it is bound to: a host may be a name."""
    names = {str(address)}
    if not address.path:
        with suppress(OSError):
            names |= {str(Address(host, address.port)) for host in addresses_of(address.host)}
    return names
