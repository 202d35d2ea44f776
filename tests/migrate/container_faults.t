#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever fails at whatever point while a container moves: it runs on exactly one side, not even
for a moment on both, and the other side has no trace of it."""

import contextlib
import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../hosts"))
import scenery
import containers
import hosts
from scenery import harness

STATE = "/var/lib/criu-lite/migrations"
SOURCE = ["migrate-image", "hold", "seal", "migrate-sealed", "migrate-ready", "migrate-recorded",
          "migrate-bound", "migrate-committed", "migrate-running", "release", "silenced"]
DESTINATION = ["receive-verdict", "receive-image", "first", "puppets", "finish", "cell",
               "receive-complete", "receive-ready", "receive-commit", "receive-decide",
               "decide:after", "receive-went", "receive-running", "late"]
STEPS = {"hold", "seal", "release", "first", "puppets", "finish", "cell", "decide:after", "late"}
USUAL = [("source", "migrate-ready:kill"), ("source", "migrate-bound:kill"),
         ("source", "migrate-committed:reset"), ("source", "migrate-running:kill"),
         ("source", "release:kill"), ("source", "release"),
         ("source", "silenced:kill"), ("source", "silenced:stop"), ("destination", "puppets"),
         ("destination", "cell:kill"),
         ("destination", "receive-ready"), ("destination", "receive-ready:kill"),
         ("destination", "receive-decide:kill"), ("destination", "receive-decide:stop"),
         ("destination", "receive-went:stop"), ("destination", "decide:after:kill"),
         ("destination", "receive-went:cut")]
# It forks without pause, and says where it is; numbers that come twice were two of it.
PROGRAM = """n=0; sleep 1000 & sleep 1000 | sleep 1000 &
while :; do n=$((n+1)); echo $n $(cat /tmp/word) >>/data/log; done"""


def kinds_of(side, point):
    """":stop" is for both programs of a side, which end there at once."""
    if point == "silenced":
        return ":kill", ":stop"
    if point in STEPS:
        return ":kill", ""
    return ":kill", ":reset", ":cut", "", *([":stop"] if side == "destination" else [])


def all_faults():
    found = [(side, point + kind) for side, points in (("source", SOURCE), ("destination", DESTINATION))
             for point in points
             for kind in kinds_of(side, point)]
    random.shuffle(found)
    return found


class Scene:
    def __init__(self, world):
        self.world = world
        self.hosts = [world.host("a"), world.host("b")]
        root = containers.make_rootfs(world.scratch + "/rootfs")
        self.log = root + "/data/log"

        def change(config):
            config["process"]["args"] = ["sh", "-c", "echo word >/tmp/word; " + PROGRAM]
            config["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"})

        containers.make_bundle(world.scratch + "/bundle", root, ["sh"], "faulty", change)
        self.container = containers.Container(self.hosts[0], "faulty", world.scratch + "/bundle")
        self.container.start()
        self.checked = 0

    def records(self, host, kind):
        try:
            names = os.listdir(host.path(STATE))
        except FileNotFoundError:
            return []
        return [name.split(".")[0] for name in names if name.endswith(kind)]

    def lines(self):
        """All that were written since the last time, which follow one another."""
        with open(self.log) as file:
            text = file.read()
        for line in text.split("\n")[self.checked:-1]:
            scenery.same("line of the log", line, f"{self.checked + 1} word")
            self.checked += 1
        return self.checked

    @staticmethod
    def end_program(host, program):
        """All of it at once, where one of its processes has stopped."""
        def ours():
            every = {pid: harness.read_text(f"/proc/{pid}/status") or "" for pid in host.processes()}
            return {pid: text for pid, text in every.items()
                    if text.startswith("Name:\tcriu-lite\n")}
        hosts.wait_for(lambda: program.poll() is not None or
                       [text for text in ours().values() if "State:\tT (stopped)" in text],
                       "the fault does not happen", 10)
        for pid in ours():
            with contextlib.suppress(ProcessLookupError):   # some go with others
                os.kill(pid, signal.SIGKILL)
        program.wait()

    def migrate(self, side, fault):
        """With a fault on one side. Returns what both have said."""
        source = self.container.host
        destination = self.hosts[self.hosts[0] is source]
        starts = {host: host.start for host in self.hosts}
        at = source if side == "source" else destination
        at.start = lambda *words, **how: starts[at](*words, CRIU_LITE_FAULT=fault, **how)
        try:
            migration = scenery.Migration(self.container, destination, ["--timeout", "2"],
                                          ["--timeout", "2"])
        finally:
            del at.start
        if fault.endswith(":stop"):
            self.end_program(at, migration.sender if side == "source" else migration.receiver)
        migration.sender.wait()
        migration.receiver_code()
        for identity in self.records(source, ".source.json"):
            receiver = destination.start(
                [harness.CRIU_LITE, "receive", "--listen", f"{destination.address4}:7401",
                 "--psk-file", migration.key])
            hosts.wait_for(lambda: source.reaches(destination.address4, 7401), "no receiver", 20)
            source.run([harness.CRIU_LITE, "migrate", "--resolve", identity,
                        f"{destination.address4}:7401", "--psk-file", migration.key])
            receiver.kill()
            receiver.wait()
        for identity in self.records(destination, ".destination.json"):
            destination.run([harness.CRIU_LITE, "receive", "--resolve", identity])
            for name in os.listdir(destination.path(STATE)):
                if name.startswith(identity):
                    os.unlink(destination.path(f"{STATE}/{name}"))
        return f"{migration.text(1)[-600:]}{migration.text(2)}{migration.text(0)}"

    def left(self, host):
        """What a host should not have that the container is not on."""
        return self.container.traces(host) + self.records(host, ".json") + [
            harness.read_text(f"/proc/{pid}/cmdline") for pid in host.processes()]

    def details(self, host):
        """For people: what keeps its processes."""
        groups = [f"{cgroup['mount']}/{self.container.identity}" for cgroup in host.cgroups]
        return [[harness.read_text(f"/proc/{pid}/{file}") for file in ("stat", "wchan", "stack")]
                for pid in host.processes()], [
                    text for group in groups for file in ("freezer.state", "cgroup.events")
                    if (text := harness.read_text(host.path(f"{group}/{file}")))]

    def check(self):
        def runs_in():
            return [host for host in self.hosts if self.container.identity in
                    host.run(["runc", "list", "--quiet"]).split()]
        hosts.wait_for(lambda: len(runs_in()) == 1,
                       lambda: f"it is on {[host.name for host in runs_in()]}", 20)
        self.container.host = home = runs_in()[0]
        before = self.lines()
        hosts.wait_for(lambda: self.lines() > before + 10,
                       lambda: f"it does not run: {self.details(home)}", 20)
        scenery.same("status", self.container.status(), "running")
        other = self.hosts[self.hosts[0] is home]
        hosts.wait_for(lambda: not self.left(other),
                       lambda: f"left on {other.name}: {self.left(other)}", 20)
        hosts.wait_for(lambda: not [pid for pid in home.processes() if "criu-lite" in
                                    (harness.read_text(f"/proc/{pid}/cmdline") or "")],
                       "criu-lite is left where it runs", 20)
        scenery.same("locks", home.run(["nsenter", "-t", str(self.container.state()["pid"]), "-n",
                                        "nft", "list", "ruleset"]), "")


def faults(world):
    """Both sides fail at many points while a container moves"""
    scene = Scene(world)
    only = os.environ.get("FAULTS", "").split()  # SIDE/FAULT …
    chosen = [word.split("/") for word in only] or (all_faults() if scenery.SOAK else USUAL)
    for side, fault in chosen:
        hosts.wait_for(lambda: os.path.exists(scene.log) and scene.lines() > 3, "it does not start")
        began = time.monotonic()
        said = scene.migrate(side, fault)
        try:
            scene.check()
        except AssertionError as why:
            raise AssertionError(f"{side}, {fault}: {why}\n{said}") from None
        if scenery.SOAK:
            scenery.note(f"{side} {fault}: {time.monotonic() - began:.1f} s, now on "
                         f"{scene.container.host.name}")


scenery.run(faults)
