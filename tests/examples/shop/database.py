"""The shop's database."""

from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()
