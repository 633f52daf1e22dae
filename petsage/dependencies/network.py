"""The dependencies that need no driver: HTTP, TCP, TLS certificates, DNS and disks."""

import logging
import math
import os
import ssl
import string
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from http.client import IncompleteRead
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from petsage import client, sockets
from petsage.checks import CheckFailed
from petsage.contract import EXPECTATION_FORMS, Expectation, expectation, first_breach
from petsage.dependencies.schemes import HOST, PATTERN, PORT, Location, Run, Scheme, option
from petsage.printable import counted

_log = logging.getLogger(__name__)

MAX_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)

_DAY_SECONDS = 86400
_EXPIRED = 10  # OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED
_NO_CHECK_TIME = 0x200000  # OpenSSL's X509_V_FLAG_NO_CHECK_TIME
_MYSQL = (
    "port 3306: MySQL refuses a host after max_connect_errors connections without a login; "
    "declare mysql:// instead of tcp://"
)
_UNITS = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def http_get(location: Location) -> Run:
    """GETs the URL. It follows redirects to the same scheme, host and port; any other redirect is
    an answer like others."""
    login = b64encode(f"{location.user}:{location.password}".encode()).decode()
    given = location.user or location.password
    headers = (("Authorization", f"Basic {login}"),) if given else ()
    expected = [part for name in _HTTP if (part := location.options[name])]
    bodies = range(100, 600) if location.options["expect"] else ()
    path, secure = _path(location.path, location.query), location.scheme == "https"
    start = client.Target("", path, location.host, location.port, secure)

    def get() -> None:
        deadline = location.deadline()
        http = client.Client(headers, tls_context(location), bodies)
        target = start
        for _ in range(1 + MAX_REDIRECTS):
            answer = _answer(http, target, deadline)
            redirected = _redirected(target, answer)
            if redirected is None:
                return _judge(answer, expected)
            target = replace(target, path=redirected)
        raise CheckFailed(f"more than {MAX_REDIRECTS} redirects")

    return get


def _answer(http: client.Client, target: client.Target, deadline: float) -> client.Answer:
    try:
        return http.get(target, sockets.addresses_of(target.host), sockets.seconds_left(deadline))
    except client.NoAnswer as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        if isinstance(error.__cause__, IncompleteRead):
            raise CheckFailed("answered only in part") from None
        raise CheckFailed("answered what is not HTTP") from None  # the message would be the peer's


def _redirected(target: client.Target, answer: client.Answer) -> str | None:
    """Path and query of a redirect; None if it is no redirect, or leads to another host or port."""
    if answer.status not in _REDIRECTS or not (to := answer.headers.get("location")):
        return None
    # Like a browser, it encodes bytes that no URL may have. http.client has read them as Latin-1.
    to = quote(to.strip().encode("latin-1"), safe=string.punctuation)
    scheme, port = ("https", 443) if target.secure else ("http", 80)
    try:
        url = urlsplit(urljoin(f"{scheme}://{target.authority}{target.path}", to))
        place = (url.scheme, url.hostname, url.port or port)
    except ValueError:
        return None
    here = place == (scheme, target.host.lower(), target.port)
    return _path(url.path, url.query) if here else None


def _path(path: str, query: str) -> str:
    return (path or "/") + (f"?{query}" if query else "")


def _judge(answer: client.Answer, expected: Iterable[Expectation]) -> None:
    if breach := first_breach(answer, expected):
        # Not what was seen instead: that is the peer's, and may repeat a secret.
        raise CheckFailed(f"answered {answer.status}: {breach.where} is not {breach.expected}")


def tcp(location: Location) -> Run:
    """Connects, and closes the connection."""
    warnings = [_MYSQL] if location.port == 3306 else []

    def connect() -> None:
        with sockets.opened(location.host, location.port, location.deadline()):
            pass
        while warnings:  # once, after the first connection
            _log.warning(warnings.pop())

    return connect


def tls(location: Location) -> Run:
    """Verifies the certificate: its chain, its name, and for how many days the chain is valid."""

    def verify() -> None:
        deadline = location.deadline()
        try:
            expiries = _expiries(location, deadline)
        except ssl.SSLCertVerificationError as error:
            if error.verify_code != _EXPIRED:
                raise
            # Python shows no date of a certificate that failed: so again, without a check of time.
            expiries = _expiries(location, deadline, _NO_CHECK_TIME)
        name = "certificate" if min(expiries) == expiries[0] else "a certificate of its chain"
        _judge_days(name, min(expiries) - time.time(), location.options["days"])

    return verify


def tls_context(location: Location) -> ssl.SSLContext | None:
    """How to make TLS with this location; None if its scheme has no TLS."""
    has_tls = "ca" in location.options
    return ssl.create_default_context(cafile=location.options["ca"]) if has_tls else None


def _expiries(location: Location, deadline: float, flags: int = 0) -> list[float]:
    """When each certificate of the verified chain expires, the server's own first."""
    context = ssl.create_default_context(cafile=location.options["ca"])
    context.verify_flags |= flags
    name = location.host.rstrip(".")
    with (
        sockets.opened(location.host, location.port, deadline) as plain,
        context.wrap_socket(plain, False, False, server_hostname=name) as sock,
    ):
        sock.settimeout(sockets.seconds_left(deadline))
        # Python 3.13 has a public SSLSocket.get_verified_chain(), but without the dates.
        verified: Any = sock._sslobj.get_verified_chain  # type: ignore[attr-defined]
        try:
            sock.do_handshake()
        except OSError as error:
            # A server that demands a client's certificate ends the handshake. By then its own has
            # come, and is verified.
            is_refused = not isinstance(error, ssl.SSLCertVerificationError | TimeoutError)
            if not (is_refused and verified()):
                raise
        return [ssl.cert_time_to_seconds(cert.get_info()["notAfter"]) for cert in verified()]


def _judge_days(name: str, left: float, days: int) -> None:
    if left < 0:
        raise CheckFailed(f"{name} expired {_days(-left)} ago")
    if left < days * _DAY_SECONDS:
        wanted = _days(days * _DAY_SECONDS)
        raise CheckFailed(f"{name} expires in {_days(left)}, sooner than {wanted}")


def _days(seconds: float) -> str:
    days = int(seconds // _DAY_SECONDS)
    return counted(days, "day") if days else "less than a day"


def dns(location: Location) -> Run:
    """Resolves the name, as any program on this machine does."""

    def resolve() -> None:
        sockets.addresses_of(location.host)

    return resolve


def disk(location: Location, measure: Callable[[str], os.statvfs_result] = os.statvfs) -> Run:
    """Passes if so many bytes, or such a share of the bytes and of the inodes, are free for a user
    without privileges. If a size is wanted, one free inode is enough."""

    def run() -> None:
        usage = measure(unquote(location.path))
        share, size_bytes = location.options["free"]
        free, total = usage.f_bavail * usage.f_frsize, usage.f_blocks * usage.f_frsize
        wanted = share * total + size_bytes
        if free < wanted:
            raise CheckFailed(f"{_size(free)} free of {_size(total)}, wanted {_size(wanted)}")
        inodes = share * usage.f_files + min(size_bytes, 1)
        if usage.f_files and usage.f_favail < inodes:  # some file systems do not count them
            free, total = usage.f_favail, usage.f_files
            raise CheckFailed(f"{free} free inodes of {total}, wanted {math.ceil(inodes)}")

    return run


def _size(size_bytes: float) -> str:
    unit = next((u for u, size in _UNITS.items() if size * 1024 > size_bytes), "TiB")
    return f"{size_bytes / _UNITS[unit]:.4g} {unit or 'bytes'}"


def _free(text: str) -> tuple[float, int]:
    """A share, and a size in bytes: one of them is 0."""
    number, unit = int(text.rstrip("%KMGTiB")), text.lstrip("0123456789")
    return (number / 100, 0) if unit == "%" else (0, number * _UNITS[unit])


def _ca(text: str) -> str:
    try:
        ssl.create_default_context(cafile=text)
    except OSError:
        raise ValueError from None
    return text


def _status(text: str) -> Expectation:
    return expectation(f"status={text}")


CA = option("(?s).+", _ca, "the path of a readable file of certificates in PEM")
"""Whom to trust instead of the system's authorities."""
EXPECT = option("(?s).*", expectation, EXPECTATION_FORMS)
"""What the answer must be, besides its status."""
STATUS = option(
    "[0-9-]+", _status, "a status or a range, such as 204 or 200-399", _status("200-399")
)
DAYS = option("[0-9]{1,4}", int, "a whole number of days from 0 to 9999", 14)
"""How many days the certificate must be valid for."""
FREE = option(
    "(?:100|[0-9]{1,2})%|[0-9]{1,15}(?:[KMGT]iB)?",
    _free,
    "a share such as 10%, or a size such as 500MiB, 2GiB or a number of bytes",
    (0.1, 0),
)
"""How much space must be free."""

_HTTP = {"status": STATUS, "expect": EXPECT}

SCHEMES: Mapping[str, Scheme] = {
    "http": Scheme("http://host:80/path?query", http_get, PATTERN, 80, _HTTP),
    "https": Scheme("https://host:443/path?query", http_get, PATTERN, 443, {**_HTTP, "ca": CA}),
    "tcp": Scheme("tcp://host:port", tcp, HOST + r":(?P<port>[0-9]{1,5})/?"),
    "tls": Scheme("tls://host:443", tls, HOST + PORT + "/?", 443, {"days": DAYS, "ca": CA}),
    "dns": Scheme("dns://host", dns, HOST + "/?"),
    "disk": Scheme("disk:///path", disk, r"(?P<path>/[^?@]*)", options={"free": FREE}),
}
