"""`petsage serve`."""

import click

from petsage.config import Config
from petsage.serving.loading import OWN_APPLICATION, PROVEN


@click.command("serve")
@click.argument("application", metavar="[APP]", default=OWN_APPLICATION)
@click.option("--test", is_flag=True, help="Only test whether it could be served.")
def command(application: str, test: bool) -> None:
    """Serve PetSage, or the WSGI application APP, with gunicorn.

    PETSAGE_* variables set everything. APP is package.module:app. With --test it reads the
    configuration, loads the application, runs its startup checks, and exits: with 0 if all is well,
    with 1 if not, with 78 if the configuration is wrong.

    \b
    Example:
      petsage serve shop.web:app
    """
    config = Config.load()
    # Each of the two loads much that the other does not need.
    if test:
        from petsage.serving.startup_test import run_startup_test

        run_startup_test(config, application)
        click.echo(f"release {config.release} {PROVEN}")
    else:
        from petsage.serving.start import serve

        serve(config, application)
