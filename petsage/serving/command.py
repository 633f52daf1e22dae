"""`petsage serve`."""

import click

from petsage.config import Config
from petsage.serving.start import serve


@click.command("serve")
@click.argument("application", metavar="[APP]", required=False)
def command(application: str | None) -> None:
    """Serve PetSage, or the WSGI application APP, by gunicorn.

    PETSAGE_* variables set everything. APP is package.module:app.

    \b
    Example:
      petsage serve shop.web:app
    """
    serve(Config.load(), application)
