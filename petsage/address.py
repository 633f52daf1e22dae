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
        match = re.fullmatch(r"(?:([A-Za-z0-9.-]+)|\[(.*)\]):([0-9]{1,5})", text)
        if not match or not 1 <= int(match[3]) <= 65535:
            raise ValueError(text)
        return cls(match[1] or str(ipaddress.IPv6Address(match[2])), int(match[3]))


def _unix_path(path: str) -> str:
    # The kernel's sun_path has 108 bytes, the last one a NUL: unix(7).
    if not path.startswith("/") or "\0" in path or len(os.fsencode(path)) > 107:
        raise ValueError(path)
    return path
