# SPDX-License-Identifier: Apache-2.0
"""The /page and /part of h2c.mjs as an ASGI app, for hypercorn.  What it pushes hypercorn asks of the
app itself: such a request counts as offered, not as asked, and the page waits until it is answered, or
nothing would be known of it when the page leaves."""
import asyncio
import json
from urllib.parse import parse_qs

counts = {"requests": 0, "offered": 0}
pushed = {}  # path -> what its page waits for


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    query = parse_qs(scope["query_string"].decode())
    number = lambda name, otherwise: int(query.get(name, [otherwise])[0])

    async def answer(kind, body, more=()):
        fields = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *more]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    counts["requests"] += 1
    if scope["path"] == "/page":
        paths = [f"/part?i={i}&size={number('size', 1000)}" for i in range(number("n", 3))]
        if "http.response.push" in scope["extensions"]:
            for path in paths:
                pushed[path] = asyncio.Event()
                await send({"type": "http.response.push", "path": path, "headers": []})
                counts["offered"] += 1
                counts["requests"] -= 1
            for path in paths:
                await pushed[path].wait()
        await asyncio.sleep(number("ms", 0) / 1000)
        await answer(b"application/json", json.dumps(paths).encode())
    elif scope["path"] == "/part":
        size = number("size", 1000)
        await answer(b"text/css", b"." * size, [(b"etag", f'"{query["i"][0]}-{size}"'.encode())])
        path = f"{scope['path']}?{scope['query_string'].decode()}"
        if path in pushed:
            pushed[path].set()
    elif scope["path"] == "/counts":
        await answer(b"application/json", json.dumps(counts).encode())
