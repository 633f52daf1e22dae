"""Serves PetSage, or any WSGI application, with gunicorn."""
