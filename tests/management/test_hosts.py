"""On a loopback address the management listener answers for addresses and localhost alone."""

import pytest
from flask import Flask
from werkzeug.test import EnvironBuilder, run_wsgi_app

from petsage.address import Address
from petsage.management.hosts import is_literal, is_loopback, refuse_names


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8001",
        "[::1]",
        "[::1]:8001",
        "10.1.2.3:1",
        "localhost",
        "LocalHost:8001",
        "localhost:",
        "127.0.0.1:",
        "[::1]:",
    ],
)
def test_an_address_and_localhost_are_answered(host):
    assert is_literal(host)


@pytest.mark.parametrize(
    "host",
    [
        "", "evil.example", "evil.example:8001", "127.0.0.1.evil.example", "localhost.evil.example",
        "evil.localhost", "localhost:8001.evil.example", "127.1", "2130706433", "0x7f.1", "[::1",
        "::1", "[]", "[evil.example]", "[127.0.0.1]", "127.0.0.1:8001:1", "127.0.0.1\n",
        "\uff11.0.0.1",
        "user@127.0.0.1", "127.0.0.1/", ":8001", ":", "localhost::", "localhost:80:",
        "evil.example:",
    ],
)  # fmt: skip
def test_any_other_name_is_refused(host):
    assert not is_literal(host)


@pytest.mark.parametrize(
    ("bind", "is_one"),
    [
        ("127.0.0.1:8001", True),
        ("127.9.9.9:8001", True),
        ("[::1]:8001", True),
        ("localhost:8001", True),
        ("0.0.0.0:8001", False),
        ("[::]:8001", False),
        ("10.0.0.1:8001", False),
        ("pets.example:8001", False),
        ("unix:/run/petsage.sock", False),
    ],
)
def test_only_this_machine_reaches_a_loopback_address(bind, is_one):
    assert is_loopback(Address.parse(bind)) is is_one


@pytest.mark.parametrize(("headers", "code"), [({}, 200), ({"HTTP_HOST": "evil.example"}, 421)])
def test_a_client_that_sends_no_host_is_no_browser_and_is_answered(headers, code):
    app = Flask("small")
    app.add_url_rule("/", view_func=lambda: "here")
    refuse_names(app)
    environ = EnvironBuilder().get_environ()
    del environ["HTTP_HOST"]
    _, status, _ = run_wsgi_app(app.wsgi_app, environ | headers)
    assert int(status.split()[0]) == code
