# SPDX-License-Identifier: Apache-2.0
"""Sends, beside the octets of a response that its client does not read yet, a socket whose close waits
for a peer that never reads: for a quarter of an hour, in whoever closes it last."""
import array
import fcntl
import os
import socket
import struct
import termios
import time

LENGTH = 16 << 20


def lingering(server):
    c = socket.create_connection(server.getsockname())
    c.setblocking(False)
    try:
        while True:
            c.send(b'x' * 65536)
    except BlockingIOError:
        pass
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 1000))
    return c


def unread(s):
    octets = bytearray(4)
    fcntl.ioctl(s, termios.TIOCOUTQ, octets)
    return struct.unpack('i', octets)[0]


def answer(s, server):
    c = lingering(server)
    left = LENGTH
    s.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % left)
    still = 0
    while still < 20:  # until edge waits for its client
        if unread(s) < 20000:
            left -= s.send(b'x' * 16384)
            still = 0
        time.sleep(0.005)
        still += 1
    try:
        left -= s.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [c.fileno()]))])
        print('a socket is on its way', flush=True)
    except PermissionError:
        print('edge takes none', flush=True)
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    c.close()
    s.sendall(b'x' * left)


never_reads = socket.socket()
never_reads.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
never_reads.bind(('127.0.0.1', 0))
never_reads.listen(16)
listener = socket.socket(socket.AF_UNIX)
listener.bind(os.environ['PORTICO_SOCKET'])
listener.listen(16)
while True:
    client, _ = listener.accept()
    try:
        if client.recv(65536):
            answer(client, never_reads)
    except OSError:
        pass
    client.close()
