"""What gunicorn logs, and what it does not."""

import logging
from typing import Any

from gunicorn import glogging

from petsage import logs


class Logger(glogging.Logger):
    """gunicorn's logger without its access log, which is the proxy's.

    With any `logconfig_dict` gunicorn writes an access log, and even one that goes nowhere costs
    76 us a request.
    """

    @property
    def error_log(self) -> logging.Logger:
        """gunicorn's one logger, enabled even if the application has disabled it."""
        return logs.enabled_logger("gunicorn.error")

    @error_log.setter
    def error_log(self, logger: logging.Logger) -> None:
        """Does nothing: gunicorn sets the same logger."""

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Logs nothing."""
