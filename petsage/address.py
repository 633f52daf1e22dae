"""Where a listener is."""

import ipaddress
import os
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener is: a host and a port, or the path of a unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Reads `host:port`, `[ipv6]:port` or `unix:PATH`; raises `ValueError` for all else."""
        if text.startswith("unix:"):
            return cls(path=_unix_path(text.removeprefix("unix:")))
        host, _, port = text.rpartition(":")
        if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
            raise ValueError(text)
        if host.startswith("[") and host.endswith("]"):
            return cls(host=str(ipaddress.IPv6Address(host[1:-1])), port=int(port))
        if not re.fullmatch(r"[A-Za-z0-9.-]+", host):
            raise ValueError(text)
        return cls(host=host, port=int(port))


def _unix_path(path: str) -> str:
    # The kernel's sun_path has 108 bytes, the last one a NUL: unix(7).
    if not path.startswith("/") or "\0" in path or len(os.fsencode(path)) > 107:
        raise ValueError(path)
    return path
