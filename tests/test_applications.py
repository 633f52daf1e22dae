"""Promises of applications: loaded by name, and found within whatever wraps them."""

import functools
from collections import OrderedDict
from dataclasses import dataclass

import pytest
from flask import Flask
from werkzeug.local import LocalProxy
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from petsage.applications import ApplicationError, load, objects_within
from petsage.health.service import Health


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Writes modules into the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    return lambda name, text: (tmp_path / f"{name}.py").write_text(text)


def test_an_application_is_loaded_by_its_name_or_its_factorys(here):
    here("loaded_by_name", "app = print\n\n\ndef create(name='app'):\n    return globals()[name]\n")
    assert load("loaded_by_name:app") is print
    assert load("loaded_by_name:create()") is load("loaded_by_name:create('app')") is print


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("app", "is not of the form package.module:app"),
        ("app:", "is not of the form"),
        ("-app:app", "is not of the form"),
        ("a b:app", "is not of the form"),
        ("x" * 10_000_000, "is not of the form"),
        ("nowhere_at_all:app", "there is no module 'nowhere_at_all' here"),
        ("nowhere_at_all.web:app", "'nowhere_at_all.web:app': No module named 'nowhere_at_all'"),
        ("no_package.web:app", "raised RuntimeError (no_package:1)"),
        ("cannot_load:nope", "Failed to find attribute 'nope' in 'cannot_load'"),
        ("cannot_load:raises()", "raised RuntimeError (cannot_load:2)"),
        ("cannot_load:exits()", "raised SystemExit (cannot_load:4)"),
        ("cannot_load:none()", "raised AttributeError (cannot_load:6)"),
        ("no_python:app", "'no_python:app': invalid syntax (no_python.py, line 1)"),
        ("no_import:app", "'no_import:app': pets are out"),
    ],
)
def test_what_cannot_be_loaded_is_one_line_that_says_why(here, name, words):
    here(
        "cannot_load",
        "def raises():\n    raise RuntimeError('password=hunter2')\n"
        "def exits():\n    raise SystemExit('hunter2')\n"
        "def none():\n    None.hunter2\n",
    )
    here("no_python", "app = = 1\n")
    here("no_import", "raise ImportError('pets\\nare\\nout')\n")
    here("no_package", "raise RuntimeError('password=hunter2')\n")
    with pytest.raises(ApplicationError) as refused:
        load(name)
    line = str(refused.value)
    assert words in line
    assert line.isprintable()
    assert "hunter2" not in line
    assert len(line) < 500


class WhiteNoise:
    """Middleware with `__slots__`, and with a property that must not be read."""

    def __init__(self, application):
        self.application = application
        self.proxy = LocalProxy(lambda: 1 / 0)

    @property
    def app(self):
        raise RuntimeError


@dataclass(slots=True)
class InASlot:
    application: object


def in_a_default(app):
    def middleware(environ, start, app=app):
        return app(environ, start)

    return middleware


def in_a_closure(app):
    def middleware(environ, start):
        return app(environ, start)

    return middleware


@pytest.mark.parametrize(
    "wrap",
    [
        lambda app: app,
        lambda app: app.wsgi_app,
        ProxyFix,
        lambda app: ProxyFix(app.wsgi_app),
        lambda app: DispatcherMiddleware(Flask("front"), {"/shop": app}),
        lambda app: DispatcherMiddleware(app, {}),
        WhiteNoise,
        in_a_closure,
        lambda app: functools.partial(in_a_closure, WhiteNoise(ProxyFix(app))),
        InASlot,
        in_a_default,
        lambda app: WhiteNoise(OrderedDict(shop=app)),
        lambda app: WhiteNoise({app}),
    ],
)
def test_a_flask_application_is_found_within_its_middleware(wrap, scoreboard, identity):
    from petsage.health.monitor import Monitor

    app = Flask("shop")
    health = app.extensions["petsage"] = Health(Monitor(), scoreboard, identity)
    assert Health.of(wrap(app)) is health


def test_what_holds_no_application_is_looked_through_and_no_further():
    endless: list[object] = []
    endless.append([endless, *([one] for one in range(100_000))])
    assert Health.of(endless) is Health.of(Flask("stranger")) is None
    assert len(list(objects_within(endless))) <= 2_000
