"""Serves PetSage, or any WSGI application, by gunicorn."""
