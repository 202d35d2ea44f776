#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A container that cannot run on the destination is not touched: nobody freezes it, its client gets
all answers, both sides say what is in the way and what can be done, and nothing is left."""

import ctypes
import os
import struct
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../hosts"))
import scenery
import clients
import containers
import harness
import hosts
import services

BLOCKED, PEER = 3, 6	# exit statuses
IN_MODIFY, IN_CREATE = 2, 0x100
IN_NONBLOCK, IN_CLOEXEC = 0o4000, 0o2000000
EVENT = struct.Struct("iIII")


def cells(host):
    """Freezer cgroups that criu-lite has made and not removed."""
    return [os.path.join(directory, name) for cgroup in host.cgroups
            for directory, below, _ in os.walk(cgroup["directory"]) for name in below
            if name.startswith("criu-lite-")]


class Freezes:
    """Sees who freezes a container on its host, and for how short a time ever: each write to one of
    its freezers, each freezer cgroup that criu-lite makes."""

    def __init__(self, container):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC)
        for cgroup in container.host.cgroups:
            for path in cgroup["mount"], f"{cgroup['mount']}/{container.identity}":
                where = container.host.path(path).encode()
                if libc.inotify_add_watch(self.fd, where, IN_MODIFY | IN_CREATE) < 0:
                    raise OSError(ctypes.get_errno(), path)

    def seen(self):
        """Since it was asked last."""
        found = []
        while True:
            try:
                data = os.read(self.fd, 65536)
            except BlockingIOError:
                return found
            while data:
                _, mask, _, size = EVENT.unpack_from(data)
                name = data[EVENT.size:EVENT.size + size].rstrip(b"\0").decode()
                data = data[EVENT.size + size:]
                if name in ("freezer.state", "cgroup.freeze") and mask & IN_MODIFY or \
                        name.startswith("criu-lite") and mask & IN_CREATE:
                    found.append(name)


class Refused:
    """A container with a client on host a, and attempts to move it to host b."""

    def __init__(self, world):
        scenery.need("redis-server")
        self.a, self.b = world.host("a"), world.host("b")
        self.container = services.redis(world, self.a)
        self.client = clients.Client(world.host("c"), "counter", self.container.address4, 6379)
        self.pid = self.container.state()["pid"]
        self.freezes = Freezes(self.container)
        self.key = self.make_key(world, "key")
        self.world = world

    @staticmethod
    def make_key(world, name):
        path = f"{world.scratch}/{name}"
        with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(os.urandom(32).hex() + "\n")
        return path

    def migrate(self, *options, key=None):
        return self.a.run([harness.CRIU_LITE, "migrate", "--container", "runc:redis",
                           f"{self.b.address4}:{scenery.PORT}", "--psk-file", key or self.key,
                           "--timeout", "5", *options], check=False)

    def untouched(self, what, attempt):
        """Makes the attempt."""
        self.client.ask("again")
        self.freezes.seen()
        attempt()
        scenery.same(f"{what}: who has frozen it", self.freezes.seen(), [])
        self.client.moves(20)
        scenery.note(f"{what}: the client waited {self.client.ask()['gap_ms']} ms")
        scenery.same(f"{what}: init", self.container.state()["pid"], self.pid)
        scenery.same(f"{what}: status", self.container.status(), "running")
        for host in (self.a, self.b):
            left = os.listdir(host.path("/var/lib/criu-lite/migrations")) \
                if os.path.exists(host.path("/var/lib/criu-lite/migrations")) else []
            scenery.same(f"{what}: records on {host.name}",
                         [name for name in left if name != "destination"], [])
            scenery.same(f"{what}: cgroups on {host.name}", cells(host), [])

    def attempt(self, what, words, status=BLOCKED, receive_options=(), key=None,
                stay=(), **environment):
        """Both sides give the reason: all of the words."""
        def once():
            with tempfile.TemporaryFile() as said:
                receiver = self.b.start(
                    [harness.CRIU_LITE, "receive", "--listen",
                     f"{self.b.address4}:{scenery.PORT}", "--psk-file", self.key, "--timeout", "5",
                     *receive_options], stdout=said, stderr=said, **environment)

                def there():
                    # Not by a seek, which would move the writer, too.
                    return os.pread(said.fileno(), 1 << 20, 0).decode(errors="replace")

                try:
                    hosts.wait_for(lambda: f":{scenery.PORT:04X} 00000000:0000 0A" in
                                   (harness.read_text(f"/proc/{self.b.pid}/net/tcp") or ""),
                                   f"{what}: receive does not listen")
                    code, text = self.migrate(key=key)
                    scenery.same(f"{what}: exit status ({text}) ({there()})", code, status)
                    for word in words:
                        scenery.contains(f"{what}: migrate", text, word)
                        hosts.wait_for(lambda: word in there(),
                                       lambda: f"{what}: receive: {word} is not in {there()}", 20)
                finally:
                    receiver.kill(15)
                    receiver.wait()
        self.untouched(what, once)
        scenery.same(f"{what}: on the destination", self.b.processes(), list(stay))


def machine(world):
    """A destination that lacks something refuses, before anything is frozen"""
    case = Refused(world)
    a, b, container = case.a, case.b, case.container
    root = f"{world.scratch}/redis"
    case.attempt("root file system", ["root directory /nowhere", "--root-map"],
                 receive_options=["--root-map", f"{root}=/nowhere"])
    case.attempt("processor", ["processor", "sse4_1"], CRIU_LITE_WITHOUT="cpu-sse4_1")
    case.attempt("kernel", ["kernel feature clone3-set-tid", "needs Linux 5.5"],
                 CRIU_LITE_WITHOUT="clone3-set-tid")
    b.ip("link set eth0 nomaster", "link set br0 name other")
    b.ip("link set eth0 master other")
    case.attempt("bridge", ["bridge br0", "--external net["])
    b.ip("link set other name br0")
    sleeper = b.start(["sleep", "1000"])
    pids = b.processes()
    mount = b.cgroups[0]["mount"]
    os.mkdir(b.path(f"{mount}/redis"))
    with open(b.path(f"{mount}/redis/cgroup.procs"), "w") as file:
        file.write(str(pids[0]))
    case.attempt("cgroup", [f"{mount}/redis is there already", "--external cgroup[", "end what"],
                 stay=pids)
    sleeper.kill()
    sleeper.wait()
    os.rmdir(b.path(f"{mount}/redis"))
    other = containers.Container(b, "redis", container.bundle, 9).start()
    case.attempt("runtime", ["runc has a container redis here already", "delete"],
                 stay=b.processes())
    scenery.same("the other one", other.status(), "running")
    other.delete()
    hosts.wait_for(lambda: not b.processes(), "the other one stays")
    # Nothing is in the way any more.
    migration = scenery.Migration(container, b)
    migration.finish()
    scenery.same("its freeze is seen", case.freezes.seen() != [], True)
    scenery.contains("the pid is that of the machine", migration.text(0),
                     f"process {container.state()['pid']} runs here")
    case.client.moves()
    case.client.finish()


def versions(case, mode, expected):
    """A peer on host a that speaks another version; what criu-lite says to that."""
    with tempfile.TemporaryFile() as said:
        fake = case.a.start([hosts.PYTHON, os.path.join(harness.ROOT, "tests/migrate/version.py"),
                             mode], stdout=said, stderr=said)
        hosts.wait_for(lambda: os.fstat(said.fileno()).st_size or fake.poll() is not None,
                       f"{mode} does not come up")
        code, text = case.a.run(expected, check=False)
        scenery.same(f"{mode} ({text})", fake.wait(), 0)
        said.seek(0)
        return code, text, said.read().decode()


def peer(world):
    """Nobody there, another key, another version: the container is not touched"""
    case = Refused(world)
    case.attempt("key", ["TLS", "the same key"], PEER,
                 key=case.make_key(world, "other"))

    def nobody():
        code, text = case.migrate()
        scenery.same(f"nobody: exit status ({text})", code, PEER)
        scenery.contains("nobody", text, "Connection refused")

    case.untouched("nobody", nobody)

    def other_destination():
        code, text, heard = versions(case, "destination", [
            harness.CRIU_LITE, "migrate", "--container", "runc:redis",
            f"127.0.0.1:{scenery.PORT}"])
        scenery.same(f"version: exit status ({text})", code, PEER)
        scenery.contains("version: migrate", text, "speaks version 2 of the protocol, we speak 1")
        scenery.contains("version: migrate", text, "the same criu-lite on both sides")
        scenery.contains("version: said to the peer", heard, "speaks version 2")

    case.untouched("version", other_destination)

    def other_source():
        code, text, heard = versions(case, "source", [
            harness.CRIU_LITE, "receive", "--once", "--listen", f"127.0.0.1:{scenery.PORT}"])
        scenery.same(f"version: exit status of receive ({text})", code, PEER)
        scenery.contains("version: receive", text, "speaks version 2 of the protocol, we speak 1")
        scenery.contains("version: receive", text, "the same criu-lite on both sides")
        scenery.contains("version: said to the peer", heard, "speaks version 2")

    case.untouched("version of the source", other_source)
    case.client.finish()


scenery.run(machine, peer)
