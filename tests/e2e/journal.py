"""An application for `petsage serve journal:app`: answers the body that it was sent.

Before it answers a POST it adds the body, one line, to the file `journal` of the working directory,
which shows what was done, whether or not the client has got its answer.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    if environ["REQUEST_METHOD"] == "POST":
        # One write to a file opened for appending is whole: write(2).
        journal = os.open("journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(journal, body + b"\n")
        os.close(journal)
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
