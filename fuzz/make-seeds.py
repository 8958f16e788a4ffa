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


TARGETS = {f.__name__: f for f in (h1_differential,)}


def main():
    for target in sys.argv[1:] or TARGETS:
        folder = SEEDS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in TARGETS[target]():
            (folder / name).write_bytes(content)


main()
