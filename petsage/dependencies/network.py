"""The dependencies that need no driver: HTTP, TCP, TLS certificates, DNS and disks."""

import functools
import http.client
import re
import shutil
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import unquote, urljoin, urlsplit

from petsage import client
from petsage.checks import CheckFailed
from petsage.dependencies.schemes import AUTH, HOST, PATH, PORT, QUERY, Option, Run, Scheme, Target

MAX_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)

_DAY_SECONDS = 86400
_UNITS = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def http_get(target: Target) -> Run:
    """GETs the URL. Redirects are followed on the same scheme, host and port only; one that leads
    elsewhere is an answer like any other."""

    def get() -> None:
        deadline = time.monotonic() + target.timeout_seconds
        asks = client.Client(_headers(target), _trust(target) if _secure(target) else None)
        place = _place(target.path, target.query)
        for _ in range(1 + MAX_REDIRECTS):
            answer = _answer(asks, target, place, deadline)
            redirected = _redirected(target, place, answer)
            if redirected is None:
                return _judge(answer.status, target.options["status"])
            place = redirected
        raise CheckFailed(f"more than {MAX_REDIRECTS} redirects")

    return get


def _judge(status: int, allowed: range) -> None:
    if status not in allowed:
        wanted = "-".join(str(end) for end in sorted({allowed[0], allowed[-1]}))
        raise CheckFailed(f"answered {status}, not {wanted}")


def _answer(asks: client.Client, target: Target, place: str, deadline: float) -> client.Answer:
    asked = client.Target("", place, target.host, target.port, _secure(target))
    try:
        return asks.get(asked, (target.host,), max(0.001, deadline - time.monotonic()))
    except client.NoAnswer as error:
        if isinstance(error.__cause__, http.client.IncompleteRead):
            raise CheckFailed("the answer ends before its Content-Length") from None
        raise error.__cause__ or TimeoutError("timed out") from None


def _secure(target: Target) -> bool:
    return target.scheme == "https"


def _headers(target: Target) -> tuple[tuple[str, str], ...]:
    if not (target.user or target.password):
        return ()
    credentials = b64encode(f"{target.user}:{target.password}".encode()).decode()
    return (("Authorization", f"Basic {credentials}"),)


def _redirected(target: Target, place: str, answer: client.Answer) -> str | None:
    """Path and query of a redirect, or None if there is none or it leads off the host."""
    location = answer.headers.get("location")
    if answer.status not in _REDIRECTS or not location:
        return None
    host = f"[{target.host}]" if ":" in target.host else target.host
    url = urlsplit(urljoin(f"{target.scheme}://{host}:{target.port}{place}", location))
    port = url.port or SCHEMES[target.scheme].port
    if (url.scheme, url.hostname, port) != (target.scheme, target.host.lower(), target.port):
        return None
    return _place(url.path, url.query)


def _place(path: str, query: str) -> str:
    return (path or "/") + (f"?{query}" if query else "")


def tcp(target: Target) -> Run:
    """Connects."""

    def connect() -> None:
        _connected(target).close()

    return connect


def _connected(target: Target) -> socket.socket:
    return socket.create_connection((target.host, target.port), target.timeout_seconds)


def tls(target: Target) -> Run:
    """Verifies the certificate: its chain, its name, and that it has some days left."""

    def verify() -> None:
        chain_expired = False
        try:
            left = _seconds_left(target, _trust(target))
        except ssl.SSLCertVerificationError as error:
            if error.verify_code != 10:  # X509_V_ERR_CERT_HAS_EXPIRED
                raise
            left, chain_expired = _seconds_left(target, _trust(target, any_time=True)), True
        _judge_days(left, target.options["days"])
        if chain_expired:
            raise CheckFailed("a certificate of its chain has expired")

    return verify


def _trust(target: Target, any_time: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=target.options["ca"])
    if any_time:
        # X509_V_FLAG_NO_CHECK_TIME: what is not verified tells no date.
        context.verify_flags |= 0x200000
    return context


def _seconds_left(target: Target, context: ssl.SSLContext) -> float:
    with (
        _connected(target) as connection,
        context.wrap_socket(connection, server_hostname=target.host) as wrapped,
    ):
        certificate = wrapped.getpeercert() or {}
    return ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()


def _judge_days(left: float, days: int) -> None:
    if left < 0:
        raise CheckFailed(f"certificate expired {_days(-left)} ago")
    if left < days * _DAY_SECONDS:
        raise CheckFailed(
            f"certificate expires in {_days(left)}, sooner than {_days(days * _DAY_SECONDS)}"
        )


def _days(seconds: float) -> str:
    days = int(seconds // _DAY_SECONDS)
    return f"{days} day{'s' if days > 1 else ''}" if days else "less than a day"


def dns(target: Target) -> Run:
    """Resolves the name, as any program of this machine would."""
    return functools.partial(socket.getaddrinfo, target.host, None)


def disk(target: Target) -> Run:
    """Wants free bytes, or a share of the size, where an unprivileged user may write."""

    def measure() -> None:
        total, _, free = shutil.disk_usage(unquote(target.path))
        number, unit = target.options["free"]
        wanted = total * number / 100 if unit == "%" else number * _UNITS[unit]
        if free < wanted:
            raise CheckFailed(f"{_size(free)} free of {_size(total)}, wanted {_size(wanted)}")

    return measure


def _size(size_bytes: float) -> str:
    unit = next((u for u, size in _UNITS.items() if size * 1024 > size_bytes), "TiB")
    return f"{size_bytes / _UNITS[unit]:.4g} {unit or 'bytes'}"


def _free(text: str) -> tuple[int, str]:
    found = re.fullmatch(r"([0-9]{1,15})(%|[KMGT]iB|)", text)
    if not found or (found[2] == "%" and int(found[1]) > 100):
        raise ValueError
    return int(found[1]), found[2]


def _status(text: str) -> range:
    found = re.fullmatch(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?", text)
    if not found or int(found[1]) > int(found[2] or found[1]):
        raise ValueError
    return range(int(found[1]), int(found[2] or found[1]) + 1)


def _ca(text: str) -> str:
    if not text:  # the system's authorities, to the standard library
        raise ValueError
    try:
        ssl.create_default_context(cafile=text)
    except OSError:
        raise ValueError from None
    return text


def _whole_days(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text):
        raise ValueError
    return int(text)


CA = Option(_ca, "the path of a readable file of certificates in PEM")
"""Whom to trust instead of the system's authorities."""
STATUS = Option(_status, "a status or a range, as 204 or 200-399", range(200, 400))
DAYS = Option(_whole_days, "a whole number of days from 0 to 9999", 14)
"""How many days the certificate must be valid for."""
FREE = Option(_free, "a share as 10%, or a size as 500MiB, 2GiB or in bytes", (10, "%"))
"""How much space must be free."""

_WEB = AUTH + HOST + PORT + PATH + QUERY

SCHEMES: Mapping[str, Scheme] = {
    "http": Scheme("http://host:80/path?query", http_get, _WEB, 80, {"status": STATUS}),
    "https": Scheme(
        "https://host:443/path?query", http_get, _WEB, 443, {"status": STATUS, "ca": CA}
    ),
    "tcp": Scheme("tcp://host:port", tcp, HOST + r":(?P<port>[0-9]{1,5})/?"),
    "tls": Scheme("tls://host:443", tls, HOST + PORT + "/?", 443, {"days": DAYS, "ca": CA}),
    "dns": Scheme("dns://host", dns, HOST + "/?"),
    "disk": Scheme("disk:///path", disk, r"(?P<path>/[^?@]*)", options={"free": FREE}),
}
