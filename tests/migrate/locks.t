#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Locks on files that both hosts see, which the tree that a container comes from holds until it is
decided who runs it."""

import fcntl
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../hosts"))
import scenery
import containers
import hosts
from scenery import same

# Two processes with threads hold locks of all sorts. They look again and again whether somebody
# else can have one of theirs, and write down how often they have looked, or what is wrong.
HOLDER = '''
import fcntl, os, struct, threading, time
F_OFD_SETLK, F_OFD_GETLK = 37, 36
def range_(kind, start, size):
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, start, size, 0)
def wrong(name, text):
    with open(f"/data/wrong.{name}", "a") as file:
        file.write(text + chr(10))
def work(name):
    f, o, p = (open(f"/data/{kind}.{name}", "w+") for kind in ("flock", "ofd", "posix"))
    fcntl.flock(f, fcntl.LOCK_EX)
    fcntl.fcntl(o, F_OFD_SETLK, range_(fcntl.F_WRLCK, 10, 20))
    fcntl.lockf(p, fcntl.LOCK_EX, 30, 5)
    fcntl.lockf(p, fcntl.LOCK_SH, 0, 100)
    shared = open("/data/shared")
    fcntl.flock(shared, fcntl.LOCK_SH)
    others = [open(f"/data/{kind}.{name}", "r+") for kind in ("flock", "ofd")]
    parent, count = os.getpid(), 0
    if os.fork() == 0:
        for handle in f, o, p, shared: os.close(handle.fileno())
        mine = open(f"/data/posix.{name}", "r+")
        while True:
            try:
                fcntl.flock(others[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
                wrong(name, "flock is free")
            except BlockingIOError: pass
            try:
                fcntl.fcntl(others[1], F_OFD_SETLK, range_(fcntl.F_WRLCK, 29, 1))
                wrong(name, "ofd is free")
            except BlockingIOError: pass
            got = fcntl.fcntl(mine, fcntl.F_GETLK, range_(fcntl.F_WRLCK, 30, 1))
            kind, _, start, size, pid = struct.unpack("hhqqi4x", got)
            if (kind, start, size, pid) != (fcntl.F_RDLCK, 5, 30, parent) and \\
                    (kind, start, size, pid) != (fcntl.F_WRLCK, 5, 30, parent):
                wrong(name, f"posix is {(kind, start, size, pid)}")
            count += 1
            with open(f"/data/count.{name}.new", "w") as file: file.write(str(count))
            os.rename(f"/data/count.{name}.new", f"/data/count.{name}")
    threading.Thread(target=time.sleep, args=(10000,)).start()
    while True:
        time.sleep(0.001)
open("/data/shared", "w").close()
if os.fork(): work("one")
work("two")
'''


def count(root, name):
    try:
        with open(f"{root}/data/count.{name}") as file:
            return int(file.read())
    except FileNotFoundError:
        return 0


def free(path, take):
    """Whether we could have a lock."""
    with open(path, "r+") as file:
        try:
            take(file)
        except BlockingIOError:
            return False
    return True


def check(root):
    """Who holds the locks looks on, and finds them held; and so do we."""
    for name in "one", "two":
        before = count(root, name)
        hosts.wait_for(lambda: count(root, name) > before + 3, f"{name} does not go on", 10)
        wrong = f"{root}/data/wrong.{name}"
        same("what is wrong", os.path.exists(wrong) and open(wrong).read(), False)
        for kind, take in (
                ("flock", lambda file: fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)),
                ("ofd", lambda file: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 10)),
                ("posix", lambda file: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 34))):
            same(f"{kind} of {name} is free", free(f"{root}/data/{kind}.{name}", take), False)
        same("outside of the range", free(f"{root}/data/ofd.{name}", lambda file: fcntl.lockf(
            file, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 0)), True)
    same("a lock that is shared is free", free(f"{root}/data/shared", lambda file: fcntl.flock(
        file, fcntl.LOCK_EX | fcntl.LOCK_NB)), False)


def all_sorts(world):
    """Locks of all sorts on a shared root file system are held again before the container runs."""
    a, b = world.host("a"), world.host("b")
    root = containers.make_rootfs(f"{world.scratch}/holder", [hosts.PYTHON])
    with open(root + "/holder.py", "w") as file:
        file.write(HOLDER)
    bundle = f"{world.scratch}/holder.bundle"
    containers.make_bundle(bundle, root, [hosts.PYTHON, "/holder.py"], "holder")
    container = containers.Container(a, "holder", bundle).start()
    hosts.wait_for(lambda: count(root, "one") and count(root, "two"), "it does nothing", 10)
    check(root)
    for to in [b, a] * (20 if scenery.SOAK else 2):
        report = scenery.migrate(container, to)
        check(root)
        scenery.note(f"downtime: {report['downtime_ns']['all'] / 1e6:.1f} ms")


scenery.run(all_sorts)
