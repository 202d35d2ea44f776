#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The link between two hosts is cut while a container moves, or a program is killed, at every state
of the protocol: the container runs on exactly one host then, its client goes on, and the other host
has no trace of it."""

import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../hosts"))
import clients
import hosts
import relay
import scenery
import services
from scenery import harness, same

RUNS = int(os.environ.get("RUNS", 100)) if scenery.SOAK else 1   # of each state
PORT = 7000
STATE = "/var/lib/criu-lite/migrations"
# Where the relay stops: who sends the record and its number; see relay.py. The handshake of TLS is
# four records of the destination's.
MOVING = {
    "handshake": ("caller", "1"), "HELLO": ("caller", "4+3"), "WELCOME": ("called", "5"),
    "REQUIREMENTS": ("caller", "5+1"), "VERDICT": ("called", "6"), "SAMPLES": ("caller", "6+1"),
    "SAMPLES_SEEN": ("called", "7"), "IMAGE": ("caller", "7+1"), "first round": ("caller", "7+20"),
    "frozen": ("caller", "7+20"), "READY": ("called", "8"), "COMMIT": ("caller", "8+1"),
    "RUNNING": ("called", "9"), "PACKETS": ("caller", "9+1"), "DONE": ("caller", "9+2")}
# The source is killed at COMMIT or RUNNING, then it is the question that fails.
ASKING = {
    "asking: handshake": ("caller", "1"), "asking: HELLO": ("caller", "4+3"),
    "asking: WELCOME": ("called", "5"), "ASK": ("caller", "5+1"), "ANSWER": ("called", "6"),
    "asking: DONE": ("caller", "6+1")}
QUICK = ["reset", "close", "kill migrate", "kill receive"]
# These take their time: the ends must find out.
SLOW = ["stall", "cut source", "cut destination", "kill listener"]
SECONDS = ["--timeout", "2"]


PF_EXITING, SIGKILL_BIT = 4, 1 << (signal.SIGKILL - 1)


def is_alive(pid):
    """Whether it is redis-server, nobody traces it, and it has not been killed."""
    lines = (harness.read_text(f"/proc/{pid}/status") or "").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    stat = harness.read_text(f"/proc/{pid}/stat")
    if status.get("Name") != "redis-server" or status["TracerPid"] != "0" or not stat:
        return False
    pending = int(status["SigPnd"], 16) | int(status["ShdPnd"], 16)
    return not pending & SIGKILL_BIT and not int(stat.rpartition(")")[2].split()[6]) & PF_EXITING


class Scene:
    """A container with a client, two hosts for it, and one for the relay."""

    def __init__(self, world):
        self.world = world
        self.places = [world.host("a"), world.host("b")]
        self.middle = world.host("middle")
        self.links = [self.links_of(host) for host in self.places]
        self.container = services.redis(world, self.places[0])
        self.root = f"{world.scratch}/redis"
        self.processes = len(self.places[0].processes())
        self.watch = world.host("client")
        self.client = clients.Client(self.watch, "counter", self.container.address4, 6379)
        # The kernel ignores those that do not quite fit, so the program would not hear of them.
        self.watch.run(["nft", "-f", "-"], input="""table inet watch {
            counter resets { }
            chain input {
                type filter hook input priority -400;
                tcp sport 6379 tcp flags & rst == rst counter name resets
            }
        }""")

    def resets(self):
        """How many have come to the client."""
        said = self.watch.run(["nft", "list", "counter", "inet", "watch", "resets"])
        return int(said.split("packets ")[1].split()[0])

    @staticmethod
    def links_of(host):
        return sorted(os.listdir(host.path("/sys/class/net")))

    def other(self, host):
        return self.places[host is self.places[0]]

    def records(self, host, side):
        try:
            names = os.listdir(host.path(STATE))
        except FileNotFoundError:
            return []
        return sorted(name.split(".")[0] for name in names if name.endswith(f".{side}.json"))

    def runs(self, host):
        """Whether redis-server is there and neither traced nor frozen."""
        for cgroup in host.cgroups:
            group = host.path(f"{cgroup['mount']}/{self.container.identity}")
            if harness.read_text(f"{group}/freezer.state") not in (None, "THAWED\n") or \
                    "frozen 1" in (harness.read_text(f"{group}/cgroup.events") or ""):
                return False
        return any(is_alive(pid) for pid in host.processes())

    def details(self, host):
        """For people: what runs() looks at."""
        wanted = ("Name", "State", "TracerPid", "SigPnd", "ShdPnd")
        groups = [f"{cgroup['mount']}/{self.container.identity}" for cgroup in host.cgroups]
        freezers = [harness.read_text(host.path(f"{group}/{file}"))
                    for group in groups for file in ("freezer.state", "cgroup.events")]
        return [text for text in freezers if text], [
            [line for line in (harness.read_text(f"/proc/{pid}/status") or "").splitlines()
             if line.split(":")[0] in wanted] for pid in host.processes()], [
                 self.records(host, side) for side in ("source", "destination")]

    def wait_for(self, condition, complaint, seconds):
        """It must not run on both hosts meanwhile."""
        def look():
            # Twice, for it may have been killed or frozen between one look and the next.
            if all(self.runs(host) for host in self.places * 3):
                seen = {host.name: self.details(host) for host in self.places}
                raise AssertionError(f"it runs on both hosts; a moment later: {seen}")
            return condition()
        hosts.wait_for(look, complaint, seconds)

    def leftovers(self, host):
        """What no host may have, wherever the container is."""
        found = []
        for cgroup in host.cgroups:
            for directory, below, _ in os.walk(host.path(cgroup["mount"])):
                found += [f"{directory}/{name}" for name in below if name.startswith("criu-lite-")]
        found += host.run(["nft", "list", "tables"]).splitlines()
        try:
            found += [name for name in os.listdir(host.path(STATE)) if name != "destination"]
        except FileNotFoundError:
            pass
        return found

    def traces(self, host, home):
        """What a host has that it should not have."""
        found = self.leftovers(host)
        if host is not home:
            found += self.container.traces(host)
            links = self.links[self.places.index(host)]
            found += [f"link {name}" for name in self.links_of(host) if name not in links]
        programs = host.processes()
        if len(programs) != (self.processes if host is home else 0):
            found.append([harness.read_text(f"/proc/{pid}/comm") for pid in programs])
        return found

    def check(self):
        """It runs on one host only, and nothing is left over."""
        home = None
        for host in self.places:
            self.container.host = host
            status = self.container.status()
            if status is None:
                continue
            same(f"status on {host.name}", status, "running")
            same("more than one host has it", home, None)
            home = host
        if not home:
            raise AssertionError("no host has it")
        self.container.host = home
        self.client.moves(20)
        same("resets that came to the client", self.resets(), 0)
        for host in self.places:
            hosts.wait_for(lambda: not self.traces(host, home),
                           lambda: f"{host.name} has {self.traces(host, home)}", 20)
        pid = self.container.state()["pid"]
        same("nft tables of the container",
             home.run(["nsenter", "-t", pid, "-n", "nft", "list", "tables"]), "")
        temporary = [name for _, directories, files in os.walk(self.root)
                     for name in [*directories, *files] if "criu-lite" in name]
        same("temporary files", temporary, [])


def end(process, connections=False):
    """SIGKILL; of a receiver also for the processes that serve its connections."""
    if process.poll() is not None:
        return
    served = process.host.path(f"/proc/{process.pid}/task/{process.pid}/children")
    children = (harness.read_text(served) or "").split() if connections else []
    process.host.run(["kill", "-9", process.pid, *children], check=False)
    process.wait()


def disturb(fault, link, scene, source, sender, receiver):
    """The link has a record in its hands."""
    if fault in ("reset", "close"):
        link.tell(fault)
    elif fault.startswith("cut"):
        host = source if fault == "cut source" else scene.other(source)
        host.cut()
        link.tell("go")
        time.sleep(random.choice((0.3, 1.5, 3)))
        host.cut(False)
    elif fault != "stall":
        if fault == "kill migrate":
            end(sender)
        else:
            end(receiver, connections=fault == "kill receive")
        link.tell("go")


class Slow(Exception):
    """The machine had too much to do, or a link needed long to come up again."""


class Moving:
    """A migration over a relay that stops somewhere."""

    def __init__(self, scene, state, options=()):
        self.scene = scene
        self.source = scene.container.host
        self.destination = scene.other(self.source)
        self.link = relay.Relay(scene.middle, PORT, self.destination.address4, scenery.PORT,
                                *MOVING[state])
        options = [*SECONDS, *(["--stop-and-copy"] if state == "frozen" else [])]
        self.migration = scenery.Migration(scene.container, self.destination, options, SECONDS,
                                           f"{scene.middle.address4}:{PORT}", once=False)
        self.receiver, self.sender = self.migration.receiver, self.migration.sender
        self.resolved = ""
        if not self.link.reached(20):
            self.settle()
            self.resolve()
            raise Slow(f"the relay has nothing to stop: {self.said()}")

    def end_link(self):
        self.link.process.kill()
        self.link.process.wait()

    def settle(self):
        """Both programs come to an end by themselves, but for a receiver that listens."""
        self.scene.wait_for(lambda: self.sender.poll() is not None, "migrate does not end", 60)
        self.end_link()
        self.scene.wait_for(lambda: not self.serves(), "receive still serves", 40)
        names = lambda: [harness.read_text(f"/proc/{pid}/comm") for pid in self.source.processes()]
        self.scene.wait_for(lambda: "criu-lite\n" not in names(), "a part of migrate is left", 20)

    def listen_again(self):
        """With the receiver that listens, or a new one."""
        if self.receiver.poll() is None:
            return
        self.receiver = self.destination.start(
            [harness.CRIU_LITE, "receive", "--listen", f"{self.destination.address4}:{scenery.PORT}",
             "--psk-file", self.migration.key, *SECONDS])
        hosts.wait_for(self.listens, "receive does not listen again", 20)

    def listens(self):
        wanted = f":{scenery.PORT:04X} 00000000:0000 0A"
        return wanted in (harness.read_text(f"/proc/{self.destination.pid}/net/tcp") or "")

    def resolve_command(self, identity, where):
        return [harness.CRIU_LITE, "-v", "migrate", "--resolve", identity, where, "--psk-file",
                self.migration.key, *SECONDS]

    def resolve(self):
        """What a person does with what is left. A record here that nobody has asked about stays
        until then."""
        for identity in self.scene.records(self.source, "source"):
            self.listen_again()
            self.resolved += self.source.run(self.resolve_command(
                identity, f"{self.destination.address4}:{scenery.PORT}"))
        hosts.wait_for(lambda: not self.serves(), "receive still serves", 40)
        end(self.receiver)
        for identity in self.scene.records(self.destination, "destination"):
            self.resolved += self.destination.run([harness.CRIU_LITE, "-v", "receive",
                                                   "--resolve", identity])
        # The source knows, or it would have asked: it could not say so, and does when told to.
        for identity in self.scene.records(self.destination, "destination"):
            self.scene.container.host = self.destination
            same("status where a record says so", self.scene.container.status(), "running")
            self.listen_again()
            self.resolved += self.source.run(self.resolve_command(
                identity, f"{self.destination.address4}:{scenery.PORT}"))
            end(self.receiver, connections=True)

    def serves(self):
        return harness.read_text(self.destination.path(
            f"/proc/{self.receiver.pid}/task/{self.receiver.pid}/children"))

    def said(self):
        return f"migrate says: {self.migration.text(1)}{self.migration.text(2)}\n" \
            f"receive says: {self.migration.text(0)}\nresolve says: {self.resolved}"


def cut_moving(scene, state, fault):
    """One migration that is disturbed."""
    moving = Moving(scene, state)
    try:
        disturb(fault, moving.link, scene, moving.source, moving.sender, moving.receiver)
        moving.settle()
        moving.resolve()
        scene.check()
    except BaseException as trouble:
        raise AssertionError(f"{trouble}\n{moving.said()}") from trouble


def cut_asking(scene, state, fault):
    """A migration whose source is killed, and its question, which is disturbed."""
    before, word = random.choice(("COMMIT", "RUNNING")), random.choice(("go", "reset"))
    moving = Moving(scene, before)
    try:
        end(moving.sender)
        moving.link.tell(word)
        moving.settle()
        records = scene.records(moving.source, "source")
        same("records of the source", len(records), 1)
        moving.link = relay.Relay(scene.middle, PORT, moving.destination.address4, scenery.PORT,
                                  *ASKING[state])
        asking = moving.source.start(
            moving.resolve_command(records[0], f"{scene.middle.address4}:{PORT}"))
        reached = moving.link.reached(20)
        if reached:
            disturb(fault, moving.link, scene, moving.source, asking, moving.receiver)
        asking.wait()
        moving.end_link()
        moving.resolve()
        scene.check()
        if not reached:
            raise Slow("the record does not come")
    except Slow:
        raise
    except BaseException as trouble:
        raise AssertionError(f"killed at {before}, {word}: {trouble}\n{moving.said()}") from trouble


def try_it(scene, state, fault, one):
    """Until it came to the disturbance, which the container does not mind."""
    for last in False, False, True:
        try:
            return one(scene, state, fault)
        except Slow as trouble:
            if last:
                raise AssertionError(str(trouble)) from trouble
            scenery.note(f"{state}, {fault}: once more: {trouble}")
            scene.check()


def disturbed(world, states, one):
    scenery.need("redis-server", "redis-cli", "nft")
    scene = Scene(world)
    scene.client.moves()
    slow = set(random.sample(sorted(states), 2))
    only = os.environ.get("CUT", "").split("/")  # STATE/FAULT
    for state in states:
        if only[0] not in ("", state):
            continue
        faults = QUICK + SLOW if scenery.SOAK else SLOW if state in slow else QUICK
        for run in range(RUNS):
            fault = only[1] if only[1:] else \
                faults[run % len(faults)] if scenery.SOAK else random.choice(faults)
            begun = time.monotonic()
            try:
                try_it(scene, state, fault, one)
            except AssertionError as trouble:
                raise AssertionError(f"{state}, {fault}: {trouble}") from trouble
            scenery.note(f"{state}, {fault}: on {scene.container.host.name} "
                         f"after {time.monotonic() - begun:.1f} s")
    scene.client.finish()


def migration(world):
    """A migration is disturbed: the container runs on one host, and its client does not notice"""
    disturbed(world, MOVING, cut_moving)


def question(world):
    """A source asks what became of its container, and is disturbed again"""
    disturbed(world, ASKING, cut_asking)


scenery.run(migration, question)
