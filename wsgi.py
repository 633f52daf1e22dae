"""The application for any WSGI server: `gunicorn wsgi:app`."""

from petsage import create_app

app = create_app()
