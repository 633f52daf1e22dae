"""A shop: what PetSage looks like in an application of your own.

Two environment variables set it: SHOP_DATABASE (PostgreSQL), SHOP_REDIS.
"""

import os

from flask import Flask, Response, abort, request
from flask_login import LoginManager, current_user

from petsage import health

from .checks import CHECKS
from .database import db

login = LoginManager()


def create_app() -> Flask:
    """The factory."""
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
    """This shop knows nobody yet."""


def list_orders() -> Response:
    """What only the staff may see."""
    return Response("no orders", mimetype="text/plain")


def must_log_in() -> None:
    """All pages want a login, but not PetSage's: nobody logs a kubelet in."""
    if (request.endpoint or "").startswith("petsage"):
        return
    if not current_user.is_authenticated:
        abort(401)
