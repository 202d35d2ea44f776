#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever comes to its port, a receiver says nothing to strangers, lives on, and still serves."""

import contextlib
import os
import random
import socket
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from worlds import Failed, Receiver, Scene, harness, migrate, run

NOBODY = 65534
TRIES = 2000 if os.environ.get("SOAK") else 150


def connect(where):
    host, port = where.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=10)


def answer_to(where, data):
    """What comes back for these bytes."""
    with connect(where) as peer:
        answer = b""
        try:
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            while True:
                more = peer.recv(65536)
                if not more:
                    return answer
                answer += more
        except TimeoutError:
            raise
        except OSError:     # it has been reset, at any of these
            return answer


def as_nobody(work):
    """Starts a process of another user; its exit status is what the work returns."""
    child = os.fork()
    if child:
        return child
    try:
        os.setresuid(NOBODY, NOBODY, NOBODY)
        os._exit(work())
    except BaseException as trouble:
        print(f"# {trouble!r}", file=sys.stderr, flush=True)
    finally:
        os._exit(99)


def record_words(world, pid):
    """The first words of a source to a listener that says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        heard = []

        def hear():
            peer, _ = listener.accept()
            with peer:
                heard.append(peer.recv(65536))

        thread = threading.Thread(target=hear)
        thread.start()
        migrate(world, "-t", pid, f"127.0.0.1:{listener.getsockname()[1]}", expect=6)
        thread.join()
    return heard[0]


def random_bytes():
    """Random bytes, and words that are almost right, get no answer."""
    with Scene() as scene:
        here, there = scene.worlds
        hello = record_words(here, scene.counter.pid)
        scene.expect_at(here)
        with Receiver(there, "--timeout", "3", "--connections", "4") as listens:
            if len(answer_to(listens.where, hello)) < 32:
                raise Failed("the right words get no answer")
            for _ in range(TRIES):
                data = bytearray(random.choice([hello, os.urandom(random.randrange(1, 5000)),
                                                hello[:random.randrange(len(hello))]]))
                if data == hello:
                    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
                answer = answer_to(listens.where, bytes(data))
                if answer:
                    raise Failed(f"it answers {answer!r} to {bytes(data)!r}")
            # More than it serves at a time wait; those who say nothing are sent away.
            silent = [connect(listens.where) for _ in range(6)]
            migrate(here, "-t", scene.counter.pid, listens.where)
            for peer in silent:
                if peer.recv(100):
                    raise Failed("it speaks first")
                peer.close()
            scene.expect_at(there)
        scene.expect_clean()


def out_of_phase():
    """The right words in the wrong order, or twice, end the connection, and only that."""
    with Scene() as scene:
        here, there = scene.worlds
        hello = record_words(here, scene.counter.pid)
        with Receiver(there) as listens:
            for data in (hello + hello, hello + os.urandom(100), hello + b"\0" * 32):
                answer_to(listens.where, data)
            migrate(here, "-t", scene.counter.pid, listens.where)
            scene.expect_at(there)
        scene.expect_clean()


def other_users():
    """Another user of the machine gets no answer, and no tree is sent to one."""
    with Scene() as scene:
        here, there = scene.worlds
        hello = record_words(here, scene.counter.pid)
        with Receiver(there) as listens:
            def says_and_goes():
                with connect(listens.where) as peer, contextlib.suppress(ConnectionError):
                    peer.sendall(hello)
                return 0

            for work in (lambda: len(answer_to(listens.where, hello)) != 0, says_and_goes):
                if os.waitpid(as_nobody(work), 0)[1]:
                    raise Failed("it answers another user")
            if len(answer_to(listens.where, hello)) < 32:
                raise Failed("root gets no answer")
            welcome = answer_to(listens.where, hello)
        os.seteuid(NOBODY)
        listener = socket.create_server(("127.0.0.1", 0))
        os.seteuid(0)
        with listener:
            def listen():
                peer, _ = listener.accept()
                heard = peer.recv(65536)
                with contextlib.suppress(ConnectionError):
                    peer.sendall(welcome)
                    while more := peer.recv(65536):
                        heard += more
                return len(heard) > len(hello) + 1024

            child = as_nobody(listen)
            said = migrate(here, "-t", scene.counter.pid,
                           f"127.0.0.1:{listener.getsockname()[1]}", expect=6)
            if os.waitpid(child, 0)[1]:
                raise Failed(f"another user is told of the tree: {said}")
        scene.expect_at(here)
        scene.expect_clean()


def behind_tls():
    """Behind TLS not a byte of ours is said to strangers."""
    with Scene() as scene:
        here, there = scene.worlds
        key = os.path.join(scene.scratch, "key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(os.urandom(32).hex())
        hello = record_words(here, scene.counter.pid)
        with Receiver(there, "--psk-file", key, "--timeout", "3") as listens:
            for data in [hello] + [os.urandom(random.randrange(1, 500)) for _ in range(20)]:
                # An alert of TLS is all that may come.
                answer = answer_to(listens.where, data)
                if answer and not (answer[0] == 21 and len(answer) <= 7):
                    raise Failed(f"it answers {answer!r}")
            subprocess.run(["openssl", "s_client", "-connect", listens.where], check=False,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, timeout=20)
            migrate(here, "-t", scene.counter.pid, listens.where, "--psk-file", key)
            scene.expect_at(there)
        scene.expect_clean()


sys.exit(run([random_bytes, out_of_phase, other_users, behind_tls]))
