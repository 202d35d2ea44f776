# SPDX-License-Identifier: GPL-2.0-or-later
"""redis_driver.py DIRECTORY PORT [OPTION…]: a redis-server, and clients that write to it over TCP
and over a Unix socket."""

import socket
import subprocess
import sys

sys.dont_write_bytecode = True
import inside

KEYS = 100000
KEYS_AT_ONCE = 10000


class Client:
    """Speaks the Redis protocol, with commands in a pipeline."""

    def __init__(self, family, address):
        self.socket = socket.socket(family)
        self.socket.connect(address)
        self.stream = self.socket.makefile("rb")

    def call(self, *commands):
        """Sends all commands (lists of words), then returns the replies."""
        self.socket.sendall(b"".join(self.encode(words) for words in commands))
        return [self.reply() for _ in commands]

    @staticmethod
    def encode(words):
        words = [str(word).encode() for word in words]
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)

    def reply(self):
        line = self.stream.readline()
        kind, text = line[:1], line[1:-2].decode()
        if kind == b"*":
            return [self.reply() for _ in range(int(text))]
        if kind == b"$":
            return self.stream.read(int(text) + 2)[:-2].decode() if int(text) >= 0 else None
        if kind == b":":
            return int(text)
        if kind == b"+":
            return text
        raise AssertionError(f"reply {line!r}")


def value(number):
    return f"value {number * 7919} of key {number}"


def fill(client):
    for first in range(0, KEYS, KEYS_AT_ONCE):
        client.call(*(["SET", f"key:{n}", value(n)] for n in range(first, first + KEYS_AT_ONCE)))


def check_keys(client):
    for first in range(0, KEYS, KEYS_AT_ONCE):
        numbers = range(first, first + KEYS_AT_ONCE)
        got = client.call(["MGET", *(f"key:{n}" for n in numbers)])[0]
        inside.same("keys", got, [value(n) for n in numbers])


def writer(name, client):
    """What this writer has written must be there when it comes to write again."""
    def step(n):
        got = client.call(["INCR", f"{name}:count"], ["GETSET", f"{name}:last", value(n)],
                          ["RPUSH", f"{name}:list", n], ["LTRIM", f"{name}:list", -100, -1])
        inside.same(f"{name} {n}", got,
                    [n, value(n - 1) if n > 1 else None, min(n, 101), "OK"])
    return inside.Load(name, step)


def main():
    directory, port = sys.argv[1], int(sys.argv[2])
    path = directory + "/redis.socket"
    subprocess.Popen(["redis-server", "--dir", directory, "--bind", "127.0.0.1", "--port",
                      str(port), "--unixsocket", path, *sys.argv[3:]])

    def connect(family, address):
        return Client(family, address)

    def answers():
        try:
            return connect(socket.AF_UNIX, path).call(["PING"]) == ["PONG"]
        except OSError:
            return False

    inside.wait_for(answers, "redis-server does not answer")
    asker = connect(socket.AF_UNIX, path)
    fill(asker)
    loads = [writer("unix", connect(socket.AF_UNIX, path)),
             writer("tcp", connect(socket.AF_INET, ("127.0.0.1", port)))]

    def check():
        for load in loads:
            load.moves(100)
        check_keys(asker)
        check_keys(connect(socket.AF_INET, ("127.0.0.1", port)))
        inside.same("DBSIZE", asker.call(["DBSIZE"])[0], KEYS + 3 * len(loads))

    check()
    inside.serve(directory, check)


main()
