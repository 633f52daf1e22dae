"""What `petsage serve shop.wsgi:app` and `gunicorn shop.wsgi:app` serve."""

from werkzeug.middleware.proxy_fix import ProxyFix

from . import create_app

app = ProxyFix(create_app())
