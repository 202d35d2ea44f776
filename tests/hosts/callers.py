#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""callers.py ADDRESS… : calls a container (answers.py) all the time, by new TCP connections, UDP
datagrams and ICMP echo requests, to each of the addresses. Says "up" once each way had an answer.
Once standard input ends it waits for answers that are still out, and writes one line of JSON:
{way: {"count", "again": connections whose first packet was sent again, "gap_ms": longest time
between two answers, "slowest": [ms, begun] each, "lost": when they were sent, "trouble"}}."""

import errno
import heapq
import json
import os
import selectors
import socket
import struct
import sys
import time

PORT = 7500
EVERY = {"tcp": 0.004, "udp": 0.01, "icmp": 0.01}
PATIENCE_SECONDS = 4
SLOWEST = 200
INFO_SIZE, TOTAL_RETRANS = 104, 100     # of struct tcp_info, and where it has that


class Way:
    """What is asked of one address in one way."""

    def __init__(self, kind, address):
        self.kind, self.address = kind, address
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.due, self.count, self.again, self.last, self.gap = 0.0, 0, 0, 0.0, 0.0
        self.out, self.times, self.trouble = {}, [], []

    def answered(self, key, now):
        begun = self.out.pop(key, None)
        if begun is None:
            return
        self.gap = max(self.gap, now - self.last) if self.count else 0.0
        self.count, self.last = self.count + 1, now
        slow = ((now - begun) * 1000, begun)
        (heapq.heappush if len(self.times) < SLOWEST else heapq.heappushpop)(self.times, slow)

    def report(self):
        return {"count": self.count, "again": self.again, "lost": sorted(self.out.values()),
                "gap_ms": round(self.gap * 1000, 1), "trouble": self.trouble,
                "slowest": sorted(((round(took, 1), begun) for took, begun in self.times),
                                  reverse=True)}


class Callers(Way):
    """Each connection says a word, is told it again, and sees the end."""

    def __init__(self, address, poll):
        super().__init__("tcp", address)
        self.poll = poll

    def ask(self, now):
        caller = socket.socket(self.family, socket.SOCK_STREAM)
        caller.setblocking(False)
        caller.connect_ex((self.address, PORT))
        self.out[caller] = now
        self.poll.register(caller, selectors.EVENT_WRITE, (self, False))

    def ready(self, caller, connected, now):
        try:
            if not connected:
                wrong = caller.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if wrong:
                    raise OSError(wrong, os.strerror(wrong))
                info = caller.getsockopt(socket.SOL_TCP, socket.TCP_INFO, INFO_SIZE)
                self.again += struct.unpack_from("=I", info, TOTAL_RETRANS)[0] > 0
                self.answered(caller, now)
                caller.send(b"hello")
                self.poll.modify(caller, selectors.EVENT_READ, (self, True))
                return
            got = caller.recv(100)
            if got != b"hello":
                self.trouble.append(f"got {got!r}")
        except OSError as wrong:
            self.out.pop(caller, None)
            self.trouble.append(f"{'connected' if connected else 'connecting'}: {wrong}")
        self.poll.unregister(caller)
        caller.close()


class Datagrams(Way):
    """Numbered; each comes back."""

    def __init__(self, kind, address, poll):
        super().__init__(kind, address)
        if kind == "udp":
            self.socket = socket.socket(self.family, socket.SOCK_DGRAM)
            self.socket.connect((address, PORT))
        else:
            protocol = socket.IPPROTO_ICMP if self.family == socket.AF_INET else \
                socket.IPPROTO_ICMPV6
            self.socket = socket.socket(self.family, socket.SOCK_RAW, protocol)
            self.socket.connect((address, 0))
        self.socket.setblocking(False)
        self.next = 0
        poll.register(self.socket, selectors.EVENT_READ, (self, True))

    def ask(self, now):
        self.next += 1
        number = struct.pack("!Q", self.next)
        if self.kind == "udp":
            data = number
        else:
            type_ = 8 if self.family == socket.AF_INET else 128
            data = struct.pack("!BBHHH", type_, 0, 0, os.getpid() & 0xffff,
                               self.next & 0xffff) + number
            words = struct.unpack(f"!{len(data) // 2}H", data)
            total = sum(words)
            total = (total & 0xffff) + (total >> 16)
            total = (total & 0xffff) + (total >> 16)
            data = data[:2] + struct.pack("!H", ~total & 0xffff) + data[4:]
        try:
            self.socket.send(data)
        except OSError as wrong:
            self.trouble.append(str(wrong))
            return
        self.out[self.next] = now

    def ready(self, _, __, now):
        try:
            data = self.socket.recv(2000)
        except OSError as wrong:
            if wrong.errno != errno.EAGAIN:
                self.trouble.append(str(wrong))
            return
        if self.kind == "icmp":
            if self.family == socket.AF_INET:
                data = data[20:]
            if data[0] not in (0, 129) or data[4:6] != struct.pack("!H", os.getpid() & 0xffff):
                return
        self.answered(struct.unpack("!Q", data[-8:])[0], now)


def call(ways, poll):
    said, asks, deadline = False, True, 0.0
    os.set_blocking(0, False)
    for way in ways:
        way.due = time.monotonic()
    while asks or (any(way.out for way in ways) and time.monotonic() < deadline):
        now = time.monotonic()
        for way in ways if asks else []:
            if way.due <= now:
                way.ask(now)
                way.due = max(way.due + EVERY[way.kind], now)
        wait = min(way.due for way in ways) - time.monotonic() if asks else 0.05
        for key, _ in poll.select(max(wait, 0)):
            way, connected = key.data
            way.ready(key.fileobj, connected, time.monotonic())
        if not said and all(way.count for way in ways):
            said = True
            os.write(1, b"up\n")
        if asks:
            try:
                asks = os.read(0, 1) != b""
            except BlockingIOError:
                pass
            deadline = time.monotonic() + PATIENCE_SECONDS


def main():
    poll = selectors.DefaultSelector()
    ways = [way for address in sys.argv[1:] for way in
            (Callers(address, poll), Datagrams("udp", address, poll),
             Datagrams("icmp", address, poll))]
    call(ways, poll)
    found = {f"{way.kind} {way.address}": way.report() for way in ways}
    os.write(1, json.dumps(found).encode() + b"\n")


main()
