#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A container in the network of its host: the rules that keep packets from its connections while it
moves are gone afterwards, on both hosts, however that ends."""

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../hosts"))
import scenery
import containers
import hosts
from scenery import harness, same

ADDRESS, PORT = f"{hosts.NET4}.50", 7777
STATE = "/var/lib/criu-lite/migrations"
CLIENT = f"""import socket, sys
peer = socket.create_connection(("{ADDRESS}", {PORT}))
for line in sys.stdin:
    peer.sendall(line.encode())
    print(peer.recv(100).decode(), end="", flush=True)
"""


class Client:
    """It sends lines, which come back, and knows where the address is."""

    def __init__(self, host):
        self.host = host
        self.read, theirs = os.pipe()
        given, self.write = os.pipe()
        self.program = host.start([hosts.PYTHON, "-c", CLIENT], stdin=given, stdout=theirs, stderr=2)
        os.close(theirs)
        os.close(given)
        self.count = 0

    def send(self):
        self.count += 1
        os.write(self.write, b"line %d\n" % self.count)

    def receive(self):
        signal.alarm(20)
        same("what comes back", os.read(self.read, 100), b"line %d\n" % self.count)
        signal.alarm(0)


class Scene:
    def __init__(self, world):
        self.hosts = [world.host("a"), world.host("b")]
        self.peer = world.host("client")
        root = containers.make_rootfs(world.scratch + "/rootfs")

        def change(config):
            namespaces = config["linux"]["namespaces"]
            config["linux"]["namespaces"] = [n for n in namespaces if n["type"] != "network"]

        bundle = world.scratch + "/bundle"
        containers.make_bundle(bundle, root, ["nc", "-l", "-p", PORT, "-e", "cat"], "guest", change)
        for host in self.hosts:
            host.ip(f"address add {ADDRESS}/32 dev lo")
        self.container = containers.Container(self.hosts[0], "guest", bundle)
        self.start()

    def start(self):
        self.leads_to(self.hosts[0])
        self.container.host = self.hosts[0]
        started = self.hosts[0].start(["runc", "--log", "/run/runc.log", "run", "--detach", "--bundle",
                                       self.container.bundle, "guest"])
        same("runc run", started.wait(), 0)
        hosts.wait_for(self.listens, "it does not listen", 10)
        self.client = Client(self.peer)
        self.client.send()
        self.client.receive()

    def listens(self):
        return f":{PORT} " in self.hosts[0].run(["ss", "--listening", "--tcp", "--numeric"])

    def leads_to(self, host):
        """Where the client's packets go."""
        self.peer.ip(f"route replace {ADDRESS}/32 via {host.address4}")

    def records(self, host, side):
        try:
            names = os.listdir(host.path(STATE))
        except FileNotFoundError:
            return []
        return [name.split(".")[0] for name in names if name.endswith(f".{side}.json")]

    @staticmethod
    def resolve(migration, source, destination, identity):
        receiver = destination.start(
            [harness.CRIU_LITE, "receive", "--listen", f"{destination.address4}:7401",
             "--psk-file", migration.key])
        hosts.wait_for(lambda: source.reaches(destination.address4, 7401), "no receiver", 5)
        source.run([harness.CRIU_LITE, "migrate", "--resolve", identity,
                    f"{destination.address4}:7401", "--psk-file", migration.key])
        receiver.kill()
        receiver.wait()

    def check(self, home):
        """It answers there, and no host locks anything."""
        self.container.host = home
        same("status", self.container.status(), "running")
        self.client.send()
        self.client.receive()
        for host in self.hosts:
            hosts.wait_for(lambda: not host.run(["nft", "list", "tables"]),
                           lambda: f"{host.name}: {host.run(['nft', 'list', 'ruleset'])}", 5)
        self.container.gone_from(self.hosts[self.hosts[0] is home])


def moves(world):
    """It moves there and back, and no packet lock is left"""
    scenery.need("nft", "ss")
    scene = Scene(world)
    for to in scene.hosts[1], scene.hosts[0]:
        scene.leads_to(to)
        scenery.migrate(scene.container, to)
        scene.check(to)


def broken(world):
    """The source is killed at the wrong moments, asks, and no packet lock is left"""
    scenery.need("nft", "ss")
    scene = Scene(world)
    here, there = scene.hosts
    # Nobody is told of its end by the last one any more.
    for fault in "migrate-running:kill", "release:kill", "migrate-settle:kill":
        scene.leads_to(there)
        migration = scenery.Migration(scene.container, there, ["--timeout", "2"],
                                      CRIU_LITE_FAULT=fault)
        migration.sender.wait()
        migration.receiver_code()
        for identity in scene.records(here, "source"):
            scene.resolve(migration, here, there, identity)
        for identity in scene.records(there, "destination"):
            for suffix in "json", "lock":
                os.unlink(there.path(f"{STATE}/{identity}.destination.{suffix}"))
        scene.check(there)
        here, there = there, here


scenery.run(moves, broken)
