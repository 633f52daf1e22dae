"""Refuses requests with a name in the Host header, on a listener that only this machine reaches.

The host name of a web page can be made to resolve to 127.0.0.1 (DNS rebinding). Then the page, in
an operator's browser, could read the answers. But its requests have that name in their header.
"""

import ipaddress
import re

from flask import Flask, abort, request

from petsage.address import Address


def is_literal(host: str) -> bool:
    """Whether the header is an IP literal or `localhost` (RFC 9110, 7.2), whatever its port is: it
    may be empty (RFC 3986, 3.2.3)."""
    try:
        name = Address.parse(re.sub(r":[0-9]*$", "", host) + ":80").host
        return name.lower() == "localhost" or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def is_loopback(address: Address) -> bool:
    """Whether only this machine reaches the address, by a name or a number."""
    try:
        return address.host == "localhost" or ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return False


def refuse_names(app: Flask) -> None:
    """Makes the application answer 421 to a name other than `localhost`. A client that sends no
    Host header is no browser."""

    @app.before_request
    def refuse() -> None:
        if not is_literal(request.environ.get("HTTP_HOST", "localhost")):
            abort(421, "This listener answers for IP addresses and localhost alone.")
