#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""pushed.py PORT CA.crt [--reset N] [--urgent N] URL...

Gets each URL on a connection of its own, to PORT of 127.0.0.1, by python-h2, and tells what came in
a line of JSON each, in its order.  --reset cancels the Nth promise as it comes; --urgent says by
PRIORITY_UPDATE (RFC 9218 7.1) that the Nth goes first, when all responses have begun and the first
window is used up, and opens the window then.
"""
import argparse
import json
import socket
import ssl
import struct
from urllib.parse import urlsplit

from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (DataReceived, InformationalResponseReceived, PushedStreamReceived, ResponseReceived,
                       StreamEnded, StreamReset)
from h2.exceptions import StreamClosedError

WINDOW = 65535  # of a connection, at first.  RFC 9113 6.9.2


def connect(port, authority, host):
    context = ssl.create_default_context(cafile=authority)
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=20), server_hostname=host)


class Page:
    def __init__(self, options, url):
        u = urlsplit(url)
        self.options = options
        self.socket = connect(options.port, options.authority, u.hostname)
        self.h2 = H2Connection()
        self.h2.initiate_connection()
        path = u.path + ("?" + u.query if u.query else "")
        self.h2.send_headers(1, [(":method", "GET"), (":scheme", "https"), (":authority", u.netloc), (":path", path)], end_stream=True)
        self.names = {1: path}
        self.open, self.promised, self.begun = {1}, [], set()
        self.happened, self.octets, self.taken = [], {}, []

    def on_promise(self, event):
        path = dict(event.headers)[b":path"].decode()
        stream = event.pushed_stream_id
        self.promised.append(stream)
        self.names[stream] = path
        self.open.add(stream)
        self.happened.append(["promise", path])
        if len(self.promised) == self.options.reset:
            try:
                self.h2.reset_stream(stream, ErrorCodes.CANCEL)
                self.open.discard(stream)
                self.happened.append(["cancelled", path])
            except StreamClosedError:  # all of it came with its promise
                pass

    def on_data(self, event):
        path = self.names[event.stream_id]
        self.octets[path] = self.octets.get(path, 0) + len(event.data)
        if event.data and self.happened[-1] != ["data", path]:
            self.happened.append(["data", path])
        self.taken.append((event.flow_controlled_length, event.stream_id))
        if not self.options.urgent:
            self.give_credit()

    def give_credit(self):
        for octets, stream in self.taken:
            if octets:
                self.h2.acknowledge_received_data(octets, stream)
        self.taken = []

    def put_first(self):
        used = sum(octets for octets, _ in self.taken)
        if used < WINDOW or self.begun != {1, *self.promised}:
            return
        stream = self.promised[self.options.urgent - 1]
        payload = struct.pack("!I", stream) + b"u=0"
        self.socket.sendall(struct.pack("!BHBBI", 0, len(payload), 0x10, 0, 0) + payload)
        self.happened.append(["urgent", self.names[stream]])
        self.options.urgent = 0
        self.give_credit()

    def get(self):
        while self.open:
            self.socket.sendall(self.h2.data_to_send())
            octets = self.socket.recv(65536)
            if not octets:
                raise EOFError("the connection was closed")
            for event in self.h2.receive_data(octets):
                if isinstance(event, PushedStreamReceived):
                    self.on_promise(event)
                elif isinstance(event, InformationalResponseReceived):
                    head = dict(event.headers)
                    self.happened.append([head[b":status"].decode(), head.get(b"link", b"").decode()])
                elif isinstance(event, ResponseReceived):
                    self.begun.add(event.stream_id)
                    self.happened.append(["head", self.names[event.stream_id]])
                elif isinstance(event, DataReceived):
                    self.on_data(event)
                elif isinstance(event, (StreamEnded, StreamReset)):
                    self.open.discard(event.stream_id)
            if self.options.urgent:
                self.put_first()
        self.socket.close()
        return {"happened": self.happened, "octets": self.octets}


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("port", type=int)
    p.add_argument("authority")
    p.add_argument("--reset", type=int, default=0)
    p.add_argument("--urgent", type=int, default=0)
    p.add_argument("urls", nargs="+")
    options = p.parse_args()
    for url in options.urls:
        print(json.dumps(Page(options, url).get()))


main()
