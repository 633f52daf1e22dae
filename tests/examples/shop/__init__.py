"""A shop: what PetSage looks like in an application of your own.

Two environment variables configure it: SHOP_DATABASE (PostgreSQL) and SHOP_REDIS.
"""

import os

from flask import Flask, Response, abort, request
from flask_login import LoginManager, current_user

from petsage import health

from .checks import CHECKS
from .database import db

login = LoginManager()


def create_app() -> Flask:
    """Makes the application."""
    app = Flask(__name__)
    app.config["SECRET_KEY"] = os.environ.get("SHOP_SECRET", "for tests alone")
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["SHOP_DATABASE"]
    db.init_app(app)
    login.init_app(app)
    app.before_request(must_log_in)
    app.add_url_rule("/orders", view_func=list_orders)
    health.init_app(app, CHECKS, name="Shop")
    return app


@login.user_loader
def no_user(_identifier: str) -> None:
    """Finds nobody: this shop has no users yet."""


def list_orders() -> Response:
    """A page that only the staff may see."""
    return Response("no orders", mimetype="text/plain")


def must_log_in() -> None:
    """Every page demands a login, except PetSage's: a kubelet cannot log in."""
    if (request.endpoint or "").startswith("petsage"):
        return
    if not current_user.is_authenticated:
        abort(401)
