# SPDX-License-Identifier: Apache-2.0
"""A WSGI app that answers with what its server made of the request's fields."""
import json


def app(environ, start_response):
    seen = {name: value for name, value in environ.items() if isinstance(value, str)}
    body = json.dumps(seen).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
