"""The types of what PetSage exports: mypy reads each `assert_type`, and pytest runs them."""

from typing import assert_type

from flask import Flask

import petsage
from petsage import Check, CheckFailed, Result, Status, create_app, create_management_app
from petsage.config import Config
from petsage.health import init_app
from petsage.health.service import Health


def test_every_exported_name_is_there():
    assert all(hasattr(petsage, name) for name in petsage.__all__)


def test_the_factories_return_flask_applications(config: Config) -> None:
    app = assert_type(create_app(config), Flask)
    assert_type(create_management_app(config, app), Flask)


def test_a_check_and_its_result_are_typed() -> None:
    check = assert_type(Check("stock", lambda: None, probes={"ready"}), Check)
    assert_type(check.name, str)
    assert_type(check.timeout_seconds, float)
    assert_type(check.critical, bool)
    result = assert_type(Result("stock", Status.PASS, "", 0.0, 0.0), Result)
    assert_type(result.status, Status)
    assert_type(result.duration_seconds, float)
    assert issubclass(CheckFailed, Exception)


def test_any_flask_application_gets_a_health(config: Config) -> None:
    assert_type(init_app(Flask("shop"), [Check("stock", lambda: None)], config=config), Health)
