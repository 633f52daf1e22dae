"""Every HTTP error as JSON, with its status code and nothing of the code that raised it."""

from typing import Any

from flask import Response, request
from werkzeug.exceptions import HTTPException

from petsage import logs
from petsage.json_text import json_line


def error_body(code: int, status: str, request_id: str | None) -> dict[str, Any]:
    """What the JSON of every error holds. Only that of a 500 has the `request_id`."""
    traced = {"request_id": request_id} if code == 500 and request_id else {}
    return {"code": code, "status": status, **traced}


def error_response(error: HTTPException) -> HTTPException | Response:
    """The response in place of werkzeug's page: `{"code":404,"status":"Not Found"}`.

    A request that breaks a schema gets every wrong field under `errors`. A 500 has the request's
    ID, if the request came with one: the log has the trace under the same ID.
    """
    if error.code is None or error.response is not None:
        return error
    body = error_body(
        error.code, error.name, logs.harmless(request.headers.get("X-Request-ID", ""))
    )
    if error.description != type(error).description:
        body["message"] = error.description
    if wrong := getattr(error, "data", {}).get("messages"):  # set by webargs
        body["errors"] = wrong
    response = Response(json_line(body), error.code, mimetype="application/json")
    # A 405 must carry Allow (RFC 9110, 15.5.6), and a 429 may carry Retry-After.
    response.headers.extend((k, v) for k, v in error.get_headers() if k != "Content-Type")
    response.headers["Cache-Control"] = "no-store"
    return response
