#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fuzz/make-seeds.py [TARGET...]: writes the hand-made seeds to fuzz/seeds/TARGET.

A seed is valid input or a known trick, named after what it is; a fuzzer starts from them, and they
are replayed as ordinary tests.  What is found by fuzzing lies beside them under other names.
"""
import pathlib
import sys

SEEDS = pathlib.Path(__file__).resolve().parent / "seeds"

# ---- HTTP/1.1 ----

H = "Host: a\r\n"
REQUESTS = {
    "get": f"GET / HTTP/1.1\r\n{H}\r\n",
    "query": f"GET /a/b?c=d HTTP/1.1\r\n{H}Accept: */*\r\n\r\n",
    "http10": "GET / HTTP/1.0\r\n\r\n",
    "http10-keep-alive": f"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\n\r\n",
    "http12": f"GET / HTTP/1.2\r\n{H}\r\n",
    "close": f"GET / HTTP/1.1\r\n{H}Connection: Close\r\n\r\nGET /2 HTTP/1.1\r\n{H}\r\n",
    "pipelined": f"GET /1 HTTP/1.1\r\n{H}\r\nHEAD /2 HTTP/1.1\r\n{H}\r\nGET /3 HTTP/1.1\r\n{H}\r\n",
    "length": f"POST / HTTP/1.1\r\n{H}Content-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n{H}\r\n",
    "length-zero": f"POST / HTTP/1.1\r\n{H}Content-Length: 0\r\n\r\n",
    "length-list": f"POST / HTTP/1.1\r\n{H}Content-Length: 3, 3\r\nContent-Length: 3\r\n\r\nabc",
    "length-list-differs": f"POST / HTTP/1.1\r\n{H}Content-Length: 3, 4\r\n\r\nabcd",
    "length-sign": f"POST / HTTP/1.1\r\n{H}Content-Length: +3\r\n\r\nabc",
    "length-huge": f"POST / HTTP/1.1\r\n{H}Content-Length: 9223372036854775808\r\n\r\nabc",
    "length-short": f"POST / HTTP/1.1\r\n{H}Content-Length: 50\r\n\r\nabc",
    "chunked": f"POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n"
               f"3\r\nabc\r\nA;x=\"y\\\"\"\r\n0123456789\r\n0\r\n\r\nGET / HTTP/1.1\r\n{H}\r\n",
    "trailers": f"POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\nTrailer: x\r\n\r\n"
                "1\r\na\r\n0\r\nX: y\r\nHost: b\r\nContent-Length: 3\r\n\r\n",
    "chunk-size-huge": f"POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n"
                       "10000000000000001\r\na\r\n0\r\n\r\n",
    "chunk-no-crlf": f"POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n1\r\naX0\r\n\r\n",
    "chunk-bare-lf": f"POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n1\na\n0\n\n",
    "chunk-ext-open-quote": f"POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n"
                            "1;a=\"\r\na\r\n0\r\n\r\n",
    "two-framings": f"POST / HTTP/1.1\r\n{H}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "0\r\n\r\n",
    "coding-other": f"POST / HTTP/1.1\r\n{H}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding-not-last": f"POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked, x\r\n\r\n0\r\n\r\n",
    "coding-twice": f"POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding-http10": "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding-tab": f"POST / HTTP/1.1\r\n{H}Transfer-Encoding:\tchunked \r\n\r\n0\r\n\r\n",
    "bare-cr": f"GET / HTTP/1.1\r\n{H}X: a\rb\r\n\r\n",
    "bare-lf": "GET / HTTP/1.1\nHost: a\n\n",
    "obs-fold": f"GET / HTTP/1.1\r\n{H}X: a\r\n b\r\n\r\n",
    "space-before-colon": f"GET / HTTP/1.1\r\n{H}X : a\r\n\r\n",
    "nul": f"GET / HTTP/1.1\r\n{H}X: a\0b\r\n\r\n",
    "obs-text": f"GET /\u00e9 HTTP/1.1\r\n{H}X: \u00e9\r\n\r\n",
    "no-host": "GET / HTTP/1.1\r\n\r\n",
    "two-hosts": f"GET / HTTP/1.1\r\n{H}Host: b\r\n\r\n",
    "host-empty": "GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "host-user": "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
    "host-ipv6": "GET / HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n",
    "absolute": f"GET http://b.test:80/x?y HTTP/1.1\r\n{H}\r\n",
    "absolute-query": f"GET HTTPS://b.test?y HTTP/1.1\r\n{H}\r\n",
    "absolute-options": f"OPTIONS http://b.test HTTP/1.1\r\n{H}\r\n",
    "asterisk": f"OPTIONS * HTTP/1.1\r\n{H}\r\n",
    "asterisk-get": f"GET * HTTP/1.1\r\n{H}\r\n",
    "connect": "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n",
    "connect-content": "CONNECT a:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
    "upgrade": f"GET / HTTP/1.1\r\n{H}Connection: upgrade\r\nUpgrade: websocket\r\n\r\nraw octets",
    "expect": f"PUT / HTTP/1.1\r\n{H}Expect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
    "empty-lines": f"\r\n\r\nGET / HTTP/1.1\r\n{H}\r\n",
    "two-spaces": f"GET  / HTTP/1.1\r\n{H}\r\n",
    "fragment": f"GET /#a HTTP/1.1\r\n{H}\r\n",
    "connection-options": f"GET / HTTP/1.1\r\n{H}Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\r\n\r\n",
    "tls": "\x16\x03\x01\x02\x00\x01",
    "pipelined-65": f"HEAD / HTTP/1.1\r\n{H}\r\n" + f"GET / HTTP/1.1\r\n{H}\r\n" * 64,
}
OK = "HTTP/1.1 200 OK\r\n"
# what was asked (the index in the targets' tables), what came
RESPONSES = {
    "length": (0, f"{OK}Content-Length: 5\r\n\r\nhello"),
    "length-and-more": (0, f"{OK}Content-Length: 5\r\n\r\nhello{OK}\r\n"),
    "length-short": (0, f"{OK}Content-Length: 50\r\n\r\nhello"),
    "until-close": (0, f"{OK}\r\nhello"),
    "http10": (0, "HTTP/1.0 200 OK\r\n\r\nhello"),
    "chunked": (0, f"{OK}Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n"),
    "chunked-short": (0, f"{OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"),
    "two-framings": (0, f"{OK}Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n"),
    "head": (1, f"{OK}Content-Length: 500\r\n\r\n"),
    "no-content": (0, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
    "no-content-but-length": (0, "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc"),
    "not-modified": (0, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
    "early-hints": (0, "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
                       f"{OK}Content-Length: 0\r\n\r\n"),
    "informational-many": (0, "HTTP/1.1 100 \r\n\r\n" * 5 + f"{OK}Content-Length: 0\r\n\r\n"),
    "continue": (2, f"HTTP/1.1 100 Continue\r\n\r\n{OK}Content-Length: 0\r\n\r\n"),
    "connected": (3, f"{OK}Content-Length: 7\r\n\r\nraw octets"),
    "connect-refused": (3, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"),
    "switched": (4, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
                    "Upgrade: websocket\r\n\r\nraw octets"),
    "switched-unasked": (0, "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nraw"),
    "no-phrase": (0, "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
    "status-short": (0, "HTTP/1.1 20 OK\r\n\r\n"),
    "close": (0, f"{OK}Content-Length: 1\r\nConnection: close\r\n\r\na"),
    "bare-lf": (0, "HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
}


def octets(text):
    return text.encode("latin-1")


def h1_differential():
    for name, text in REQUESTS.items():
        yield "request-" + name, b"\0" + octets(text)
    for name, (asked, text) in RESPONSES.items():
        yield "response-" + name, bytes([asked << 1 | 1]) + octets(text)


# setup, how it is answered or what is asked, sizes of pieces up to a zero: see h1_play.h
def h1_server():
    for number, (name, text) in enumerate(REQUESTS.items()):
        yield name, bytes([number % 8, number * 41 % 256, 1 + number % 9, 0]) + octets(text)
    for how in range(0, 256, 37):  # with and without a switch
        yield f"upgrade-{how}", bytes([how % 8, how, 5, 0]) + octets(REQUESTS["upgrade"])


def h1_client():
    hows = (0, 1, 2, 3, 0x10)
    for number, (name, (asked, text)) in enumerate(RESPONSES.items()):
        yield name, bytes([number % 8, hows[asked], 1 + number % 9, 0]) + octets(text)


# ---- HTTP/2: programs for h2_play.c and h2_peer.c ----

def b(text):
    return bytes.fromhex(text)


# In a server's programs: setup, the peer's SETTINGS, then operations; what the application does with
# an event stands behind the operation that causes it.
GET, POST = b("10 01 00 80"), b("10 00 00 40")
END = b("11 01 00 00")
H2_SERVER = {
    "get": b("00 00") + GET + b("02"),
    "get-content": b("00 00") + GET + b("f3"),
    "get-content-window": b("00 01 34") + GET + b("f5 03") + b("85 00 f3 90 81 ff 16 00 ff 81 ff"),
    "get-many": b("00 00") + (GET + b("02")) * 12,
    "get-more-than-allowed": b("01 00") + (GET + b("00")) * 6,
    "get-and-reset": b("10 00") + (GET + b("00") + b("12 00 08")) * 8,
    "reset-content": b("00 00") + b("00 01 00 80 f3 81 20 12 00 08"),
    "post": b("00 00") + POST + b("0a") + b("11 00 00 20 0a") + END + b("13"),
    "post-length": b("00 00") + b("10 00 00 41 1c 0a 11 01 00 05 02"),
    "post-length-short": b("00 00") + b("10 00 00 41 1c 0a 11 01 00 04 02"),
    "post-padded": b("00 00") + POST + b("0a 11 09 00 10 07 02"),
    "post-trailers": b("00 00") + POST + b("0a 11 00 00 20 0a 10 01 40 01 2f 02"),
    "post-large": b("00 00") + POST + b("00") + b("11 40 00 40 0a") * 8 + END + b("02"),
    "respond-early": b("00 00") + POST + b("02") + b("11 00 00 20") * 3,
    "push": b("00 00") + GET + b("08 07") + b("84 00 02 90 81 ff"),
    "push-many": b("00 00") + b("10 00 00 80 08 07") + b("84 00 08 07") * 6 + b("84 00 02"),
    "push-disabled": b("00 01 12") + GET + b("08") + b("84 00 02"),
    "push-held": b("00 01 13") + GET + b("08 05") + b("84 00 08 05 84 00 02 81 ff 81 ff"),
    "early-hints": b("00 00") + GET + b("1c") + b("84 00 13"),
    "large-head": b("00 00") + GET + b("ac") + GET + b("8c 84 00 f5 81 ff"),
    "large-hints": b("00 00") + GET + b("9c") + b("84 00 9c 84 00 ac 81 10 81 ff"),
    "trailers-out": b("00 00") + GET + b("f5") + b("84 00 43 84 00 c6 81 ff"),
    "torn-block": b("00 00 10 41 00 85 2e 05 02"),
    "priority": b("00 00") + GET + b("f4 17 00 05 75 3d 30 2c 69 81 ff"),
    "connect": b("00 00 10 00 00 04 07 03 08 01 13 11 00 00 05 0a"),
    "connect-plain": b("00 00 10 00 00 02 07 03 13 11 00 00 05 0a"),
    "connect-length": b("00 00 10 00 00 05 07 03 08 01 1c 13 11 01 00 03 0a"),
    "connect-asterisk": b("00 00 10 00 00 05 07 03 08 01 0a"),
    "abort": b("00 00") + GET + b("34 83 02"),
    "cookies": b("00 00 10 01 00 83 22 23 62 02"),
    "cookies-empty-last": b("00 00 10 01 00 82 22 c1 a0 02"),
    "bad-field": b("00 00 10 01 00 81 33"),
    "bad-upper": b("00 00 10 01 00 81 36"),
    "bad-connection": b("00 00 10 01 00 81 26"),
    "bad-pseudo-twice": b("00 00 10 01 00 81 00"),
    "bad-length": b("00 00 10 01 00 81 1f"),
    "settings-ping": b("00 00 1a 14 00 13 02 14 34 10 01 00 80 02"),
    "settings-many": b("10 00") + b("13 00") * 8,
    "window-overflow": b("00 00") + GET + b("00 16 00 ff 16 00 ff"),
    "window-zero": b("00 00") + GET + b("00 16 40 00"),
    "goaway": b("00 00") + GET + b("00 15 00 00 84 00 02"),
    "shutdown": b("00 00") + GET + b("00 83 01 14 01 84 00 02"),
    "no-memory-shutdown": b("00 00 83 85 10 01 00 80 00 83 01 14 01 84 00 02"),
    "no-memory-get": b("00 00 83 83") + GET + b("f5 03"),
    "table-update": b("00 00 10 01 00 81 c3 3f e1 1f 02 10 01 00 81 c1 20 02"),
    "table-index": b("00 00 10 01 00 81 6e 02 10 01 00 81 c1 be 02"),
    "octet-by-octet": b("00 00 50 01 00 80 01 02"),
    "slow-reader": b("00 00") + (b("00 01 00 80 f3") + b("81 00")) * 6,
    "slower-reader": b("00 00") + b("00 01 00 80 f3") + b("81 00 81 01 81 02 81 03") * 8,
    "anything": b("00 00 19 ff 00 00 03 61 62 63 19 01 05 81 25 82 87 84"),
    "raw": b("80 00 00 00 06 01 05 00 00 00 01 82 87 84 41 01 61 02"),
    "http1": b("c0") + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "prior-knowledge-then-http1": b("80 00") + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
}
# In a client's: 80 HOW sends a request, the peer answers.
ASK = b("80 02")
ANSWER, ANSWERED = b("10 00 20 80"), b("10 01 20 80")
H2_CLIENT = {
    "get": b("00 00") + ASK + ANSWERED + b("00"),
    "content": b("00 00") + ASK + ANSWER + b("0a") + b("11 00 20 30 0a 11 01 20 00 00"),
    "content-length": b("00 00") + ASK + b("10 00 20 81 1c 0a 11 01 20 05 0a"),
    "content-too-long": b("00 00") + ASK + b("10 00 20 81 1c 0a 11 01 20 06 0a"),
    "post": b("00 00") + b("80 01") + b("85 00 f5 81 ff") + ANSWERED + b("00"),
    "post-window": b("00 01 04") + b("80 01") + b("85 00 f5 81 ff 16 20 05 81 ff") + ANSWERED,
    "head": b("00 00 80 0a 10 01 20 81 1c 00"),
    "early-hints": b("00 00") + ASK + b("10 00 20 40") + ANSWERED + b("00"),
    "status-101": b("00 00") + ASK + b("10 00 20 01 13"),
    "status-600": b("00 00") + ASK + b("10 01 20 01 3c 00"),
    "trailers": b("00 00") + ASK + ANSWER + b("0a 11 00 20 05 0a 10 01 20 01 2f 00"),
    "promise": b("00 00") + ASK + b("18 00 20 00 80 00") + ANSWERED + b("00 10 01 40 80 00"),
    "promise-refused": b("00 00") + ASK + b("18 00 20 00 80 87") + ANSWERED + b("00 10 01 40 80 00"),
    "promise-post": b("00 00") + ASK + b("18 00 20 00 40"),
    "promise-disabled": b("20 00") + ASK + b("18 00 20 00 80"),
    "promise-many": b("01 00") + ASK + b("18 00 20 00 80 00") * 6,
    "reset-no-error": b("00 00 80 01 85 00 f5 81 ff") + ANSWERED + b("00 12 20 00"),
    "reset": b("00 00") + ASK + b("12 20 08"),
    "refused": b("00 00") + ASK + b("12 20 07"),
    "goaway": b("00 00") + ASK + ASK + b("15 20 00") + ANSWERED,
    "goaway-unprocessed": b("00 00") + ASK + ASK + b("15 80 00"),
    "max-streams": b("00 01 23") + ASK * 4 + ANSWERED + b("00") + ASK,
    "connect-websocket": b("00 01 18 80 36") + ANSWER + b("00 11 00 20 05 0a"),
    "connect": b("00 00 80 34") + ANSWER + b("00 11 00 20 05 0a"),
    "connect-length": b("00 00 80 34 10 01 20 81 1c 00"),
    "large-request": b("00 00 80 26 80 25 85 00 f5 81 ff") + ANSWERED + b("00"),
    "abort": b("00 00") + ASK + b("83 02"),
    "table-size-zero": b("00 01 01") + ASK + ASK + ANSWERED,
    "answer-unasked": b("00 00 10 01 81 80"),
    "anything": b("00 00") + ASK + b("19 00 01 20 05 61 62 63 64 65"),
}


def h2_server():
    yield from H2_SERVER.items()


# The peer's frames alone: no setup, nothing for the application, both answer what is complete.
H2_DIFFERENTIAL = {
    "get": b("00") + GET,
    "get-many": b("00") + GET * 12,
    "post": b("00") + POST + b("11 00 00 20") + END,
    "post-length": b("00 10 00 00 41 1c 11 01 00 05"),
    "post-length-short": b("00 10 00 00 41 1c 11 01 00 04"),
    "post-padded": b("00") + POST + b("11 09 00 10 07"),
    "post-trailers": b("00") + POST + b("11 00 00 20 10 01 40 01 2f"),
    "trailers-length": b("00") + POST + b("10 01 40 01 20"),
    "trailers-te": b("00") + POST + b("10 01 40 01 25"),
    "trailers-bad": b("00") + POST + b("10 01 40 01 33"),
    "post-large": b("00") + POST + b("11 40 00 40") * 8 + END,
    "torn-block": b("00 10 41 00 85 2e 05"),
    "priority": b("00") + GET + b("17 00 05 75 3d 30 2c 69"),
    "priority-headers": b("00 10 21 00 05 80"),
    "connect": b("00 10 00 00 04 07 03 08 01 11 00 00 05"),
    "connect-plain": b("00 10 00 00 02 07 03 11 00 00 05"),
    "connect-plain-length": b("00 10 01 00 03 07 03 1c"),
    "padding-to-come": b("00 10 00 00 02 07 03 19 00 09 00 e1 07"),
    "padding-to-come-post": b("00 10 00 00 41 03 19 00 09 00 64 03 61 62 63"),
    "connect-asterisk": b("00 10 01 00 05 07 03 08 01 0a"),
    "connect-host": b("00 10 01 00 05 07 02 08 01 19"),
    "cookies": b("00 10 01 00 83 22 23 62"),
    "cookies-empty": b("00 10 01 00 82 c1 a0 c1 a0"),
    "cookies-empty-last": b("00 10 01 00 82 22 c1 a0"),
    "host": b("00 10 01 00 04 00 01 02 19"),
    "host-differs": b("00 10 01 00 81 1a"),
    "no-authority": b("00 10 01 00 03 00 01 02"),
    "settings-ping": b("00 1a 14 00 13 02 14 34") + GET,
    "table": b("00 10 01 00 81 6e 10 01 00 81 c1 be 10 01 00 82 c1 20 ee"),
    "reset": b("00") + POST + b("12 00 08") + GET,
    "data-after-end": b("00") + GET + b("11 00 00 05"),
    "window-zero": b("00") + POST + b("16 40 00"),
    "old-id": b("00") + GET + GET + b("10 01 81 80"),
    "even-id": b("00 10 01 82 80"),
    "promise": b("00") + GET + b("18 00 40 00 80"),
    "goaway": b("00") + POST + b("15 00 00") + END,
    "octet-by-octet": b("00 50 01 00 80 01") + GET,
    **{f"field-{n:02}": bytes([0, 0x10, 1, 0, 0x81, n]) for n in range(64)},
}


def h2_differential():
    yield from H2_DIFFERENTIAL.items()


# What a server sends to GET, HEAD, GET and GET; 20 is the newest of them, 21 the one before.
H2_CLIENT_DIFFERENTIAL = {
    "all": b("00 10 01 23 80 10 01 22 80 10 01 21 80 10 01 20 80"),
    "content": b("00 10 00 20 80 11 00 20 30 11 01 20 05"),
    "padding-to-come": b("00 10 00 20 80 19 00 09 20 64 03 61 62 63"),
    "content-length": b("00 10 00 20 81 1c 11 01 20 05"),
    "content-length-wrong": b("00 10 00 20 81 1c 11 01 20 06"),
    "content-length-list": b("00 10 00 20 81 20 11 01 20 05"),
    "head": b("00 10 01 22 81 1c"),
    "head-content": b("00 10 00 22 80 11 01 22 05"),
    "no-content": b("00 10 01 20 01 14"),
    "not-modified": b("00 10 01 20 02 15 1c"),
    "early-hints": b("00 10 00 20 40 10 01 20 80"),
    "early-hints-end": b("00 10 01 20 40 10 01 20 80"),
    "early-hints-data": b("00 10 00 20 40 11 00 20 00 10 01 20 80"),
    "status-101": b("00 10 00 20 01 13"),
    "status-short": b("00 10 01 20 01 16"),
    "status-long": b("00 10 01 20 01 17"),
    "trailers": b("00 10 00 20 80 11 00 20 05 10 01 20 01 2f"),
    "trailers-length": b("00 10 00 20 80 11 00 20 05 10 01 20 01 20"),
    "promise": b("00 18 00 20 00 80 10 01 20 80 10 01 40 80"),
    "promise-post": b("00 18 00 20 00 40"),
    "promise-on-head": b("00 18 00 22 00 80"),
    "promise-odd": b("00 18 00 20 85 80"),
    "promise-bad-path": b("00 18 00 20 00 04 00 01 03 0d"),
    "promise-informational-33": b("00") + b("10 00 20 40") * 33 + b("18 00 20 00 80"),
    "promise-status-600": b("00 10 00 20 01 3c 18 00 20 00 80"),
    "reset": b("00 12 20 08 10 01 21 80"),
    "goaway": b("00 15 81 00 10 01 23 80"),
    "unasked": b("00 10 01 89 80"),
    "request-pseudo": b("00 10 01 20 81 02"),
    "data-first": b("00 11 01 20 05"),
    "octet-by-octet": b("00 50 01 20 80 01 10 01 21 80"),
    **{f"field-{n:02}": bytes([0, 0x10, 1, 0x20, 0x81, n]) for n in range(64)},
}


def h2_client_differential():
    yield from H2_CLIENT_DIFFERENTIAL.items()


def h2_client():
    yield from H2_CLIENT.items()


# ---- HPACK: see fuzz_hpack.c ----

HPACK = {
    # RFC 7541 C.3 and C.4: three requests on one connection
    "requests": b("00 14 828684410f7777772e6578616d706c652e636f6d 0e 828684be58086e6f2d6361636865"
                  "1d 828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565"),
    "requests-huffman": b("00 11 828684418cf1e3c2e5f23a6ba0ab90f4ff 0c 828684be5886a8eb10649cbf"
                          "18 828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"),
    "update": b("00 02 2082 01 3f"),
    "update-late": b("00 02 8220"),
    "update-too-large": b("00 04 3fe2ff03"),
    "update-due": b("00 05 4001780179 81 01 01 be"),
    "update-due-and-made": b("00 05 4001780179 82 01 20 82"),
    "update-twice": b("00 05 203fe11f82"),
    "integer-long": b("00 08 7fffffffffffff0f"),
    "index-zero": b("00 01 80"),
    "index-beyond": b("00 01 be"),
    "string-short": b("00 04 00057878"),
    "eos": b("00 08 00 01 78 84 ffffffff"),
    "padding-long": b("00 05 00 01 78 81 ff"),
    "padding-zero": b("00 05 00 01 78 81 18"),
    "never-index": b("00 05 1001780179 05 0001780179"),
    "evict": b("00 87 07" + "0d 40 01 78 0a 30313233343536373839" * 4),
    "larger-than-table": b("00 87 03 05 4001780179 05 4001780179"),
    "encode": b("01 03 01 00 03 0a 616263 00 01 02 6162"),
    "encode-again": b("01 01 03 0a 616263 01 03 0a 616263 01 03 0a 616263"),
    "encode-secret": b("01 02 43 0a 616263 03 20 616263"),
    "encode-sizes": b("01 01 83 05 616263 c1 01 00 83 05 616263 81 05 83 05 616263"),
    "encode-own-name": b("01 02 85 02 6162636465 85 02 6162636465 81 02 85 02 6162636465"),
}


def hpack():
    yield from HPACK.items()


# ---- edge between clients and a worker: see fuzz_exchange.c ----

GET1, GET2 = b("00 00 00"), b("40 00 00")
EXCHANGE = {
    "get": GET1 + b("05 00 14 03 ff"),
    "get-twice": (GET1 + b("05 00 14 03 ff")) * 2,
    "get-pipelined": b("01 00 00 00 00 00 05 00 14 03 ff 05 00 08 03 ff"),
    "get-slow": b("01 00 00") + b("02 05") * 6 + b("06 00 14 05") + b("07 05") * 6 + b("03 08 03 ff"),
    "get-large": GET1 + b("05 08 ff 03 ff 07 7f 03 ff 07 7f 03 ff"),
    "chunked": GET1 + b("05 01 14 03 ff"),
    "chunked-cut": GET1 + b("05 04 14 03 ff 07 80 03 ff"),
    "until-close": GET1 + b("05 02 14 07 80 03 ff"),
    "until-close-early": b("00 05 00 06 5a 40 3a 07 80"),
    "too-short": GET1 + b("05 03 14 07 80 03 ff"),
    "too-long": GET1 + b("05 05 14 03 ff") + GET1 + b("05 00 08 03 ff"),
    "too-long-two-clients": GET1 + b("08 00 00 05 05 14 0d 05 14 03 ff 0b ff") + GET1,
    "garbage": GET1 + b("05 06 14 03 ff"),
    "no-content": GET1 + b("05 07 00 03 ff"),
    "early-hints": GET1 + b("05 20 14 03 ff"),
    "head": b("00 03 00 05 00 14 03 ff"),
    "head-then-get": b("00 03 00 05 05 14 03 ff") + GET1 + b("05 00 14 03 ff"),
    "post": b("00 01 32 05 00 14 03 ff"),
    "post-chunked": b("00 09 32 05 00 14 03 ff"),
    "post-large": b("00 05 ff 87 00 87 00 05 00 14 03 ff"),
    "post-cut": b("01 05 20 02 40 04 00"),
    "post-half-answered": b("01 05 20 02 40 05 00 14 03 ff 02 ff 02 ff"),
    "post-worker-gone": b("01 05 20 02 40 07 80 02 ff 02 ff 03 ff"),
    "post-empty-worker-gone": b("00 01 00 07 80 05 00 14 03 ff"),
    "post-empty-worker-gone-idle": GET1 + b("05 00 05 03 ff 00 01 00 07 80 05 00 14 03 ff"),
    "to-h2-post-empty-gone": b("40 21 00 87 80 85 00 14 03 ff"),
    "to-h2-post-empty-reset": b("40 21 00 85 04 00 85 00 14 03 ff"),
    "post-twice-worker-gone": b("00 01 14 05 00 05 03 ff 07 80 00 01 14 05 00 05 03 ff"),
    "get-worker-gone": GET1 + b("07 80 05 00 14 03 ff"),
    "get-worker-gone-idle": GET1 + b("05 00 14 03 ff 07 80") + GET1 + b("05 00 14 03 ff"),
    "put-worker-gone": b("00 02 32 07 80 05 00 14 03 ff"),
    "client-gone": GET1 + b("04 00 05 00 14") + b("08 00 00 05 00 14 0d 00 14 0b ff"),
    "client-half-closed": GET1 + b("04 01 05 00 14 03 ff"),
    "client-gone-pipelined": b("00 00 05 00 03 04"),
    "client-close": b("00 10 00 05 00 14 03 ff"),
    "three-clients": b("00 00 00 08 00 00 10 00 00 05 00 10 0d 00 11 15 00 12 03 ff 0b ff 13 ff"),
    "h2-get": GET2 + b("05 00 14 03 ff"),
    "h2-many": GET2 * 4 + b("05 00 14 0d 01 14 15 03 14 1d 02 14 03 ff 1f 80 03 ff"),
    "h2-post": b("40 05 ff 87 00 87 00 05 00 14 03 ff"),
    "h2-cancel": GET2 + b("40 08 00 05 00 14 0d 00 14 03 ff"),
    "h2-cut": GET2 + b("05 03 14 07 80 03 ff"),
    "h2-large": GET2 + b("05 08 ff") + b("03 ff 07 7f") * 5,
    "h2-and-h1": GET2 + b("08 00 00 05 00 14 0d 00 14 03 ff 0b ff"),
    "to-h2-get": b("00 20 00 85 00 14 03 ff"),
    "to-h2-post": b("00 21 32 85 00 14 03 ff"),
    "to-h2-post-large": b("00 25 ff 87 20 87 20 87 20 85 00 14 03 ff"),
    "to-h2-many": b("40 20 00") * 4 + b("85 10 14 85 20 15 85 01 16 85 00 17 03 ff"),
    "to-h2-half": b("40 20 00 85 02 14 87 80 03 ff"),
    "to-h2-half-h1": b("00 20 00 85 02 14 87 80 03 ff"),
    "to-h2-half-end": b("00 20 00 85 02 14 85 03 00 03 ff"),
    "to-h2-no-length": b("00 20 00 85 01 14 03 ff"),
    "to-h2-no-length-cut": b("00 20 00 86 09 ff 10 87 80 03 ff"),
    "to-h2-reset": b("00 20 00 85 04 00 03 ff 00 21 05 85 04 00 03 ff"),
    "to-h2-refused": b("00 21 05 85 05 00 85 05 00 85 00 14 03 ff"),
    "to-h2-push": b("40 20 00 85 06 14 85 00 14 03 ff"),
    "to-h2-push-h1": b("00 20 00 85 06 14 85 00 14 03 ff"),
    "to-h2-push-twice": b("40 20 00 85 06 14 85 0e ff 85 00 14 03 ff 03 ff 87 7f 03 ff"),
    "to-h2-shutdown": b("40 20 00 85 07 01 40 20 00 85 00 14 8d 00 14 03 ff"),
    "to-h2-abort": b("40 20 00 40 21 05 85 07 00 03 ff 8d 00 14 03 ff"),
    "to-h2-gone": b("40 20 00 40 21 05 87 80 03 ff 8d 00 14 85 00 14 03 ff"),
    "client-gone-drained": GET1 + b("04 02 08 00 00 05 00 14 0d 00 15 0b ff 10 00 00 05 00 16 0d 00 16 13 ff"),
    "h2-cancel-drained": GET2 + b("14 02 40 08 00 0d 00 14 05 00 15 03 ff 40 08 00 05 00 14 0d 00 16 03 ff"),
    "h2-cancel-drained-cut": GET2 + b("14 02 40 08 00 06 0b ff 40 07 80 05 00 14 03 ff"),
    "h2-cancel-drained-post": b("40 05 20 14 02 40 08 00 05 00 14 03 ff 0d 00 14 03 ff"),
    "to-h2-cancel-drained": b("40 20 00 14 02 40 28 00 85 00 14 85 00 15 03 ff"),
    "to-h2-gone-often": b("40 20 00") + b("48 20 00 85 10 14 87 80") * 4,
    "to-h2-cancel": b("40 20 00 40 28 00 85 00 14 03 ff"),
    "to-h2-large": b("40 20 00 85 08 ff") + b("03 ff 87 7f") * 6,
    # 48: a client that takes push, c0: a browser; 60: it navigates; 80: GET of what was promised
    "push": b("48 20 00 85 06 15 85 00 14 03 ff"),
    "push-always": b("48 20 04 85 06 15 85 00 14 03 ff"),
    "push-head-later": b("48 20 00 85 06 14 03 ff 85 10 15 85 00 14 03 ff"),
    "push-head-never": b("48 20 00 85 06 14 85 00 14 03 ff"),
    "push-always-head-never": b("48 20 04 85 06 14 85 00 14 03 ff 0b ff"),
    "push-reset": b("48 20 00 85 06 14 85 14 00 85 00 14 03 ff"),
    "push-no-length": b("48 20 00 85 06 14 85 11 15 85 00 14 03 ff"),
    "push-half": b("48 20 00 85 06 14 85 1a 40 85 00 14 87 80 03 ff"),
    "push-page-first": b("48 20 00 85 06 14 85 02 80 03 ff 85 10 15 85 03 00 03 ff"),
    "push-client-gone": b("48 20 00 85 06 15 85 06 14 04 00 85 00 14 85 10 15"),
    "push-worker-gone": b("48 20 00 85 06 15 85 06 14 85 0a 40 87 80 03 ff"),
    "push-404": b("48 20 00 85 06 17 85 00 14 03 ff"),
    "parked": b("c0 60 00 85 06 15 85 00 14 03 ff c0 80 00 03 ff"),
    "parked-large": b("c0 60 00 85 06 14 85 18 ff 85 00 14 03 ff c0 80 00 03 ff 87 7f 03 ff 87 7f 03 ff"),
    "parked-awaited": b("c0 60 00 85 06 14 85 00 14 03 ff c0 80 00 85 10 15 85 00 15 03 ff"),
    "parked-awaited-reset": b("c0 60 00 85 06 14 85 00 14 03 ff c0 80 00 85 04 00 85 00 15 03 ff"),
    "parked-awaited-twice": b("c0 60 00 85 06 14 85 00 14 03 ff c0 80 00 c0 80 00 85 00 15 85 00 15 03 ff"),
    "parked-awaited-cancel": b("c0 60 00 85 06 14 85 00 14 03 ff c0 80 00 c0 88 00 85 00 15 85 00 15 03 ff"),
    "parked-awaited-gone": b("c0 60 00 85 06 14 85 00 14 03 ff c0 80 00 87 80 85 00 15 03 ff"),
    "parked-other-cookie": b("c0 60 01 85 06 15 85 00 14 03 ff c0 80 02 85 00 15 03 ff"),
    "parked-other-client": b("c0 60 00 85 06 15 85 00 14 03 ff d0 80 00 85 00 15 13 ff"),
    "parked-http1-client": b("c0 60 00 85 06 15 85 00 14 03 ff 08 80 00 85 00 15 0b ff"),
    "parked-set-cookie": b("c0 60 00 85 06 19 85 00 14 03 ff c0 80 00 85 00 15 03 ff"),
    "parked-many": b("c0 60 00") + b("85 06 15") * 20 + b("85 00 14 03 ff c0 80 00 c0 80 04 c0 80 08 03 ff"),
    "link": b("48 20 00 85 06 15 85 00 14 03 ff 48 a0 00 85 00 01 03 ff 50 20 00 85 00 1b 13 ff 85 00 1b 13 ff"),
    "link-asked": b("48 20 00 85 06 15 85 00 14 03 ff 50 20 00 85 00 0b 13 ff 85 00 14 13 ff"),
    "link-always": b("48 20 04 85 06 15 85 00 14 03 ff 50 20 04 85 00 0b 13 ff 85 00 14 13 ff"),
    "link-navigation": b("c0 60 00 85 06 15 85 00 14 03 ff d0 60 00 85 00 0b 13 ff 85 00 14 13 ff d0 80 00 13 ff"),
    "link-trusts": b("04 cc 48 20 04 85 06 15 85 00 14 03 ff 50 20 04 85 00 0b 13 ff 85 00 14 13 ff"),
    "link-http1": b("48 20 04 85 06 15 85 00 14 03 ff 10 20 04 85 00 0b 13 ff 85 00 14 13 ff"),
    "to-both": b("40 20 00 40 00 00 05 00 14 85 00 14 03 ff"),
    "h2-gone": GET2 * 3 + b("05 00 14 04 00 0d 00 14"),
    # GET with a size from f0 on opens a tunnel; then a size from e0 on is said in it
    "tunnel": b("00 00 f4 05 00 14 03 ff 00 00 14 00 00 04 05 00 20 03 ff"),
    "tunnel-refused": b("00 00 f4 05 02 14 03 ff 08 00 f4 0d 07 14 0b ff"),
    "tunnel-wrong-accept": b("00 00 f4 05 03 14 03 ff"),
    "tunnel-half-closed": b("00 00 f4 05 00 14 03 ff 00 00 14 04 01 05 00 20 03 ff"),
    "tunnel-large": b("00 00 f4 05 08 ff 03 ff") + b("00 04 ff 05 00 ff 03 ff") * 4,
    "tunnel-slow": b("00 00 f4 06 08 ff 01 03 01 07 01 03 01 01 00 14 02 01 02 01 07 10 03 ff"),
    "tunnel-worker-gone": b("00 00 f4 05 00 14 03 ff 00 00 14 07 80 03 ff"),
    "tunnel-client-gone": b("00 00 f4 05 00 14 03 ff 04 00 05 00 14"),
    "tunnel-idle": b("00 00 f4 05 00 14 03 ff") + b("04 e4") * 5 + b("03 ff"),
    "tunnel-h2": b("48 00 f4 05 00 14 03 ff 48 00 e4 05 00 10 03 ff 48 10 e4 03 ff"),
    "tunnel-h2-refused": b("48 00 f4 05 00 14 03 ff 48 00 f4 0d 02 10 03 ff 48 00 f4 15 07 10 03 ff"),
    "tunnel-h2-many": b("48 00 f4") * 4 + b("05 00 14 0d 00 14 15 00 14 1d 00 14 03 ff") + b("48 04 ff 03 ff") * 3,
    "tunnel-h2-cancel": b("48 00 f4 05 00 14 03 ff 48 08 00 03 ff 0d 00 14 03 ff"),
    "tunnel-to-h2": b("48 20 f4 85 02 14 03 ff 48 20 e5 85 02 10 03 ff 85 03 00 03 ff"),
    "tunnel-to-h2-refused": b("48 20 f4 85 00 14 03 ff 48 20 f4 85 04 00 03 ff 48 20 f4 85 05 00 85 02 14 03 ff"),
    "tunnel-to-h2-ended": b("48 20 f4 85 01 14 03 ff 48 30 e4 03 ff"),
    "tunnel-to-h2-gone": b("48 20 f4 85 02 14 03 ff 48 24 ef 87 80 03 ff"),
    "tunnel-to-h2-h1": b("00 20 f4 85 02 14 03 ff 00 00 14 85 02 10 03 ff 04 01 85 03 00 03 ff"),
    "tunnel-to-h2-h1-refused": b("00 20 f4 85 00 14 03 ff 00 00 00 05 00 14 03 ff"),
    "trailers": b("00 4d 10 05 41 14 03 ff 00 4d 10 05 00 14 03 ff"),
    "trailers-cut": b("01 4d 10 02 2b 05 41 14 03 ff"),
    "trailers-h2": b("48 41 20 05 41 14 03 ff 48 41 20 05 41 15 03 ff"),
    "trailers-to-h2": b("48 61 20 85 00 15 03 ff 48 61 20 85 01 25 03 ff"),
    "trailers-to-h2-h1": b("00 6d 20 85 00 15 03 ff 00 6d 21 85 01 25 03 ff"),
    "malformed": b("00 02 f0 03 ff"),
    "malformed-behind": b("00 00 00 00 00 00 00 02 f0 05 00 14 05 00 14 03 ff"),
    # 04: what comes from neither side
    "time-out": GET1 + b("04 e4") * 5 + b("03 ff"),
    "time-out-to-h2": b("48 20 00") + b("04 e4") * 5 + b("03 ff"),
    "time-content": b("01 05 ff 02 10") + b("04 e4") * 5 + b("03 ff"),
    "time-answer": GET1 + b("06 09 ff 10") + b("04 e4") * 5 + b("03 ff"),
    "routes-none": GET1 + b("04 4c 05 00 14 03 ff 00 00 00 04 0c 05 00 14 03 ff"),
    "routes-only-h2": GET1 + b("04 6c 05 00 14 03 ff 00 00 00 03 ff"),
    "one-at-a-time": b("04 2c 00 00 00 08 00 00 10 00 00 05 00 14 0d 00 15 05 00 15 15 00 16 05 00 17 03 ff 0b ff 13 ff"),
    "one-at-a-time-to-h2": b("04 2c 48 20 00 48 20 00 48 20 00 85 00 14 85 00 14 85 00 14 03 ff"),
    "one-at-a-time-gone": b("04 2c 00 00 00 08 00 00 10 00 00 0c 00 05 00 14 0d 00 15 05 00 15 03 ff 13 ff"),
    # from f0 on, a size with 4 or 8 is more than edge has room for; the second client has little in the kernel
    "large": b("08 00 00 05 08 ff"),
    "large-chunked": b("08 00 00 05 09 ff 02 20 0b 80 07 ff 07 ff"),
    "large-behind-each-other": b("08 00 00 08 00 00 05 08 ff 0b ff 05 09 ff"),
    "large-to-h2": b("48 00 00 05 08 ff"),
    "large-from-h2": b("08 20 00 85 08 ff"),
    "large-from-h2-to-h2": b("48 20 00 48 20 04 85 08 ff 85 18 ff"),
    "large-asked": b("08 05 ff"),
    "large-asked-h2": b("48 25 ff 48 05 ff"),
    "large-asked-waiting": b("04 2c 00 00 00 08 05 ff 08 00 00 08 00 00 05 00 14"),
    "large-asked-tight": b("04 8c 48 20 00 85 00 14 4b ff 48 25 60"),
    "large-given-up": b("48 20 00 85 08 ff 85 07 00"),
    "large-parked": b("48 60 00 85 06 14 85 18 ff 85 00 14 0b ff 48 80 00 0b ff"),
    "large-tight": b("04 8c 48 20 00 48 20 04 85 08 ff 85 18 ff"),
    # two shards: the third client's is the other one
    "two-shards": b("04 2c 00 00 00 10 00 00 00 00 00 05 00 14 0d 00 15 05 00 15 15 00 16 03 ff 13 ff 05 00 14 13 ff"),
    "two-shards-gone": b("04 2c 00 00 00 10 00 00 14 00 05 00 14 03 ff 00 00 00 10 00 00 04 00 05 00 14 0d 00 14 13 ff"),
    "two-shards-to-h2": b("04 2c 48 20 00 50 20 00 48 20 00 85 00 14 85 00 14 85 00 14 03 ff 13 ff"),
    "two-shards-no-limit": b("04 2c 00 00 00 10 00 00 10 00 00 04 0c 05 00 14 0d 00 14 15 00 14 03 ff 13 ff"),
    "two-shards-leave": b("04 2c 00 00 00 10 00 00 04 14 05 00 14 13 ff 03 ff"),
    "two-shards-drain": b("04 2c 00 00 00 10 00 00 04 1c 05 00 14 0d 00 14 03 ff 13 ff 04 e4"),
    "leave": GET1 + b("04 14 05 00 14 03 ff"),
    "leave-h2": b("48 20 00 85 06 15 04 34 85 00 14 03 ff"),
    "leave-tunnel": b("00 00 f4 05 00 14 03 ff 04 14 00 00 14 05 00 20 03 ff 04 00"),
    "leave-parked": b("c0 60 00 85 06 15 85 00 14 03 ff 04 34 c0 80 00 03 ff"),
    # 8c: tight limits, ac: strict hosts, cc: proxies are trusted, ec: workers fail
    "tight": b("04 8c 00 05 ff 05 00 14 03 ff 00 00 00 00 00 00 08 00 00 05 00 14 03 ff 0b ff"),
    "tight-waiting": b("04 8c 00 00 00 08 00 00 10 00 00 04 64 05 00 14 03 ff 0b ff 13 ff"),
    "tight-slow": b("04 8c 01 05 ff 02 10 04 c4 03 ff 00 00 00 04 c4 04 c4 03 ff"),
    "tight-abuse": b("04 8c") + b("00 02 f0 03 ff 04 00") * 4 + b("00 00 00 04 e4 04 e4 05 00 14 03 ff"),
    "tight-resets": b("04 8c 40 00 00") + b("40 08 00") * 8 + b("04 00 40 00 00 04 e4 05 00 14 03 ff"),
    "tight-connections": b("04 8c 08 00 00 10 00 00 0c 00 08 00 00 05 00 14 0b ff 13 ff"),
    "strict": b("04 ac 00 00 f4 40 20 00 48 20 04 00 20 04 03 ff 0b ff"),
    "trusts": b("04 cc c0 60 00 85 06 15 85 00 14 03 ff"),
    "trusts-told": b("04 cc c0 64 90 85 06 15 85 00 14 03 ff c0 64 94 85 06 15 85 00 14 03 ff"),
    "trusts-always": b("04 cc 48 24 94 85 06 15 85 06 14 85 00 54 03 ff"),
    "trusts-budget": b("04 cc 48 60 00 85 06 15 85 06 14 85 00 54 0b ff 48 60 00 85 06 15 85 00 14 0b ff"),
    "strict-redirect": b("04 ac 00 20 04 00 25 10 48 20 04 48 23 34 03 ff 0b ff"),
    "failing": b("04 ec 00 00 00 40 20 00 08 00 f4 03 ff 0b ff"),
    **{f"ask-{n:02}": bytes([0, 4, n << 3, 5, 0, 20, 3, 255, 0x48, 7, n << 3, 5, 0, 20, 0xb, 255])
       for n in range(28)},
    **{f"ask-{n:02}-to-h2": bytes([0, 0x24, n << 3, 0x85, 0, 20, 3, 255, 0x48, 0x64, n << 3 | 4, 0x85, 6, 21,
                                   0x85, 0, 20, 0xb, 255]) for n in range(28)},
    **{f"answer-{n:02}": bytes([0, 0, 0, 5, 0x80, n << 3, 3, 255, 0x48, 0x20, 0, 0x85, 6, n << 5 & 255 | 0x11,
                                0x85, 0, n << 5 & 255 | 0x10, 0xb, 255]) for n in range(16)},
    # 9c, bc: the 16th, or any next allocation fails
    "no-memory-tunnel": b("04 bc 17 00 00 f4 05 03 14 03 ff"),
    "no-memory-head": b("04 bc 04 0a e7 db 00 10 63 03 ff"),
    "no-memory-head-behind": b("04 bc 1a 00 04 20 05 00 14 03 ff 00 03 00 03 ff"),
    "no-memory-told": b("04 bc 53 04 cc 48 24 94 85 06 15 85 06 14 85 00 54 03 ff"),
    # 04 08 to f8, NAME: over TLS
    "tls": b("04 08 00 03 ff 00 00 00 05 00 14 03 ff 03 ff"),
    "tls-slow": b("04 08 00 03 10 03 08 03 40 03 ff 01 05 20 02 05 02 20 02 ff 05 00 14 03 05 03 ff"),
    "tls-h2": b("04 18 00 03 ff 00 00 00 05 00 14 03 ff 03 ff"),
    "tls-1.2": b("04 88 00 03 ff 03 ff 00 00 00 05 00 14 03 ff 03 ff"),
    "tls-1.2-h2": b("04 98 02 03 ff 03 ff 00 20 04 85 00 14 03 ff 03 ff"),
    "tls-resumed": b("04 08 00 03 ff 00 00 00 05 00 14 03 ff 04 00 04 58 00 03 ff 00 00 00 05 00 14 03 ff 03 ff"),
    "tls-misdirected": b("04 18 00 03 ff 00 20 04 00 20 00 85 00 14 03 ff"),
    "tls-no-name": b("04 18 03 03 ff 00 00 00 05 00 14 03 ff"),
    "tls-push": b("04 18 02 03 ff 00 60 04 85 06 15 85 00 14 03 ff"),
    "tls-new-keys": b("04 08 00 03 ff 00 00 00 04 08 00 c0 03 ff 05 00 14 03 ff 04 08 00 c0 00 00 00 05 00 14 03 ff"),
    "tls-rubbish": b("04 18 00 03 ff 00 00 00 04 08 00 e0 05 00 14 03 ff 03 ff"),
    "tls-gone": b("04 08 00 04 00 04 18 00 03 ff 04 00 04 08 00 03 ff 00 00 00 04 00 05 00 14"),
    "tls-half-closed": b("04 08 00 03 ff 00 00 00 04 01 05 00 14 03 ff"),
    "tls-strict": b("04 ac 04 88 01 03 ff 00 20 00 03 ff 04 00 04 18 01 03 ff 00 20 00 85 00 14 03 ff"),
    "tls-late": b("04 08 00 04 e4 04 e4 03 ff 00 00 00 05 00 14 03 ff"),
    "tls-tunnel": b("04 08 00 03 ff 00 00 f4 05 00 14 03 ff 00 00 14 05 00 20 03 ff 04 00"),
    "tls-suspect": b("04 8c") + b("04 08 00 04 08 00 e0 02 ff 04 00") * 12 + b("04 08 00 03 ff 04 c4 03 ff 00 00 00 05 00 14 03 ff"),
    # 85 0f WHICH VALUE, 04 08 WHICH VALUE: a frame of exchange_frames.c, of a worker, of a client
    **{f"foul-worker-{which:02x}-{value:02x}": bytes([0x48, 0x21, 50, 0x48, 0x20, 0, 0x85, 15, which, value, 0x85, 0, 20,
                                                      0x85, 0, 21, 0x48, 0x20, 0, 0x85, 0, 22, 0xb, 255])
       for which, value in ((0x11, 0x07), (0x11, 0x00), (0x12, 0x03), (0x02, 0x03), (0x02, 0x04), (0x02, 0xc4), (0x03, 0x10),
                            (0x04, 0x00), (0x04, 0x20), (0x04, 0xcb), (0x05, 0xc0), (0x15, 0xc0), (0x15, 0x00), (0x06, 0x01),
                            (0x07, 0x00), (0x10, 0x20), (0x18, 0x00), (0x18, 0x01), (0x18, 0x41), (0x18, 0x80), (0x18, 0xc0),
                            (0x18, 0x04), (0x38, 0x00), (0x19, 0x00), (0x19, 0x01), (0x19, 0x09), (0x1a, 0x00), (0x1b, 0x00),
                            (0x29, 0x00), (0x28, 0x00))},
    **{f"foul-worker-after-{value:02x}": bytes([0x48, 0x20, 0, 0x48, 0x20, 4, 0x85, 2, 20, 0x85, 15, 0x19, value, 0x85, 0, 21,
                                                0x85, 3, 0, 0xb, 255]) for value in (0, 1, 9)},
    "foul-worker-to-h1": b("00 20 00 85 02 20 85 0f 19 01 03 ff 00 20 00 85 00 14 03 ff"),
    "foul-worker-tunnel": b("00 20 f4 85 0f 18 00 03 ff 48 20 f4 85 0f 18 00 0b ff"),
    **{f"foul-client-{which:02x}-{value:02x}": bytes([0x48, 0x21, 50, 0x48, 0, 0, 4, 8, which, value, 0x85, 0, 20, 5, 0, 20,
                                                      0x48, 0x20, 0, 0x85, 0, 22, 3, 255])
       for which, value in ((0x11, 0x08), (0x02, 0x04), (0x02, 0xc4), (0x02, 0x05), (0x03, 0x10), (0x04, 0x00), (0x05, 0xc0),
                            (0x15, 0xc0), (0x15, 0x00), (0x06, 0x01), (0x00, 0x20), (0x10, 0x20))},
    "expect": b("00 41 32 05 00 14 03 ff"),
    "drain": GET1 + b("48 20 00 04 1c 05 00 14 03 ff 85 00 14 0b ff") + b("04 e4") * 3,
    "drain-patient": GET1 + b("48 20 00 04 3c 05 00 14 03 ff 85 00 14 00 00 00 05 00 15 03 ff") + b("04 e4") * 3,
    "drain-tunnel": b("00 00 f4 05 00 14 03 ff 04 3c 00 00 14 05 00 20 03 ff") + b("04 e4") * 3,
}


def exchange():
    yield from EXCHANGE.items()


# ---- texts ----

AUTHORITIES = [
    "a", "a.test", "A.TEST:443", "a:", "a:0", "a:65535", "a:65536", ":80", "[::1]", "[::1]:80", "[::1",
    "[::1]x", "[v1.a]", "[fe80::1%25eth0]", "u@a", "u:p@a:1", "a/b", "a b", "a%2Eb", "a%zz", "1.2.3.4",
    "127.0.0.1:80", "tcp://[::1]:80", "unix:/run/x", "10.0.0.0/8", "fd00::/8", "::1", "1.2.3.4/33", "",
    "a\0b", "\u00e9", "a, b", '"a, b", c', '"a', ",,a", "5, 5", "5,,5", "u=1, i", "u=9", "i=?0", "u=1;x=y",
    "a=(b c), u=2", "/a?b", "/a#b", "99999999999999999999", "+5",
]
PATHS = [
    "/", "/a", "/a/", "/a/b.html?c=d", "/a%20b", "/a%2fb", "/a%00b", "/a%2", "/a%zz", "//a", "/a//b", "/./a",
    "/a/..", "/../etc/passwd", "/%2e%2e/a", "/a/%2e", "/.hidden", "/.well-known/a", "/a/.well-known", "/a/.git/x", "/%2ehidden", "/a%252e", "/?",
    "/a\\b", "/...", "/a/...", "/\u00e9", "/%c3%a9", "/a?/../b", "/a%3fb",
]
RANGES = [
    "bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0", "bytes=-99999", "bytes=5-2", "bytes=10-19,30-39",
    "bytes=0-9,200-209,100-109", "bytes=0-0,-1", "bytes=255-", "bytes=256-", "bytes=9-9,0-300", "bytes=,0-1,",
    "bytes=0-1,x", "bytes= 0-1 , 3-4 ", "BYTES=0-1", "lines=0-1", "bytes", "bytes=",
    "bytes=18446744073709551615-", "bytes=0-18446744073709551616", "bytes=-18446744073709551616",
    "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 160, 10)),
    "bytes=" + ",".join(f"{n}-{n}" for n in range(17)),
]
DATES = ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
         "Sun, 06 Nov 1994 08:49:60 GMT", "Sun, 31 Feb 1994 08:49:37 GMT", "yesterday"]


def authority():
    for number, text in enumerate(AUTHORITIES):
        yield f"text-{number:02}", octets(text)


def static_path():
    for number, text in enumerate(PATHS):
        yield f"path-{number:02}", octets(text)


def static_range():
    size = b"\1\0"  # 256 octets
    for number, text in enumerate(RANGES):
        yield f"range-{number:02}", size + octets(text)
    for number, date in enumerate(DATES):
        yield f"date-{number}", size + octets(f"bytes=0-1\n{date}\n\n\n{date}\n{date}\n")
    for name, text in {
        "if-range-tag": 'bytes=0-1\n"abc"', "if-range-weak": 'bytes=0-1\nW/"abc"',
        "none-match": '\n\n"x", W/"abc"', "none-match-any": "\n\n*", "match": '\n\n\n"abc"',
        "match-open": '\n\n\n"abc', "match-weak": '\n\n\nW/"abc"', "match-comma": '\n\n\n"a,b", "abc"',
        "encodings": "\n\n\n\n\n\ngzip, br;q=0.5, zstd;q=0", "encodings-any": "\n\n\n\n\n\n*;q=0.1",
        "encodings-identity": "\n\n\n\n\n\nidentity, *;q=0", "encodings-bad": "\n\n\n\n\n\ngzip;q=2, br;q=0.0001",
    }.items():
        yield name, size + octets(text)


APP = "  a:\n    directory: x\n    command: run\n    hosts: [a.test]\n"
MANIFESTS = {
    "app": f"apps:\n{APP}",
    "no-apps": "apps: {}\n",
    "listen": f"listen:\n  https: ['127.0.0.1:8443', '[::1]:8443']\n  http: 127.0.0.1:8080\napps:\n{APP}",
    "unknown-key": f"nothing: 1\napps:\n{APP}",
    "key-twice": f"apps:\n{APP}{APP}",
    "apps-twice": f"apps:\n{APP}apps:\n{APP}{APP.replace('a:', 'b:')}" + f"apps:\n{APP}" * 3,
    "hosts-twice": f"apps:\n{APP}" + "    hosts: [a.test, b.test, c.test, d.test]\n" * 9,
    "listen-twice": f"listen:\n" + "  http: ['127.0.0.1:1', '127.0.0.1:2']\n" * 9 + f"apps:\n{APP}",
    "anchor": "a: &x 1\nb: *x\n",
    "tag": "apps: !!python/object:os.system {}\n",
    "deep": "a: " + "[" * 40 + "]" * 40 + "\n",
    "open-quote": 'apps: "\n',
    "tab": "apps:\n\ta: 1\n",
    "two-documents": "apps: {}\n---\napps: {}\n",
    "empty": "",
    "bom": "\u00ef\u00bb\u00bfapps: {}\n",
    "utf8-bad": "apps: {\u00ff: 1}\n",
    "nul": "apps:\n  a\0: 1\n",
    "quoted-number": f"apps:\n{APP}    instances: '3'\n",
    "number-huge": f"apps:\n{APP}    instances: 99999999999999999999\n",
    "env": f"apps:\n{APP}    env:\n      A: b\n      C: 1\n",
    "upstreams": "apps:\n  a:\n    upstreams: ['127.0.0.1:1', 'unix:/x']\n    hosts: [a.test]\n",
    "block": "apps:\n  a:\n    directory: x\n    command: |\n      run\n      this\n    hosts: [a.test]\n",
    "host-wild": "apps:\n  a:\n    directory: x\n    command: run\n    hosts: ['*.a.test']\n",
    "host-bad": "apps:\n  a:\n    directory: x\n    command: run\n    hosts: ['a..test', '-', 'a b']\n",
}


# These are good: the directory that they lie in is /.
GOOD = "listen:\n  https: 127.0.0.1:8443\napps:\n"
LOCAL = "  a:\n    directory: .\n    command: run\n    hosts: [a.test]\n"
GOOD_MANIFESTS = {
    "good-app": GOOD + LOCAL,
    "good-listen": """listen:
  https: ['127.0.0.1:8443', '[::1]:8443']
  http: 127.0.0.1:8080
  admin: ['127.0.0.1:0']
loops: 2
accessLog: off
trustedProxies: [10.0.0.0/8, '::1']
limits:
  connectionsPerAddress: 10
  abusesPerAddress: 2 + 3/s
  handshake: 2s
  requestLine: 2KiB
apps:
""" + LOCAL,
    "good-upstreams": GOOD + """  a:
    upstreams: ['tcp://127.0.0.1:1', 'unix:/x']
    hosts: [a.test, '*.b.test']
    http20Enabled: false
    http20ProxyFlag: 1
    httpsOnly: true
    webSocketsEnabled: false
    upgrades: [foo, foo/2]
    forwardedFor: ip:port
    certificate: {chain: etc/passwd, key: etc/passwd}
    tls: {minVersion: '1.3'}
  b-2:
    upstreams: tcp://[::1]:2
    hosts: [c.test]
    push: off
""",
    "good-command": GOOD + LOCAL + """    instances: 3
    env:
      A: b
      C: '1'
    timeouts: {request: 10s, idle: 1m, tunnel: 1h, drain: 500ms}
    limits: {concurrency: 4, queue: 10, body: 1MiB}
    healthCheckPath: /health?x=1
    healthCheck: {interval: 2s, failures: 5}
""",
    "good-push": GOOD + LOCAL + """    push:
      policy: always
      budget: 64KiB
      interleave: 8KiB
      holdback: 10
      include: /static/*
      exclude: [/a, '/*.png']
      copy: [accept-encoding, user-agent]
      preload:
        /: [/app.css, '</x.js>; rel=preload; as=script; crossorigin']
        /shop/*: /shop.css
""",
}


def manifest():
    for name, text in (MANIFESTS | GOOD_MANIFESTS).items():
        yield name, octets(text)
    yield "example", (SEEDS.parent.parent / "examples/portico.yaml").read_bytes()


IPC = {  # 1 LISTEN, 2 CERTIFICATE, 3 APP, 4 ENV, 5 COMMIT
    "honest": b("01 00 02 00 03 00 04 00 04 00 03 00 05 00"),
    "commit-twice": b("03 00 05 00 03 00 05 00"),
    "type-unknown": b("ff 00"),
    "type-none": b("00 00"),
    "short": b("03 08"),
    "long": b("03 10"),
    "descriptors": b("03 02"),
    "descriptors-many": b("06 07"),
    "snapshot": b("06 01"),
    "env-first": b("04 00"),
    "app-twice": b("03 20 00 05 61 61 61 61 00 03 20 00 05 61 61 61 61 00 05 00"),
    "app-name-path": b("03 20 00 05 2e 2e 2f 61 00 05 00"),
    "app-directory-relative": b("03 20 06 02 61 00 05 00"),
    "app-instances": b("03 20 08 04 ff ff ff ff 05 00"),
    "app-no-nul": b("03 20 00 40" + "61" * 64),
    "listen-kind": b("01 20 00 01 03 05 00"),
    "listen-address": b("01 20 0d 02 78 00 05 00"),
    "certificate-files": b("02 60 01 01 00 0b 03 2f 61 00 0c 03 2f 62 00 05 00"),
    "certificate-relative": b("02 60 01 01 00 0b 02 61 00 0c 02 62 00 05 00"),
    "certificate-hosts": b("02 20 0a 04 61 20 20 00 05 00"),
    "certificate-same": b("02 20 00 01 07 02 20 00 01 07 05 00"),
    "env-no-equals": b("03 00 04 20 00 02 41 00 05 00"),
    "commit-loops": b("05 20 02 01 00"),
    "commit-log": b("05 20 0f 02 61 00"),
}


def ipc():
    yield from IPC.items()


# ---- what monitor hands to a new binary: src/monitor/resume.c ----

NONE = -1  # a descriptor


def number(*values):
    return b"".join((v & (1 << 64) - 1).to_bytes(8, "little") for v in values)


def text(s):
    return number(len(s)) + s.encode()


def state(listeners=(), certificates=(), edges=(), apps=()):
    out = text("/d") + text("/m.yaml") + number(1024, 4096, NONE, 1, 2, 0, 1, 2, 0, 1, 4096)
    out += number(NONE, 0, NONE, 1, 3, 7, 2, 5) + text("off")
    out += number(len(listeners)) + b"".join(listeners)
    out += number(len(certificates)) + b"".join(certificates) + number(1, 0, 0, 0)
    return out + number(len(edges)) + b"".join(edges) + number(len(apps)) + b"".join(apps)


def listener(fds, count=None):
    out = number(0) + text("127.0.0.1:0") + text("127.0.0.1:8080")
    return out + number(len(fds) if count is None else count, *fds)


def instance(index=0, life=2, tail="one\n", line="two"):
    out = number(index, 1, 0, 0, 0, life, 1, 0, 0, 0, 1, 10, 20, 0, 0, 0, NONE, 0, 15, 4001, 0)
    out += text("/d/run/a/0.sock") + number(0, 0, 0)
    return out + text(tail) + number(1, 0, 0) + text(line)


def app(name="a", env=("A=b",), version=1, current=1, site=0, instances=(instance(),)):
    out = text(name) + text("/srv") + text("run") + text("apps.a") + number(1, 1000, 0)
    out += number(len(env)) + b"".join(map(text, env)) + number(1000, version, current, site, 1, 1)
    out += text("/d/apps/a") + text("/d/apps/a/home") + number(0, NONE)
    places = list(instances) + [None] * (64 - len(instances))
    return out + b"".join(number(0) if i is None else number(1) + i for i in places)


CERTIFICATE = number(1, 1) + text("a.test") + text("") + text("") + text("tls") + number(1, 2, 3, 4)
EDGE = number(0, NONE, 1, 1, 0, 0, 10)
RESUME = {
    "empty": state(),
    "honest": state([listener([0, 1])], [CERTIFICATE], [EDGE], [app()]),
    "rolled-out": state(apps=[app(current=0), app(version=2, site=1, instances=[instance(1)])]),
    "rolled-back": state(apps=[app(version=2), app(current=0, site=1)]),
    "instances": state(apps=[app(instances=[instance(i, life=i) for i in range(6)])]),
    "listener-many": state([listener([], 1 << 32)]),
    "certificates-many": state()[:-72] + number(1 << 40),
    "name-long": state(apps=[app(name="a" * 64)]),
    "index-high": state(apps=[app(instances=[instance(1024)])]),
    "life-unknown": state(apps=[app(instances=[instance(life=99)])]),
    "line-long": state(apps=[app(instances=[instance(line="x" * 2001)])]),
    "site-high": state(apps=[app(site=8)]),
    "edge-copy-high": state(edges=[number(0, NONE, 255, 1, 0, 0, 10)]),
    "cut": state(apps=[app()])[:-200],
    "text-huge": text("/d") + text("/m") + number((1 << 64) - 1) * 40,
}


def resume():
    yield from RESUME.items()


ROUTE = {  # the word at an octet: flags, offsets and counts of the header, sites, a cut
    "none": b("00"),
    "one": b("01"),
    "three": b("03"),
    "magic": b("01 00 00 00"),
    "version": b("01 00 01 08"),
    "sites-far": b("02 00 05 08"),
    "sites-many": b("02 00 06 08"),
    "instances-many": b("02 00 08 0b"),
    "hosts-odd": b("02 00 0a 03"),
    "hosts-none": b("02 00 0a 00"),
    "texts-wrap": b("02 00 0b 09"),
    "cut": b("03 02 00 40"),
    "cut-header": b("03 00 10 40"),
    "name-upper": b("01 02 f0 81 41"),
    "prefix-wide": b("01 01 80 06"),
}


def route():
    yield from ROUTE.items()


def tls_traffic():
    def content(text, change=0):
        return bytes([0, len(text)]) + text + bytes([change])

    def padded(text, padding):
        return bytes([2, len(text)]) + text + bytes([padding, 0])

    def key_update(wants_ours):
        return bytes([3, wants_ours, 0])

    def other(kind, text):
        return bytes([4, kind, len(text)]) + text + b"\0"

    def rubbish(text):
        return bytes([5, len(text)]) + text

    def answer(octets):
        return bytes([6, octets >> 8, octets & 255])

    def feed(step=255, room=255):
        return bytes([7, step, room])

    ABC, DEF = content(b"abc"), content(b"def")
    aes, long_aes, chacha = b"\0", b"\1", b"\2"
    yield "content", aes + ABC + feed()
    yield "pieces", long_aes + ABC + DEF + feed(0, 0)
    yield "padding", chacha + padded(b"x", 200) + padded(b"", 3) + feed(6, 2)
    yield "key-update", aes + ABC + key_update(1) + DEF + feed() + answer(30) + key_update(0) + key_update(1) + ABC + feed(3, 9) + answer(17000)
    yield "changed", aes + ABC + content(b"def", 255) + b"\0\7" + ABC + feed()
    yield "close", aes + ABC + other(21, b"\1\0") + DEF + feed()
    yield "warning", aes + other(21, b"\1\x5a") + ABC + feed()
    yield "no-type", aes + other(0, b"") + feed()
    yield "client-hello", aes + other(22, b"\1\0\0\0") + feed()
    yield "split-key-update", aes + other(22, b"\x18\0") + other(22, b"\0\1\0") + feed()
    yield "rubbish", aes + ABC + rubbish(b"\x17\3\3\0\x20") + DEF + feed()
    yield "plain-alert", aes + rubbish(b"\x15\3\3\0\2\1\0") + feed()
    yield "change-cipher-spec", aes + rubbish(b"\x14\3\3\0\1\1") + feed()
    yield "empty", long_aes + content(b"") * 5 + ABC + feed(1, 1)


TARGETS = {f.__name__: f for f in (authority, exchange, h1_client, h1_differential, h1_server, h2_client, h2_client_differential, h2_differential, h2_server, hpack, ipc, manifest, resume, route, static_path, static_range, tls_traffic)}


def main():
    for target in sys.argv[1:] or TARGETS:
        folder = SEEDS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in TARGETS[target]():
            (folder / name).write_bytes(content)


main()
