#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# test: kinds=mqueue-unopened
"""POSIX message queues of a tree's own IPC namespace are carried, whether or not anybody has them
open."""

import os
import signal
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness
from harness import criu_lite, lines, wait_for

NAMESPACES = 0x20000000 | 0x20000 | 0x8000000
INSIDE = r"""
import ctypes, os, resource, signal, sys
os.setsid()
libc = ctypes.CDLL(None, use_errno=True)
class Attributes(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_long), ("most", ctypes.c_long), ("longest", ctypes.c_long),
                ("waiting", ctypes.c_long), ("reserved", ctypes.c_long * 4)]
def make(name, most, longest):
    wanted = Attributes(most=most, longest=longest)
    queue = libc.mq_open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NONBLOCK, 0o640,
                         ctypes.byref(wanted))
    assert queue >= 0, ctypes.get_errno()
    return queue
def put(queue, text, priority):
    assert libc.mq_send(queue, text, len(text), priority) == 0
def look(queue):
    "Takes all messages, and puts them back."
    attributes = Attributes()
    assert libc.mq_getattr(queue, ctypes.byref(attributes)) == 0
    text, priority, found = ctypes.create_string_buffer(attributes.longest), ctypes.c_uint(), []
    while (size := libc.mq_receive(queue, text, attributes.longest, ctypes.byref(priority))) >= 0:
        found.append((text.raw[:size], priority.value))
    for message in found:
        put(queue, *message)
    owner = os.fstat(queue)
    return (attributes.most, attributes.longest, found, oct(owner.st_mode), owner.st_uid,
            owner.st_gid)
def look_at_all(*ignored):
    found = []
    for name in (b"/loose", b"/empty", b"/open"):
        queue = libc.mq_open(name, os.O_RDWR | os.O_NONBLOCK)
        found.append(look(queue) if queue >= 0 else None)
        os.close(queue) if queue >= 0 else None
    os.write(out, f"{found + [look(gone)]}\n".encode())
def make_large(*ignored):
    try:
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (-1, -1))
    except ValueError:
        return os.write(out, b"may not\n")
    queue = make(b"/large", 2, 8 << 20)
    for text in (b"x", b"y"):
        put(queue, text * (8 << 20), 1)
    os.close(queue)
    os.write(out, b"large\n")

out = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
queue = make(b"/loose", 7, 300)
for text, priority in ((b"first", 3), (b"", 9), (b"urgent", 32767), (b"second", 3),
                       (b"z" * 300, 0), (b"\0\1", 3)):
    put(queue, text, priority)
os.fchown(queue, 33, 34)
os.fchmod(queue, 0o604)
os.close(queue)
os.close(make(b"/empty", 3, 20))
kept = make(b"/open", 2, 50)
put(kept, b"seen", 1)
gone = make(b"/loose-too", 2, 50)
put(gone, b"hidden", 2)
libc.mq_unlink(b"/loose-too")
signal.signal(signal.SIGUSR1, look_at_all)
signal.signal(signal.SIGUSR2, make_large)
look_at_all()
while True:
    signal.pause()
"""


def answer(pid, number):
    """What the program writes when it gets this signal; without one, what it has written first."""
    count = len(lines(out)) if pid else 0
    if pid:
        os.kill(pid, number)
    wait_for(lambda: len(lines(out)) > count)
    return lines(out)[count:]


def look(pid, what):
    now = answer(pid, signal.SIGUSR1)
    check(now == before, what, before, now)


harness.become_subreaper()
check = harness.Checks()
for flags in (NAMESPACES, NAMESPACES | harness.CLONE_NEWUSER):
    with tempfile.TemporaryDirectory() as scratch:
        os.chmod(scratch, 0o755)
        out, image, pidfile = f"{scratch}/out", f"{scratch}/image", f"{scratch}/pid"
        with open(out, "w"):
            os.chmod(out, 0o666)
        mother = harness.start_in_namespaces(flags, INSIDE, out)
        before = answer(0, 0)
        pid = harness.children(mother)[0]
        done = criu_lite("checkpoint", "-t", str(pid), "-o", image, "--leave-running")
        check(done.returncode == 0, "saved while it runs", done.stderr)
        look(pid, "it has its queues still")
        for fault in ("ipc:after", "ipc:after:kill"):
            criu_lite("checkpoint", "-t", str(pid), "-o", image, fault=fault)
            look(pid, f"also after a failure ({fault})")
        for options in ((), ("--pre-copy",), ()):
            done = criu_lite("checkpoint", "-t", str(pid), "-o", image, *options)
            check(done.returncode == 0, " ".join(("saved", *options)), done.stderr)
            harness.reap({})
            done = criu_lite("restore", image, "--detach", "--pidfile", pidfile)
            check(done.returncode == 0, "it comes back", done.stderr)
            pid = int(harness.read_text(pidfile) or 0)
            look(pid, "with its queues")
        check(os.path.realpath(f"/proc/{pid}/ns/ipc") != os.path.realpath("/proc/self/ns/ipc"),
              "which are not ours")
        if not flags & harness.CLONE_NEWUSER:
            made = answer(pid, signal.SIGUSR2) == ["large"]
            done = criu_lite("check", "-t", str(pid))
            check(not made or done.returncode != 0 and "/large" in done.stdout + done.stderr,
                  "too much in one is refused" + ("" if made else " # SKIP no capability"),
                  done.stdout + done.stderr)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
check.plan()
