# SPDX-License-Identifier: GPL-2.0-or-later
"""python_threads_driver.py DIRECTORY: threads that compute, pass queues on, sleep, and share a
database."""

import hashlib
import queue
import sqlite3
import sys
import threading
import time
import zlib

sys.dont_write_bytecode = True
import inside

RELAYS = 20
ROWS = 500
BLOCK = bytes(range(256)) * 4096


def computing(name):
    """Computes the same again and again, without the interpreter's lock for most of the time."""
    digest = hashlib.sha256(BLOCK).digest()

    def step(n):
        inside.same("hash", hashlib.sha256(BLOCK).digest(), digest)
        inside.same("unpacked", zlib.decompress(zlib.compress(BLOCK, 1)), BLOCK)
    return inside.Load(name, step)


def relays():
    """Numbers go through a row of threads, each with a queue, and come out in order."""
    queues = [queue.Queue(8) for _ in range(RELAYS + 1)]

    def relay(n, source, sink):
        sink.put(source.get() + 1)

    def feed(n):
        queues[0].put(n)
    loads = [inside.Load("feeder", feed)]
    for i in range(RELAYS):
        loads.append(inside.Load(f"relay {i}", lambda n, i=i: relay(n, queues[i], queues[i + 1])))
    loads.append(inside.Load("taker",
                             lambda n: inside.same("relayed", queues[-1].get(), n + RELAYS)))
    return loads


def database(path):
    """One thread writes, another reads a sum that fits at any time."""
    first = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    first.execute("pragma journal_mode = wal")
    first.execute("pragma synchronous = off")
    first.execute("create table log (number integer primary key, next integer)")

    def write(n):
        first.execute("begin immediate")
        first.execute("insert into log values (?, ?)", (n, n + 1))
        first.execute("delete from log where number <= ?", (n - ROWS,))
        first.execute("commit")

    second = sqlite3.connect(path, check_same_thread=False)

    def read(n):
        rows = second.execute("select number, next from log order by number").fetchall()
        last = rows[-1][0] if rows else 0
        inside.same("rows", rows, [(m, m + 1) for m in range(max(1, last - ROWS + 1), last + 1)])
        time.sleep(0.001)
    return [inside.Load("database writer", write), inside.Load("database reader", read)]


def waiting():
    """A condition with a timeout, an event, a lock that changes hands."""
    condition, tokens = threading.Condition(), [0]

    def give(n):
        with condition:
            tokens[0] += 1
            condition.notify()
        time.sleep(0.002)

    def take(n):
        with condition:
            if not condition.wait_for(lambda: tokens[0], timeout=10):
                raise AssertionError("no token within ten seconds")
            tokens[0] -= 1
    return [inside.Load("giver", give), inside.Load("taker of tokens", take)]


def main():
    directory = sys.argv[1]
    loads = [computing("hashes 1"), computing("hashes 2"), *relays(),
             *database(directory + "/database"), *waiting()]
    local = threading.local()
    local.value = "of the main thread"

    def check():
        for load in loads:
            load.moves()
        inside.same("a thread's own", local.value, "of the main thread")
        late = threading.Thread(target=lambda: None)
        late.start()
        late.join()
        inside.same("integrity", sqlite3.connect(directory + "/database").execute(
            "pragma integrity_check").fetchall(), [("ok",)])

    check()
    inside.serve(directory, check)


main()
