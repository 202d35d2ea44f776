#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Whoever calls a container while it moves is answered once it runs again, and none has to call
twice: neither new connections, nor datagrams, nor echo requests are lost."""

import json
import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../hosts"))
import scenery
import containers
import harness
import hosts
from scenery import same

# Linux sends the first packet of a connection again after a second.
TIMER_MS = 900


class Callers:
    """callers.py on a host."""

    def __init__(self, host, *addresses):
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(hosts.PATIENCE_SECONDS)
        self.stream = self.socket.makefile("r")
        self.process = host.start([hosts.PYTHON, hosts.HERE + "/callers.py", *addresses],
                                  stdin=theirs, stdout=theirs, stderr=2)
        theirs.close()
        same("callers", self.stream.readline(), "up\n")

    def finish(self):
        self.socket.shutdown(socket.SHUT_WR)
        return json.loads(self.stream.readline())


def answering(world, host, mib):
    root = containers.make_rootfs(f"{world.scratch}/answers", [hosts.PYTHON])
    with open(hosts.HERE + "/answers.py") as file, open(root + "/answers.py", "w") as copy:
        copy.write(file.read())
    bundle = f"{world.scratch}/answers.bundle"
    containers.make_bundle(bundle, root, [hosts.PYTHON, "/answers.py", mib], "answers")
    container = containers.Container(host, "answers", bundle).start()
    hosts.wait_for(lambda: host.reaches(container.address4, 7500), "it does not answer")
    return container


def called(callers, container, action):
    """Does something with the container while it is called. Returns what the callers found, and
    what the action returns."""
    calling = Callers(callers, container.address4, container.address6)
    time.sleep(0.05)
    result = action()
    time.sleep(0.3)
    return calling.finish(), result


def judge(what, found, least_ms):
    """Nobody had to call twice. Some did call while it did not answer, which was so long, or
    longer, unless that was a moment."""
    for way, report in found.items():
        frozen = max(least_ms / 2, 1)
        late = sum(took > frozen for took, _ in report["slowest"])
        scenery.note(f"{what}: {way}: {report['count']} answers, {late} of them late, the latest "
                     f"{report['slowest'][0][0]} ms, silence {report['gap_ms']} ms, again "
                     f"{report['again']}, lost {len(report['lost'])} {report['trouble'][:3]}")
        same(f"{what}: {way}: trouble", report["trouble"], [])
        if report["gap_ms"] >= TIMER_MS:
            scenery.note("this machine is too slow to tell who called twice")
            continue
        same(f"{what}: {way}: who called twice", report["again"], 0)
        same(f"{what}: {way}: without an answer", report["lost"], [])
        if report["slowest"][0][0] >= TIMER_MS:
            raise AssertionError(f"{what}: {way}: {report['slowest'][:10]} ms")
        if least_ms > 50 and not late:
            raise AssertionError(f"{what}: {way}: nobody called in the freeze")


def moving(world):
    """Callers of a container that moves are answered without calling again"""
    a, b, callers = world.host("a"), world.host("b"), world.host("callers")
    container = answering(world, a, 64)
    for to, options in ((b, ["--stop-and-copy"]), (a, [])) * (20 if scenery.SOAK else 1):
        found, report = called(callers, container,
                               lambda: scenery.migrate(container, to, options))
        downtime = report["downtime_ns"]["all"] / 1e6
        scenery.note(f"downtime: {downtime:.1f} ms")
        judge(f"to {to.name} {options}", found, downtime)


def staying(world):
    """The same if it stays after all, runs on or is stopped"""
    a, b, callers = world.host("a"), world.host("b"), world.host("callers")
    container = answering(world, a, 16)

    def fails():
        broken = scenery.Migration(container, b, ["--stop-and-copy"],
                                   CRIU_LITE_FAULT="migrate-ready")
        same("exit code", broken.sender.wait() != 0, True)
        broken.receiver.kill()

    def runs_on():
        scenery.checkpoint(container, f"{world.scratch}/image", "--leave-running")

    def stops():
        a.run([harness.CRIU_LITE, "checkpoint", "--container", "runc:answers",
               "-o", f"{world.scratch}/stopped", "--leave-stopped"])
        container.runc("kill", container.identity, "CONT")

    for what in fails, runs_on, stops:
        found, _ = called(callers, container, what)
        judge(what.__name__, found, 0)


def far(world):
    """Those whose connections are just being made, which takes them 40 ms, are not sent away"""
    a, b, callers = world.host("a"), world.host("b"), world.host("far")
    container = answering(world, a, 16)
    ours, theirs = socket.socketpair()
    callers.start([hosts.PYTHON, hosts.HERE + "/far.py", 20, callers.address4 + "/24",
                   callers.address6 + "/64"], stdin=theirs, stdout=theirs, stderr=2)
    theirs.close()
    same("far", ours.recv(10), b"up\n")
    for to in b, a:
        found, report = called(callers, container, lambda: scenery.migrate(container, to))
        judge(f"to {to.name}", found, 0)
    ours.close()


scenery.run(moving, staying, far)
