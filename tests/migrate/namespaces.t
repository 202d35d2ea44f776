#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A tree in namespaces of its own moves, and runs on exactly one side whatever fails."""

import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from worlds import Failed, cells, end_with_parent, harness, run, wait_for

INSIDE = r"""
import os, sys, time
if os.getsid(0) != os.getpid():
    os.setsid()
child = os.fork()
if child == 0:
    while True:
        time.sleep(1000)
out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
number = 0
while True:
    number += 1
    os.write(out, b"%d\n" % number)
    time.sleep(0.002)
"""
POINTS = ["migrate-image", "hold", "pages", "migrate-sealed", "migrate-ready", "migrate-recorded",
          "migrate-bound", "migrate-committed", "migrate-running", "receive-image", "puppets",
          "receive-complete", "receive-ready", "receive-commit", "receive-decide", "decide:after",
          "receive-went", "receive-running"]
KINDS = [":kill", ""] if os.environ.get("SOAK") else [":kill"]


class Container:
    """A counter with its own pid, mount, network, uts, ipc and cgroup namespace."""

    def __init__(self, scratch):
        self.log = os.path.join(scratch, "log")
        self.states = [os.path.join(scratch, name) for name in ("source", "destination")]
        self.cells = set(cells())
        subprocess.Popen(
            ["unshare", "-p", "-f", "--mount-proc", "-u", "-i", "-n", "-C", sys.executable, "-c",
             INSIDE, self.log], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, preexec_fn=end_with_parent)
        wait_for("the counter does not start", lambda: self.lines() > 3)

    def lines(self):
        return len((harness.read_text(self.log) or "").splitlines())

    def roots(self):
        """The first processes of pid namespaces that run the counter."""
        found = []
        for pid in harness.tree(os.getpid())[1:]:
            inner = [line for line in (harness.read_text(f"/proc/{pid}/status") or "").splitlines()
                     if line.startswith("NSpid:")]
            name = harness.read_text(f"/proc/{pid}/comm")
            if inner and inner[0].split()[2:] == ["1"] and name == "python3\n":
                found.append(pid)
        return found

    def records(self):
        return [name for state in self.states if os.path.isdir(state)
                for name in os.listdir(state) if name != "destination"]

    def expect_one(self):
        def alone():
            harness.reap({})
            return len(self.roots()) == 1

        wait_for("it is not in exactly one place", alone)
        before = self.lines()
        wait_for("it does not go on", lambda: self.lines() > before + 3)
        numbers = [int(line) for line in harness.read_text(self.log).splitlines()]
        if numbers != list(range(1, len(numbers) + 1)):
            wrong = next(i for i, number in enumerate(numbers) if number != i + 1)
            raise Failed(f"its numbers have a gap, or come twice: {numbers[wrong - 2:wrong + 3]}")

    def migrate(self, fault=""):
        """Moves it, with a fault on the side that its name says."""
        source, destination = [
            {**os.environ, "CRIU_LITE_FAULT": fault} if fault and here else dict(os.environ)
            for here in (not fault.startswith(("receive", "puppets", "decide")),
                         fault.startswith(("receive", "puppets", "decide")))]
        receive = subprocess.Popen(
            [harness.CRIU_LITE, "receive", "--listen", "127.0.0.1:0", "--state-dir",
             self.states[1]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env=destination)
        where = receive.stdout.readline().split()[-1]
        done = subprocess.run(
            [harness.CRIU_LITE, "migrate", "-t", str(self.roots()[0]), where, "--state-dir",
             self.states[0]], stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
            env=source, check=False)
        try:
            wait_for("", lambda: not any(name.endswith("lock") for name in self.records()),
                     0.3 if fault else 20)
        except Failed:
            pass
        receive.terminate()
        receive.wait()
        receive.stdout.close()
        return done.returncode, done.stderr.decode()

    def resolve(self):
        """What a person does then."""
        for name in self.records():
            identity, side = name.split(".")[:2]
            if name.endswith("source.json"):
                receive = subprocess.Popen(
                    [harness.CRIU_LITE, "receive", "--listen", "127.0.0.1:0", "--state-dir",
                     self.states[1]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
                where = receive.stdout.readline().split()[-1]
                subprocess.run([harness.CRIU_LITE, "migrate", "--resolve", identity, where,
                                "--state-dir", self.states[0]], check=False, timeout=60,
                               stdin=subprocess.DEVNULL, capture_output=True)
                receive.terminate()
                receive.wait()
                receive.stdout.close()
            elif side == "destination":
                subprocess.run([harness.CRIU_LITE, "receive", "--resolve", identity,
                                "--state-dir", self.states[1]], check=False, timeout=60,
                               stdin=subprocess.DEVNULL, capture_output=True)


def moves():
    """A tree in namespaces of its own moves, three times."""
    with tempfile.TemporaryDirectory() as scratch:
        container = Container(scratch)
        for _ in range(3):
            status, words = container.migrate()
            if status:
                raise Failed(words)
            container.expect_one()
        if container.records():
            raise Failed(f"records stay: {container.records()}")
        harness.kill_descendants()


def faults():
    """Whatever fails, it runs on exactly one side."""
    with tempfile.TemporaryDirectory() as scratch:
        container = Container(scratch)
        for point in POINTS:
            for kind in KINDS:
                _, words = container.migrate(point + kind)
                try:
                    container.resolve()
                    container.expect_one()
                except Failed as why:
                    raise Failed(f"{point}{kind}: {why}: {container.records()}: {words}") from None
                for name in container.records():
                    os.unlink(os.path.join(container.states["destination" in name], name))
        try:
            wait_for("", lambda: set(cells()) <= container.cells)
        except Failed:
            raise Failed(f"cgroups stay: {set(cells()) - container.cells}") from None
        harness.kill_descendants()


harness.become_subreaper()
sys.exit(run([moves, faults]))
