#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients that check every answer and know the longest time that they had to wait for one.

    clients.py counter ADDRESS PORT [CONNECTIONS]   redis: INCR on each connection, without pause
    clients.py load ADDRESS PORT RATE MIB           redis: writes RATE keys/s all over MIB of data
    clients.py fill ADDRESS PORT MIB                redis: writes that data
    clients.py pages ADDRESS PORT PATH SHA256       HTTP: the page again and again on one connection
    clients.py download ADDRESS PORT PATH SHA256 KIB   HTTP: one download at KIB per second

A client that is up writes a line of JSON to standard output, then one for each line that it reads
from standard input, and a last one when standard input ends: {count, gap_ms, trouble, …}. gap_ms
is the longest time between two replies; trouble is null, or what was wrong. `Client` is the other
end."""

import hashlib
import json
import os
import select
import socket
import sys
import threading
import time

VALUE_SIZE = 1024
KEYS_PER_MIB = 1024
AT_ONCE = 512
PATIENCE_SECONDS = 60


class Wrong(Exception):
    """An answer is not the right one."""


class Redis:
    """A connection that speaks the Redis protocol."""

    def __init__(self, address, port):
        self.socket = socket.create_connection((address, port), timeout=PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.socket.makefile("rb")

    @staticmethod
    def encode(*words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)

    def send(self, *commands):
        self.socket.sendall(b"".join(self.encode(*words) for words in commands))

    def reply(self):
        line = self.stream.readline()
        kind, text = line[:1], line[1:-2]
        if not line.endswith(b"\r\n"):
            raise Wrong(f"the connection ended: {line!r}")
        if kind == b"*":
            return [self.reply() for _ in range(int(text))]
        if kind == b"$":
            return self.stream.read(int(text) + 2)[:-2] if int(text) >= 0 else None
        if kind == b":":
            return int(text)
        if kind == b"+":
            return text
        raise Wrong(f"reply {line!r}")

    def call(self, *words):
        self.send(words)
        return self.reply()


class Report:
    """What a client knows, and the conversation about it."""

    def __init__(self):
        self.count, self.gap, self.when, self.trouble = 0, 0.0, 0.0, None
        self.last = time.monotonic()
        self.asked, self.finished = 0, threading.Event()
        self.more = {}

    def replied(self, count=1):
        now = time.monotonic()
        if now - self.last > self.gap:
            self.gap, self.when = now - self.last, now
        self.last = now
        self.count += count

    def line(self):
        waiting = 0 if self.finished.is_set() else time.monotonic() - self.last
        text = json.dumps({"count": self.count, "gap_ms": round(max(self.gap, waiting) * 1000, 1),
                           "gap_ended": self.when, "trouble": self.trouble, **self.more})
        os.write(1, text.encode() + b"\n")

    def converse(self, work):
        """Runs work(report) in a thread; it looks at report.finished. A question may also be "again":
        the longest time is forgotten."""
        def run():
            try:
                work(self)
            except BaseException as trouble:
                self.trouble = f"{type(trouble).__name__}: {trouble}"
                self.finished.set()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        while not self.count and not self.trouble:
            time.sleep(0.001)
        self.line()
        for question in sys.stdin:
            if question == "again\n":
                self.gap = 0.0
            self.line()
        self.finished.set()
        thread.join(PATIENCE_SECONDS)
        if thread.is_alive():
            self.trouble = self.trouble or "no reply"
        self.line()


def counter(report, address, port, connections=1):
    """Each connection has its own key, and counts it up."""
    everyone = [Redis(address, int(port)) for _ in range(int(connections))]
    name = f"counter:{os.getpid()}:{time.time()}"
    counts = dict.fromkeys(everyone, 0)
    poll = select.epoll()
    by_number = {client.socket.fileno(): client for client in everyone}
    for number, client in enumerate(everyone):
        client.name = f"{name}:{number}"
        poll.register(client.socket.fileno(), select.EPOLLIN)
        client.send(["INCR", client.name])
    report.last = time.monotonic()
    while not report.finished.is_set():
        ready = poll.poll(PATIENCE_SECONDS)
        if not ready:
            raise Wrong(f"no reply within {PATIENCE_SECONDS} s")
        for number, _ in ready:
            client = by_number[number]
            got, counts[client] = client.reply(), counts[client] + 1
            if got != counts[client]:
                raise Wrong(f"INCR: {got!r} instead of {counts[client]}")
            report.replied()
            client.send(["INCR", client.name])
    report.more["connections"] = len(everyone)


def value(key, generation):
    """Text that can be made again."""
    seed = hashlib.sha256(b"%d %d" % (key, generation)).hexdigest()
    return (seed * (VALUE_SIZE // len(seed))).encode()


def fill(report, address, port, mib):
    client = Redis(address, int(port))
    keys = int(mib) * KEYS_PER_MIB
    for first in range(0, keys, AT_ONCE):
        client.send(*(("SET", f"key:{key}", value(key, 0)) for key in range(first, first + AT_ONCE)))
        for _ in range(AT_ONCE):
            if client.reply() != b"OK":
                raise Wrong("SET")
        report.replied(AT_ONCE)


def read_back(client, keys, generations):
    """Every key must have the value that was written last."""
    for first in range(0, keys, AT_ONCE):
        numbers = range(first, first + AT_ONCE)
        got = client.call("MGET", *(f"key:{key}" for key in numbers))
        for key, text in zip(numbers, got):
            if text != value(key, generations.get(key, 0)):
                raise Wrong(f"key:{key} is not as it was written last")


def load(report, address, port, rate, mib):
    """In the end all of the data is read and compared."""
    client = Redis(address, int(port))
    keys, rate = int(mib) * KEYS_PER_MIB, int(rate)
    generations, due, batch = {}, time.monotonic(), max(rate // 200, 1)
    key = 1
    report.last = time.monotonic()
    while not report.finished.is_set():
        due += batch / rate
        time.sleep(max(due - time.monotonic(), 0))
        commands = []
        for _ in range(batch):
            key = (key * 1103515245 + 12345) % (1 << 31)
            number = (key >> 8) % keys
            generations[number] = generations.get(number, 0) + 1
            commands.append(("SET", f"key:{number}", value(number, generations[number])))
        client.send(*commands)
        for _ in commands:
            if client.reply() != b"OK":
                raise Wrong("SET")
        report.replied(batch)
    read_back(client, keys, generations)
    report.more["read_back"] = keys


class Http:
    """One connection that is kept."""

    def __init__(self, address, port):
        self.address = address
        self.socket = socket.create_connection((address, port), timeout=PATIENCE_SECONDS)
        self.stream = self.socket.makefile("rb", buffering=65536)

    def get(self, path):
        """Sends a request. Returns the length of the body, which is still to be read."""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        status, length = self.stream.readline(), None
        while True:
            line = self.stream.readline()
            if line == b"\r\n":
                break
            if not line:
                raise Wrong("the connection ended")
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        if b" 200 " not in status or length is None:
            raise Wrong(f"{path}: {status!r}")
        return length

    def body(self, length):
        data = self.stream.read(length)
        if len(data) != length:
            raise Wrong(f"the body ended after {len(data)} of {length} bytes")
        return data


def pages(report, address, port, path, sha256):
    client = Http(address, int(port))
    report.last = time.monotonic()
    while not report.finished.is_set():
        if hashlib.sha256(client.body(client.get(path))).hexdigest() != sha256:
            raise Wrong(f"{path}: wrong content")
        report.replied()


def download(report, address, port, path, sha256, kib):
    """Reads slowly until it is to finish, then the rest as fast as it comes."""
    client = Http(address, int(port))
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    left = client.get(path)
    sum_, due = hashlib.sha256(), time.monotonic()
    report.last = due
    while left:
        data = client.body(min(left, 16384))
        sum_.update(data)
        left -= len(data)
        report.more["left"] = left
        report.replied(len(data))
        due += len(data) / (int(kib) * 1024)
        if not report.finished.is_set():
            report.finished.wait(max(due - time.monotonic(), 0))
    if sum_.hexdigest() != sha256:
        raise Wrong(f"{path}: wrong content")
    report.more["complete"] = True


class Client:
    """One of the above, running on a host."""

    def __init__(self, host, *words):
        ours, theirs = socket.socketpair()
        self.socket, self.stream = ours, ours.makefile("r")
        ours.settimeout(2 * PATIENCE_SECONDS)
        self.words = words
        self.process = host.start(["/usr/bin/python3", os.path.abspath(__file__), *words],
                                  stdin=theirs, stdout=theirs, stderr=2)
        theirs.close()
        self.listen()

    def listen(self):
        line = self.stream.readline()
        if not line:
            raise Wrong(f"client {self.words} has died")
        answer = json.loads(line)
        if answer["trouble"]:
            raise Wrong(f"client {self.words}: {answer}")
        return answer

    def ask(self, question="ask"):
        """What it knows now. "again" lets it forget the longest time."""
        self.socket.sendall(question.encode() + b"\n")
        return self.listen()

    def moves(self, count=100):
        """Waits until it has had more replies."""
        goal = self.ask()["count"] + count
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.ask()["count"] < goal:
            if time.monotonic() > deadline:
                raise Wrong(f"client {self.words} has no replies any more")
            time.sleep(0.01)

    def finish(self):
        """Its last word, after it has checked everything. Raises Wrong when something was."""
        self.socket.shutdown(socket.SHUT_WR)
        answer = self.listen()
        self.process.wait()
        return answer


def main():
    work = {"counter": counter, "load": load, "fill": fill, "pages": pages, "download": download}
    if len(sys.argv) < 4 or sys.argv[1] not in work:
        sys.exit(__doc__)
    try:
        Report().converse(lambda report: work[sys.argv[1]](report, *sys.argv[2:]))
    except BrokenPipeError:
        pass                    # nobody wants to know any more


if __name__ == "__main__":
    main()
