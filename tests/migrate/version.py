# SPDX-License-Identifier: GPL-2.0-or-later
"""version.py (source | destination): a peer that speaks another version of the protocol, on
127.0.0.1. Prints what is said to that."""

import os
import socket
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "../hosts"),
                os.path.join(HERE, "../faults")]
import forge

PORT = 7400
HELLO, WELCOME, ABORT = 0x300, 0x301, 0x30a
VERSION = 2
SECONDS = 20


def message(kind, fields):
    """The first message of a side."""
    payload = forge.build_message(fields)
    tail = forge.HEADER_FIELDS.pack(forge.digest(payload), 0, kind, 0, forge.CRITICAL,
                                    len(payload), len(payload))
    return forge.digest(tail).to_bytes(8, "little") + tail + payload


def hear(stream):
    """Kind and fields of the next message."""
    header = stream.read(forge.HEADER)
    _, _, kind, _, _, size, _ = forge.HEADER_FIELDS.unpack(header[8:])
    return kind, {number: value for number, _, value in forge.parse_message(stream.read(size))}


def hear_refusal(stream):
    kind, fields = hear(stream)
    if kind != ABORT:
        sys.exit(f"it says {kind:#x}")
    print(fields[2].decode(), flush=True)


def destination():
    with socket.create_server(("127.0.0.1", PORT)) as listener:
        print("listening", flush=True)
        peer, _ = listener.accept()
        with peer, peer.makefile("rb") as stream:
            if hear(stream)[0] != HELLO:
                sys.exit("no HELLO")
            peer.sendall(message(WELCOME, [[1, 0, VERSION], [2, 2, os.urandom(16)]]))
            hear_refusal(stream)


def source():
    print("connecting", flush=True)
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            peer = socket.create_connection(("127.0.0.1", PORT), SECONDS)
            break
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    with peer, peer.makefile("rb") as stream:
        peer.sendall(message(HELLO, [[1, 0, VERSION], [2, 2, os.urandom(16)], [3, 0, 0]]))
        hear_refusal(stream)


{"source": source, "destination": destination}[sys.argv[1]]()
