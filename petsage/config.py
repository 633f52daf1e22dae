"""Configuration: the one place that reads the environment."""

import functools
import hashlib
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from petsage.address import Address
from petsage.baked import RELEASE, baked_release
from petsage.checks import Check
from petsage.cpus import available_cpus
from petsage.errors import PetSageError, nearest

PREFIX = "PETSAGE_"

# A Service named `petsage`, or `petsage-canary`, puts these into every pod of its namespace:
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_LINK = re.compile(
    r"PETSAGE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
    r"=.*|PETSAGE_(\w+_)?PORT=(tcp|udp|sctp)://.*",
    re.DOTALL,
)


class ConfigError(PetSageError):
    """The environment is wrong: `problems` holds a line for each variable, none with its value."""

    exit_code = os.EX_CONFIG


class _AddressField(fields.Field[Address]):
    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Address:
        try:
            return Address.parse(value)
        except ValueError:
            raise ValidationError(
                "must be host:port, [ipv6]:port or unix:/absolute/path (107 bytes at most)"
            ) from None


class _ChecksField(fields.Field[tuple[Check, ...]]):
    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> tuple[Check, ...]:
        # Here, for the time that a start takes: few instances declare a dependency.
        from petsage.dependencies.declaration import declared_checks

        return declared_checks(value)


class _ChecksFileField(_ChecksField):
    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> tuple[Check, ...]:
        if "checks" in data:
            raise ValidationError("PETSAGE_CHECKS is set too: leave one of them out")
        try:
            text = Path(value).read_text(encoding="utf-8")
        except OSError as error:
            raise ValidationError(f"cannot be read: {error.strerror}") from None
        except ValueError:
            raise ValidationError("is not UTF-8") from None
        return super()._deserialize(text, attr, data, **kwargs)


def _whole(low: int, high: int) -> fields.Integer:
    message = f"must be a whole number from {low} to {high}"
    return fields.Integer(
        validate=validate.Range(low, high, error=message), error_messages={"invalid": message}
    )


def _seconds(low: int, high: int) -> fields.Float:
    message = f"must be a number of seconds from {low} to {high}"
    return fields.Float(
        validate=validate.Range(low, high, error=message),
        error_messages={"invalid": message, "special": message},
    )


def _choice(*choices: str) -> fields.String:
    return fields.String(validate=validate.OneOf(choices, error=f"must be {' or '.join(choices)}"))


def _header_value() -> fields.String:
    # It goes into a header and a metric's label, so: no spaces, no control characters.
    return fields.String(
        validate=validate.Regexp(
            rf"{RELEASE.pattern}\Z",
            error="must be 1 to 128 printable ASCII characters without spaces",
        )
    )


class ConfigSchema(Schema):
    """Each field is one variable: its name in capitals behind `PETSAGE_`."""

    bind = _AddressField()
    management_bind = _AddressField()
    workers = _whole(1, 1024)
    threads = _whole(1, 1024)
    checks = _ChecksField()
    checks_file = _ChecksFileField()
    drain_seconds = _seconds(0, 3600)
    graceful_seconds = _whole(1, 3600)
    stuck_seconds = _seconds(0, 86400)
    release = _header_value()
    instance = _header_value()
    proxies = _whole(0, 16)
    log_format = _choice("text", "json")
    log_level = _choice("debug", "info", "warning", "error")


@functools.cache
def package_version() -> str:
    """The version of the installed package."""
    return version("petsage")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that can be set, with its default. `Config.load()` reads the environment."""

    bind: Address = field(default=Address("127.0.0.1", 8000))
    """The main listener."""
    management_bind: Address = field(default=Address("127.0.0.1", 8001))
    """The management listener: never to be exposed by a proxy."""
    workers: int = field(default_factory=available_cpus)
    """Application workers; the probe worker comes on top."""
    threads: int = 4
    """Threads of each application worker."""
    checks: tuple[Check, ...] = field(default=(), repr=False)
    """The declared dependencies, each as a check."""
    drain_seconds: float = 5
    """How long readiness says no before the real stop begins."""
    graceful_seconds: int = 30
    """How long a stopping worker may finish what it has accepted."""
    stuck_seconds: float = 120
    """How long an ask to the workers may stay without any finished request before the live probe
    fails; 0 turns that off."""
    release: str = field(default_factory=lambda: baked_release() or package_version())
    """What is running: the release that the image was built as, or else the package's version."""
    instance: str = ""
    """Which copy of it; by default a short hash of host name and bind address."""
    proxies: int = 0
    """How many proxies in front may be believed about the client's address."""
    log_format: str = "text"
    log_level: str = "info"

    def __post_init__(self) -> None:
        if not self.instance:
            identity = f"{socket.gethostname()} {self.bind}"
            digest = hashlib.sha256(identity.encode()).hexdigest()
            object.__setattr__(self, "instance", digest[:12])

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> "Config":
        """Reads the `PETSAGE_*` variables of `environ` (default: the process's).

        A variable set to nothing counts as not set. Raises `ConfigError` with all that is wrong.
        """
        values, problems = _own_variables(os.environ if environ is None else environ)
        try:
            loaded = ConfigSchema().load(values)
        except ValidationError as error:
            for name, messages in error.messages_dict.items():
                problems += [f"{_variable(name)}: {message}" for message in messages]
        else:
            problems += _contradicted(loaded.get("release"), baked_release())
        if problems:
            raise ConfigError(*problems)
        if "checks_file" in loaded:
            loaded["checks"] = loaded.pop("checks_file")
        return cls(**loaded)


def _contradicted(given: str | None, baked: str | None) -> list[str]:
    """An image tells what it was built as: a variable beside it can only be wrong."""
    if given is None or baked is None or given == baked:
        return []
    return [f"PETSAGE_RELEASE: this image was built as release {baked}; leave the variable out"]


def _variable(field_name: str) -> str:
    return PREFIX + field_name.upper()


def _own_variables(environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    values: dict[str, str] = {}
    problems: list[str] = []
    known = {_variable(name): name for name in ConfigSchema._declared_fields}
    for name in sorted(environ):
        if name in known:
            if text := environ[name].strip():
                values[known[name]] = text
        elif name.startswith(PREFIX) and not _SERVICE_LINK.fullmatch(f"{name}={environ[name]}"):
            problems.append(f"{name}: unknown{nearest(name, known)}")
    return values, problems
