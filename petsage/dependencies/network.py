"""The dependencies that need no driver: HTTP, TCP, TLS certificates, DNS and disks."""

import logging
import math
import os
import re
import ssl
import string
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import closing
from urllib.parse import quote, unquote, urljoin, urlsplit

from petsage import client, sockets
from petsage.checks import CheckFailed
from petsage.contract import EXPECTATION_FORMS, Expectation, expectation, statuses
from petsage.dependencies.schemes import HOST, PATTERN, PORT, Location, Option, Run, Scheme

_log = logging.getLogger(__name__)

MAX_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)

_DAY_SECONDS = 86400
_UNITS = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def http_get(location: Location) -> Run:
    """GETs the URL. Redirects are followed on the same scheme, host and port only; one that leads
    elsewhere is an answer like any other."""

    def get() -> None:
        deadline = location.deadline()
        tls = _trust(location) if location.scheme == "https" else None
        expected = location.options["expect"]
        bodies = range(100, 600) if expected else ()
        http_client = client.Client(_headers(location), tls, bodies=bodies)
        place = _place(location.path, location.query)
        for _ in range(1 + MAX_REDIRECTS):
            answer = _answer(http_client, location, place, deadline)
            redirected = _redirected(location, place, answer)
            if redirected is None:
                return _judge(answer, location.options["status"], expected)
            place = redirected
        raise CheckFailed(f"more than {MAX_REDIRECTS} redirects")

    return get


def _judge(answer: client.Answer, allowed: range, expected: Expectation | None) -> None:
    if answer.status not in allowed:
        wanted = "-".join(str(end) for end in sorted({allowed[0], allowed[-1]}))
        raise CheckFailed(f"answered {answer.status}, not {wanted}")
    if expected and (breach := expected(answer)):
        # What was seen instead is the peer's: it may repeat a secret.
        raise CheckFailed(f"{breach.where} is not {breach.expected}")


def _answer(
    http_client: client.Client, location: Location, place: str, deadline: float
) -> client.Answer:
    asked = client.Target("", place, location.host, location.port, location.scheme == "https")
    try:
        addresses = sockets.addresses_of(location.host)
        return http_client.get(asked, addresses, sockets.left(deadline))
    except client.NoAnswer as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise CheckFailed("answered what is not HTTP") from None  # its words are the peer's


def _headers(location: Location) -> tuple[tuple[str, str], ...]:
    if not (location.user or location.password):
        return ()
    credentials = b64encode(f"{location.user}:{location.password}".encode()).decode()
    return (("Authorization", f"Basic {credentials}"),)


def _redirected(location: Location, place: str, answer: client.Answer) -> str | None:
    """Path and query of a redirect, or None if there is none or it leads off the host."""
    if answer.status not in _REDIRECTS or not (to := answer.headers.get("location")):
        return None
    # As browsers do: bytes that no URL may have are encoded. http.client reads them as Latin-1.
    to = quote(to.strip().encode("latin-1"), safe=string.punctuation)
    host = f"[{location.host}]" if ":" in location.host else location.host
    try:
        url = urlsplit(urljoin(f"{location.scheme}://{host}:{location.port}{place}", to))
        port = url.port or SCHEMES[location.scheme].port
    except ValueError:
        return None
    if (url.scheme, url.hostname, port) != (location.scheme, location.host.lower(), location.port):
        return None
    return _place(url.path, url.query)


def _place(path: str, query: str) -> str:
    return (path or "/") + (f"?{query}" if query else "")


def tcp(location: Location) -> Run:
    """Connects."""
    warn = location.port == 3306

    def connect() -> None:
        nonlocal warn
        with sockets.opened(location.host, location.port, location.deadline()):
            pass
        if warn:
            warn = False
            _log.warning(
                "port 3306: MySQL refuses a host after max_connect_errors connections without "
                "a login; declare mysql:// instead of tcp://"
            )

    return connect


def tls(location: Location) -> Run:
    """Verifies the certificate: its chain, its name, and how many days all of it is still valid."""

    def verify() -> None:
        deadline = location.deadline()
        try:
            ends = _ends(location, _trust(location), deadline)
        except ssl.SSLCertVerificationError as error:
            if error.verify_code != 10:  # X509_V_ERR_CERT_HAS_EXPIRED
                raise
            ends = _ends(location, _trust(location, any_time=True), deadline)
        name = "certificate" if min(ends) == ends[0] else "a certificate of its chain"
        _judge_days(name, min(ends) - time.time(), location.options["days"])

    return verify


def _trust(location: Location, any_time: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=location.options["ca"])
    if any_time:
        # X509_V_FLAG_NO_CHECK_TIME: Python shows no date of a certificate that is not verified.
        context.verify_flags |= 0x200000
    return context


def _ends(location: Location, context: ssl.SSLContext, deadline: float) -> list[float]:
    """When each certificate of the verified chain ends, the server's own first."""
    name = location.host.rstrip(".")
    with (
        sockets.opened(location.host, location.port, deadline) as plain,
        closing(context.wrap_socket(plain, False, False, server_hostname=name)) as sock,
    ):
        refusal = _refusal(sock, deadline)
        # Python 3.13 has a public SSLSocket.get_verified_chain(), but without the dates.
        chain = sock._sslobj.get_verified_chain()  # type: ignore[attr-defined]
    if refusal and not chain:
        raise refusal
    return [ssl.cert_time_to_seconds(one.get_info()["notAfter"]) for one in chain]


def _refusal(sock: ssl.SSLSocket, deadline: float) -> OSError | None:
    """The error with which the peer ended the handshake, if it did: by then its certificate may
    have come and be verified, since a server may demand one of its client."""
    try:
        sock.settimeout(sockets.left(deadline))
        sock.do_handshake()
    except (ssl.SSLCertVerificationError, TimeoutError):
        raise
    except OSError as error:
        return error
    return None


def _judge_days(name: str, left: float, days: int) -> None:
    if left < 0:
        raise CheckFailed(f"{name} expired {_days(-left)} ago")
    if left < days * _DAY_SECONDS:
        wanted = _days(days * _DAY_SECONDS)
        raise CheckFailed(f"{name} expires in {_days(left)}, sooner than {wanted}")


def _days(seconds: float) -> str:
    days = int(seconds // _DAY_SECONDS)
    return f"{days} day{'s' if days > 1 else ''}" if days else "less than a day"


def dns(location: Location) -> Run:
    """Resolves the name as any program of this machine does."""

    def resolve() -> None:
        sockets.addresses_of(location.host)

    return resolve


def disk(location: Location, measure: Callable[[str], os.statvfs_result] = os.statvfs) -> Run:
    """Holds if so many bytes, or such a share of bytes and of inodes, are free for a user without
    privileges. A size wants one free inode."""

    def run() -> None:
        found = measure(unquote(location.path))
        number, unit = location.options["free"]
        share = number / 100 if unit == "%" else 0
        free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
        wanted = share * total if unit == "%" else number * _UNITS[unit]
        if free < wanted:
            raise CheckFailed(f"{_size(free)} free of {_size(total)}, wanted {_size(wanted)}")
        inodes = max(share * found.f_files, min(number, 1))
        if found.f_files and found.f_favail < inodes:  # some file systems do not count them
            free, total = found.f_favail, found.f_files
            raise CheckFailed(f"{free} free inodes of {total}, wanted {math.ceil(inodes)}")

    return run


def _size(size_bytes: float) -> str:
    unit = next((u for u, size in _UNITS.items() if size * 1024 > size_bytes), "TiB")
    return f"{size_bytes / _UNITS[unit]:.4g} {unit or 'bytes'}"


def _free(text: str) -> tuple[int, str]:
    found = re.fullmatch(r"([0-9]{1,15})(%|[KMGT]iB|)", text)
    if not found or (found[2] == "%" and int(found[1]) > 100):
        raise ValueError
    return int(found[1]), found[2]


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
EXPECT = Option(expectation, EXPECTATION_FORMS, None)
"""What the answer must be besides."""
STATUS = Option(statuses, "a status or a range, as 204 or 200-399", range(200, 400))
DAYS = Option(_whole_days, "a whole number of days from 0 to 9999", 14)
"""How many days the certificate must be valid for."""
FREE = Option(_free, "a share as 10%, or a size as 500MiB, 2GiB or in bytes", (10, "%"))
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
