#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The worker of worker.mjs in another language and with another server: a thread a connection,
HTTP/1.1 as Python's standard library speaks it."""
import hashlib
import http.server
import os
import signal
import socket
import socketserver
import threading
import time
import urllib.parse

APP = os.environ["APP"]
PATTERN = 1048573
pattern = memoryview(
    hashlib.shake_128(f"down/{APP}/{os.environ['SOAK_SEED']}".encode()).digest(PATTERN))
log = os.open(os.path.join(os.environ["SOAK_LOG"], f"{APP}.{os.getpid()}"),
              os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
idle, idle_lock, ending = set(), threading.Lock(), threading.Event()


def octets(at, n):
    place = at % PATTERN
    while n > 0:
        part = pattern[place:min(place + min(n, 65536), PATTERN)]
        yield part
        n -= len(part)
        place = (place + len(part)) % PATTERN


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536

    def address_string(self):
        return "edge"

    def log_message(self, *args):
        pass

    def handle_one_request(self):
        """Between two requests the connection may be ended when the worker ends."""
        with idle_lock:
            if ending.is_set():
                self.close_connection = True
                return
            idle.add(self.connection)
        super().handle_one_request()

    def parse_request(self):
        with idle_lock:
            idle.discard(self.connection)
        return super().parse_request()

    def finish(self):
        with idle_lock:
            idle.discard(self.connection)
        super().finish()

    def upload(self):
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                if size == 0:
                    while self.rfile.readline().strip():
                        pass
                    return
                yield self.exactly(size)
                self.exactly(2)
        left = int(self.headers.get("content-length", 0))
        while left:
            part = self.exactly(min(left, 65536))
            left -= len(part)
            yield part

    def exactly(self, n):
        part = self.rfile.read(n)
        if len(part) != n:
            raise ConnectionResetError("the upload was cut")
        return part

    def sum_of_upload(self):
        hashed, count = hashlib.sha256(), 0
        for part in self.upload():
            hashed.update(part)
            count += len(part)
        return f"{count} {hashed.hexdigest()}"

    def send(self, at, n, drip, chunked):
        sent, pause = 0, n / (drip + 1) if drip else float("inf")
        following = pause
        for part in octets(at, n):
            while part:
                take = int(max(1, min(len(part), following - sent + 1)))
                if chunked:
                    self.wfile.write(b"%x\r\n" % take)
                self.wfile.write(part[:take])
                if chunked:
                    self.wfile.write(b"\r\n")
                sent += take
                part = part[take:]
                if sent >= following:
                    following += pause
                    self.wfile.flush()
                    time.sleep(0.03)

    def answer(self):
        query = dict(urllib.parse.parse_qsl(self.path.partition("?")[2], keep_blank_values=True))
        n, at, drip = int(query["n"]), int(query["at"]), int(query.get("drip", 0))
        early, chunked = "early" in query, "chunked" in query
        post = self.command == "POST"
        if post:
            os.write(log, query["id"].encode() + b"\n")
        if "wait" in query:
            time.sleep(int(query["wait"]) / 1000)
        total = self.sum_of_upload() if post and not early else None
        self.send_response(200)
        self.send_header("X-Soak-App", APP)
        self.send_header("X-Soak-Id", query["id"])
        self.send_header("X-Soak-Pid", str(os.getpid()))
        if total:
            self.send_header("X-Soak-Sum", total)
        if ending.is_set():
            self.send_header("Connection", "close")
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(n))
        self.end_headers()
        if self.command == "HEAD":
            return
        if "cut" in query:
            self.send(at, n // 2, drip, chunked)
            self.wfile.flush()
            time.sleep(0.02)
            self.close_connection = True
            return
        if early:
            self.wfile.flush()
            # One thread reads and writes in turn: the upload first, while the head is out already.
            total = self.sum_of_upload()
        self.send(at, n, drip, chunked)
        if chunked:
            self.wfile.write(b"0\r\n")
            if early:
                self.wfile.write(b"X-Soak-Sum: " + total.encode() + b"\r\n")
            self.wfile.write(b"\r\n")

    do_GET = do_HEAD = do_POST = answer


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request, client_address):
        pass  # a cut connection


def end(*_):
    def work():
        server.shutdown()
        ending.set()
        with idle_lock:
            for connection in idle:
                try:
                    connection.shutdown(socket.SHUT_RD)
                except OSError:
                    pass
        limit = time.monotonic() + 25
        while time.monotonic() < limit and any(t.daemon and t is not threading.current_thread()
                                               for t in threading.enumerate()):
            time.sleep(0.02)
        os._exit(0)

    threading.Thread(target=work, daemon=True).start()


address = os.environ["PORTICO_SOCKET"]
if os.path.exists(address):
    os.unlink(address)
server = Server(address, Handler)
signal.signal(signal.SIGTERM, end)
threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
while True:
    signal.pause()
