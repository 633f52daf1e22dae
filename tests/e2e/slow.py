"""An application that answers with its `VERSION`, and whose request `/?PATH` lasts until there is a
file PATH: so a test says how long "slow" is."""

APPLICATION = """
import os, time

def app(environ, start_response):
    gate = environ["QUERY_STRING"]
    while gate and not os.path.exists(gate):
        time.sleep(0.01)
    body = VERSION.encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
