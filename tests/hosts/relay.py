#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""relay.py LISTEN-PORT ADDRESS PORT SIDE NUMBER: hands the bytes of one connection on, both ways,
until it holds record NUMBER (from 1 on) of SIDE (caller or called) in its hands. NUMBER may be N+M:
record M after record N of the other side. TLS records are counted where the connection begins with
one, else what one read brings. Then it says "reached" on
standard output, keeps everything, and reads a word: "go" (from then on everything passes), "reset"
(both connections are reset) or "close". Later connections are relayed untouched. `Relay` is the
other end."""

import os
import select
import socket
import struct
import sys

TLS_HEADER = struct.Struct("!BHH")
TLS_HANDSHAKE, TLS_VERSIONS = 22, range(0x0301, 0x0305)


class Side:
    """What comes from one end, cut into records."""

    def __init__(self, link):
        self.link, self.waiting, self.count, self.is_tls = link, b"", 0, None

    def receive(self):
        """The next bytes, or False at the end."""
        try:
            got = self.link.recv(1 << 18)
        except OSError:
            got = b""
        self.waiting += got
        if self.is_tls is None and len(self.waiting) >= TLS_HEADER.size:
            kind, version, _ = TLS_HEADER.unpack_from(self.waiting)
            self.is_tls = kind == TLS_HANDSHAKE and version in TLS_VERSIONS
        return bool(got)

    def record(self):
        """Takes one whole record out, or returns None."""
        if not self.is_tls:
            taken, self.waiting = self.waiting, b""
            return taken or None
        if len(self.waiting) < TLS_HEADER.size:
            return None
        size = TLS_HEADER.size + TLS_HEADER.unpack_from(self.waiting)[2]
        if len(self.waiting) < size:
            return None
        taken, self.waiting = self.waiting[:size], self.waiting[size:]
        return taken


def obey(links, word):
    """Does what is asked for with the record in our hands. Returns whether to go on."""
    if word == "go":
        return True
    for link in links:
        if word == "reset":
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        link.close()
    return False


def relay(caller, called, which=None, number="0"):
    """Ends with the connections. `which` is 0 (the caller) or 1."""
    sides = [Side(caller), Side(called)]
    other_count, _, number = number.rpartition("+")
    due = None if other_count else int(number)
    while True:
        for link in select.select([caller, called], [], [])[0]:
            index = 0 if link is caller else 1
            side, other = sides[index], sides[1 - index]
            more = side.receive()
            while (record := side.record()) is not None:
                side.count += 1
                if index != which and str(side.count) == other_count:
                    due = other.count + int(number)
                if index == which and side.count == due:
                    os.write(1, b"reached\n")
                    if not obey([caller, called], sys.stdin.readline().strip()):
                        return
                other.link.sendall(record)
            if not more:
                if side.waiting:
                    other.link.sendall(side.waiting)
                return


def main():
    port, address, target, side, number = sys.argv[1:]
    listener = socket.create_server(("", int(port)))
    os.write(1, b"listens\n")
    which = ("caller", "called").index(side)
    while True:
        caller, _ = listener.accept()
        try:
            called = socket.create_connection((address, int(target)))
        except ConnectionRefusedError:
            caller.close()
            continue
        for link in caller, called:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            relay(caller, called, which, number)
        except OSError:
            pass                # an end has gone
        which = None
        caller.close()
        called.close()


class Relay:
    """A relay on a host, between who connects to it there and another host."""

    def __init__(self, host, port, address, to_port, side, number):
        self.host, self.port = host, port
        self.socket, theirs = socket.socketpair()
        self.stream = self.socket.makefile("r")
        self.process = host.start(["/usr/bin/python3", os.path.abspath(__file__), port, address,
                                   to_port, side, number], stdin=theirs, stdout=theirs, stderr=2)
        theirs.close()
        assert self.stream.readline() == "listens\n"

    def reached(self, seconds):
        """Waits until the record is there. False when it does not come."""
        self.socket.settimeout(seconds)
        try:
            return self.stream.readline() == "reached\n"
        except TimeoutError:
            return False

    def tell(self, word):
        self.socket.sendall(word.encode() + b"\n")


if __name__ == "__main__":
    main()
