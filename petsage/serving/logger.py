"""What gunicorn logs, and what it does not."""

import logging
from typing import Any

from gunicorn import glogging

from petsage.checks import whereabouts


class Logger(glogging.Logger):
    """gunicorn's logger without its access log, which is the proxy's.

    With any `logconfig_dict` gunicorn writes an access log, and even one that goes nowhere costs
    76 us a request.
    """

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Logs nothing."""


def is_no_stalled_client(record: logging.LogRecord) -> bool:
    """Whether a record is worth logging: a client that stalls while gunicorn reads is not.

    The receive timeout then raises BlockingIOError in gunicorn's parser.
    """
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, BlockingIOError) and "(gunicorn.http." in whereabouts(error))
