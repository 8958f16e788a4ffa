#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An h2c worker on python-h2 that answers as h2c.mjs does: /page, /part, /hints, /counts."""
import asyncio
import json
import os
from urllib.parse import parse_qs, urlsplit

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (ConnectionTerminated, DataReceived, RemoteSettingsChanged, RequestReceived, StreamReset,
                       WindowUpdated)
from h2.exceptions import ProtocolError

counts = {"requests": 0, "offered": 0}


class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.waiting = {}  # stream -> octets that its window did not let out
        self.h2.initiate_connection()
        self.flush()

    def data_received(self, octets):
        try:
            events = self.h2.receive_data(octets)
        except ProtocolError:
            events = [ConnectionTerminated()]
        for event in events:
            if isinstance(event, RequestReceived):
                counts["requests"] += 1
                asyncio.ensure_future(self.answer(event.stream_id, dict(event.headers)))
            elif isinstance(event, DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, StreamReset):
                self.waiting.pop(event.stream_id, None)
            elif isinstance(event, (WindowUpdated, RemoteSettingsChanged)):
                for stream in list(self.waiting):
                    self.send_waiting(stream)
            elif isinstance(event, ConnectionTerminated):
                self.transport.close()
        self.flush()

    def flush(self):
        self.transport.write(self.h2.data_to_send())

    def send_waiting(self, stream):
        while self.waiting[stream]:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room <= 0:
                return
            part, self.waiting[stream] = self.waiting[stream][:room], self.waiting[stream][room:]
            self.h2.send_data(stream, part)
        del self.waiting[stream]
        self.h2.end_stream(stream)

    def respond(self, stream, kind, body, more=()):
        self.h2.send_headers(stream, [(":status", "200"), ("content-type", kind), ("content-length", str(len(body))), *more])
        self.waiting[stream] = body
        self.send_waiting(stream)
        self.flush()

    def part(self, stream, path):
        query = parse_qs(urlsplit(path).query)
        size = int(query.get("size", ["1000"])[0])
        self.respond(stream, "text/css", b"." * size, [("etag", f'"{query["i"][0]}-{size}"')])

    def push(self, stream, request, path):
        promised = self.h2.get_next_available_stream_id()
        self.h2.push_stream(stream, promised, [(":method", "GET"), (":scheme", request[":scheme"]),
                                               (":authority", request[":authority"]), (":path", path)])
        counts["offered"] += 1
        self.part(promised, path)

    async def answer(self, stream, request):
        url = urlsplit(request[":path"])
        query = parse_qs(url.query)
        number = lambda name, otherwise: int(query.get(name, [otherwise])[0])
        try:
            if url.path == "/page":
                paths = [f"/part?i={i}&size={number('size', 1000)}" for i in range(number("n", 3))]
                if self.h2.remote_settings.enable_push:
                    for path in paths:
                        self.push(stream, request, path)
                await asyncio.sleep(number("ms", 0) / 1000)
                self.respond(stream, "application/json", json.dumps(paths).encode())
            elif url.path == "/hints":
                self.h2.send_headers(stream, [(":status", "103"), *(("link", value) for value in query["v"])])
                self.flush()
                await asyncio.sleep(number("ms", 50) / 1000)
                self.respond(stream, "text/plain", b"after the hints\n")
            elif url.path == "/part":
                self.part(stream, request[":path"])
            elif url.path == "/counts":
                self.respond(stream, "application/json", json.dumps(counts).encode())
            else:
                self.h2.send_headers(stream, [(":status", "404")], end_stream=True)
        except ProtocolError:  # the client reset the stream while we were at it
            pass
        self.flush()


async def main():
    server = await asyncio.get_running_loop().create_unix_server(Connection, os.environ["PORTICO_SOCKET"])
    await server.serve_forever()


asyncio.run(main())
