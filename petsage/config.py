"""Configuration: the one place that reads the environment."""

import functools
import hashlib
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from petsage.address import Address
from petsage.checks import Check
from petsage.cpus import available_cpus
from petsage.errors import PetSageError, nearest
from petsage.release import RELEASE, RULE, baked_release

PREFIX = "PETSAGE_"

# A Service named `petsage`, or `petsage-canary`, puts these into every pod of its namespace:
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_LINK = re.compile(
    r"PETSAGE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
    r"=.*|PETSAGE_(\w+_)?PORT=(tcp|udp|sctp)://.*"
)


class ConfigError(PetSageError):
    """The environment is wrong: `problems` holds a line for each variable, none with its value."""

    exit_code = os.EX_CONFIG


def _reads(reader: fields.Field[Any]) -> dict[str, fields.Field[Any]]:
    """The metadata of a setting: how the text of its variable is read."""
    return {"reads": reader}


def _address(text: str) -> Address:
    try:
        return Address.parse(text)
    except ValueError:
        raise ValidationError(
            "must be host:port, [ipv6]:port or unix:/absolute/path (107 bytes at most)"
        ) from None


def _checks(text: str) -> tuple[Check, ...]:
    # Imported here for a faster start: few instances declare a dependency.
    from petsage.dependencies.declaration import declared_checks

    return declared_checks(text)


def _checks_of_file(path: str) -> tuple[Check, ...]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ValidationError(f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise ValidationError("is not UTF-8") from None
    return _checks(text)


def _number(
    kind: type[fields.Integer | fields.Float], what: str, low: int, high: int
) -> dict[str, fields.Field[Any]]:
    message = f"must be {what} from {low} to {high}"
    valid = validate.Range(low, high, error=message)
    return _reads(kind(validate=valid, error_messages={"invalid": message, "special": message}))


def _text(*valid: Callable[[str], object]) -> dict[str, fields.Field[Any]]:
    return _reads(fields.String(validate=valid))


def _choice(*choices: str) -> dict[str, fields.Field[Any]]:
    return _text(validate.OneOf(choices, error=f"must be {' or '.join(choices)}"))


def _refuse_unlike_baked(release: str) -> None:
    """An image knows the release that it was built as: a variable that differs is wrong."""
    if (baked := baked_release()) and release != baked:
        raise ValidationError(f"this image was built as release {baked}; leave the variable out")


_ADDRESS = _reads(fields.Function(deserialize=_address))
_WHOLE = partial(_number, fields.Integer, "a whole number")
_SECONDS = partial(_number, fields.Float, "a number of seconds")
_PRINTABLE = validate.Regexp(rf"{RELEASE.pattern}\Z", error=RULE)


@functools.cache
def package_version() -> str:
    """The version of the installed package."""
    return version("petsage")


def _release() -> str:
    return baked_release() or package_version()


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that can be set. The variable of a setting is `PETSAGE_` and its name in capitals;
    the metadata say how the variable is read."""

    bind: Address = field(default=Address("127.0.0.1", 8000), metadata=_ADDRESS)
    """The main listener."""
    management_bind: Address = field(default=Address("127.0.0.1", 8001), metadata=_ADDRESS)
    """The management listener: never to be exposed by a proxy."""
    workers: int = field(default_factory=available_cpus, metadata=_WHOLE(1, 1024))
    """Application workers; the probe worker comes on top."""
    threads: int = field(default=4, metadata=_WHOLE(1, 1024))
    """Threads of each application worker."""
    drain_seconds: float = field(default=5, metadata=_SECONDS(0, 3600))
    """How long readiness fails before the real stop begins."""
    graceful_seconds: int = field(default=30, metadata=_WHOLE(1, 3600))
    """How long a stopping worker may finish what it has accepted."""
    stuck_seconds: float = field(default=120, metadata=_SECONDS(0, 86400))
    """How long all threads of a worker may be busy while connections wait, before it is replaced; 0
    turns that off."""
    release: str = field(default_factory=_release, metadata=_text(_PRINTABLE, _refuse_unlike_baked))
    """What is running: the release that the image was built as, or else the package's version."""
    instance: str = field(default="", metadata=_text(_PRINTABLE))
    """Which copy of it; by default a short hash of host name and bind address."""
    proxies: int = field(default=0, metadata=_WHOLE(0, 16))
    """How many proxies in front may be believed about the client's address."""
    log_format: str = field(default="text", metadata=_choice("text", "json"))
    log_level: str = field(default="info", metadata=_choice("debug", "info", "warning", "error"))
    checks: tuple[Check, ...] = field(
        default=(), repr=False, metadata=_reads(fields.Function(deserialize=_checks))
    )
    """The declared dependencies, each as a check."""

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
        if "checks" in values and values.pop("checks_file", ""):
            problems.append("PETSAGE_CHECKS_FILE: PETSAGE_CHECKS is set too: leave one of them out")
        try:
            loaded = ConfigSchema().load(values)
        except ValidationError as error:
            for name, messages in error.messages_dict.items():
                problems += [f"{_variable(name)}: {message}" for message in messages]
        if problems:
            raise ConfigError(*problems)
        if "checks_file" in loaded:
            loaded["checks"] = loaded.pop("checks_file")
        return cls(**loaded)


ConfigSchema = Schema.from_dict(
    {name: setting.metadata["reads"] for name, setting in Config.__dataclass_fields__.items()}
    | {"checks_file": fields.Function(deserialize=_checks_of_file)}
)
"""What loads the variables."""


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
