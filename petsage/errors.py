"""Every error is JSON with its status code, and tells nothing of the code that raised it."""

from typing import Any

from flask import Response
from werkzeug.exceptions import HTTPException

from petsage.health.schemas import json_line


def error_response(error: HTTPException) -> HTTPException | Response:
    """What is answered instead of werkzeug's page: `{"code":404,"status":"Not Found"}`.

    A request that breaks a schema is told every wrong field under `errors`.
    """
    if error.code is None or error.response is not None:
        return error
    body: dict[str, Any] = {"code": error.code, "status": error.name}
    if error.description != type(error).description:
        body["message"] = error.description
    if wrong := getattr(error, "data", {}).get("messages"):  # set by webargs
        body["errors"] = wrong
    response = Response(json_line(body), error.code, mimetype="application/json")
    # A 405 must carry Allow (RFC 9110, 15.5.6), and a 429 may carry Retry-After.
    response.headers.extend((k, v) for k, v in error.get_headers() if k != "Content-Type")
    response.headers["Cache-Control"] = "no-store"
    return response
