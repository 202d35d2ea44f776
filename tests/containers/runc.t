#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Containers are saved, and brought back on the same host, while their clients are connected."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../hosts"))
import scenery
import clients
import containers
import hosts
import services


def stop_and_restore(world, container, everyone=()):
    """Saves it and brings it back; connected clients must go on."""
    image = f"{world.scratch}/{container.identity}.image"
    for client in everyone:
        client.moves()
    pids = container.processes()
    scenery.checkpoint(container, image)
    scenery.restore(container, image)
    for client in everyone:
        client.moves()
    scenery.same("as many processes as before", len(container.processes()), len(pids))
    os.unlink(image)


def redis(world):
    """redis-server in a container keeps its clients and its keys, and runc knows it"""
    scenery.need("redis-server", "redis-cli")
    a, c = world.host("a"), world.host("client")
    container = services.redis(world, a)
    clients.Client(c, "fill", container.address4, 6379, 4).finish()
    everyone = [clients.Client(c, "counter", container.address4, 6379, 5),
                clients.Client(c, "counter", container.address6, 6379, 5),
                clients.Client(c, "load", container.address4, 6379, 2000, 4)]
    for _ in range(3 if not scenery.SOAK else 30):
        stop_and_restore(world, container, everyone)
        scenery.same("exec", container.execute("redis-cli", "ping"), "PONG\n")
        scenery.same("init", container.execute("cat", "/proc/1/comm"), "redis-server\n")
    for client in everyone:
        client.finish()
    new = clients.Client(c, "counter", container.address4, 6379)
    new.moves()
    new.finish()
    container.runc("kill", container.identity, "KILL")
    container.delete()
    container.gone_from(a)


def nginx(world):
    """nginx in a container keeps connections and a download in progress"""
    scenery.need("nginx")
    a, c = world.host("a"), world.host("client")
    container, pages = services.nginx(world, a)
    everyone = [clients.Client(c, "pages", container.address4, 80, "/small", pages["/small"]),
                clients.Client(c, "pages", container.address6, 80, "/large", pages["/large"]),
                clients.Client(c, "download", container.address4, 80, "/large", pages["/large"],
                               128)]
    scenery.same("in progress", everyone[2].ask()["left"] > 0, True)
    stop_and_restore(world, container, everyone)
    scenery.same("still in progress", everyone[2].ask()["left"] > 0, True)
    for client in everyone:
        client.finish()


def postgresql(world):
    """PostgreSQL in a container goes on in the middle of a transaction"""
    a, c = world.host("a"), world.host("client")
    container = services.postgresql(world, a)
    client = services.Psql(c, container)
    client.call("create table t (n int)")
    client.call("begin")
    client.call("insert into t select generate_series(1, 100)")
    stop_and_restore(world, container)
    scenery.same("in the transaction", client.call("select count(*) from t"), ["100"])
    client.call("insert into t select generate_series(101, 200)")
    client.call("commit")
    scenery.same("another client", services.Psql(c, container).call("select sum(n) from t"),
                 ["20100"])


def everything(world):
    """A container with nested children, tmpfs, System V IPC and descriptors of all kinds"""
    a, c = world.host("a"), world.host("client")
    container = services.everything(world, a)
    for _ in range(2):
        services.ask_everything(c, container)
        stop_and_restore(world, container)
    services.ask_everything(c, container)


def user_namespace(world):
    """A container in a user namespace"""
    a, c = world.host("a"), world.host("client")
    container = services.everything(world, a, "user", 5, services.in_user_namespace)
    services.ask_everything(c, container)
    stop_and_restore(world, container)
    services.ask_everything(c, container)
    scenery.same("its user on the host",
                 os.stat(a.path(f"/proc/{container.processes()[0]}")).st_uid, 100000)


def logged(world):
    """Output of a container into a file of the host goes where --stdio says; any other is refused"""
    a = world.host("a")
    root = containers.make_rootfs(f"{world.scratch}/rootfs")
    count = "n=0; while :; do n=$((n + 1)); echo $n; sleep 0.01; done"
    first, second = (f"{world.scratch}/{name}" for name in ("first", "second"))
    image = f"{world.scratch}/image"

    def last_number(path):
        return int(open(path).read().split()[-1])

    def start(identity, **how):
        containers.make_bundle(f"{world.scratch}/{identity}", root, ["sh", "-c", count], identity)
        with open(first, "w") as log:
            container = containers.Container(a, identity, f"{world.scratch}/{identity}").start(
                stdout=log, **how)
        hosts.wait_for(lambda: os.path.getsize(first), "it writes nothing")
        return container

    container = start("logged")
    scenery.checkpoint(container, image)
    scenery.restore(container, image, "--stdio", second)
    hosts.wait_for(lambda: os.path.exists(second) and os.path.getsize(second), "it does not go on")
    scenery.same("the next number", int(open(second).readline()), last_number(first) + 1)
    container.delete()

    container = start("tied", third=f"{world.scratch}/third")
    code, text = a.run([scenery.harness.CRIU_LITE, "check", "--container", "runc:tied"],
                       check=False)
    scenery.same("exit code", code, 3)
    scenery.contains("what check says", text, "descriptor 3")
    scenery.contains("what check says", text, "none of the mounts")
    scenery.same("descriptors", text.count("descriptor "), 1)
    before = last_number(first)
    hosts.wait_for(lambda: last_number(first) > before, "it is not left alone")


scenery.run(redis, nginx, postgresql, everything, user_namespace, logged)
