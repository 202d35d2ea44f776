#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Containers move to another host while their clients stay connected."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../hosts"))
import clients
import scenery
import services


def three_hosts(world):
    return world.host("a"), world.host("b"), world.host("client")


def redis(world):
    """redis-server moves with 50 clients and under a write load; runc knows it over there"""
    scenery.need("redis-server", "redis-cli")
    a, b, c = three_hosts(world)
    container = services.redis(world, a)
    clients.Client(c, "fill", container.address4, 6379, 16).finish()
    everyone = [clients.Client(c, "counter", container.address4, 6379, 25),
                clients.Client(c, "counter", container.address6, 6379, 25),
                clients.Client(c, "load", container.address4, 6379, 2000, 16)]
    for client in everyone:
        client.moves()
    scenery.migrate(container, b)
    for client in everyone:
        client.moves()
    scenery.same("exec over there", container.execute("redis-cli", "ping"), "PONG\n")
    for client in everyone:
        client.finish()
    container.runc("kill", container.identity, "KILL")
    container.delete()
    container.gone_from(b)


def nginx(world):
    """nginx moves with kept connections and a download in progress"""
    scenery.need("nginx")
    a, b, c = three_hosts(world)
    container, pages = services.nginx(world, a)
    kept = [clients.Client(c, "pages", address, 80, page, pages[page]) for page in pages
            for address in (container.address4, container.address6)]
    slow = clients.Client(c, "download", container.address4, 80, "/large", pages["/large"], 128)
    for client in kept:
        client.moves()
    scenery.migrate(container, b)
    scenery.same("still in progress", slow.ask()["left"] > 0, True)
    for client in kept:
        client.moves()
        client.finish()
    scenery.same("complete", slow.finish()["complete"], True)


def postgresql(world):
    """PostgreSQL moves in the middle of a transaction"""
    a, b, c = three_hosts(world)
    container = services.postgresql(world, a)
    client = services.Psql(c, container)
    client.call("create table t (n int)")
    client.call("begin")
    client.call("insert into t select generate_series(1, 100)")
    scenery.migrate(container, b)
    scenery.same("in the transaction", client.call("select count(*) from t"), ["100"])
    client.call("insert into t select generate_series(101, 200)")
    client.call("commit")
    scenery.same("another client", services.Psql(c, container).call("select sum(n) from t"),
                 ["20100"])


def everything(world):
    """A container with nested children, tmpfs, System V IPC and descriptors of all kinds moves"""
    a, b, c = three_hosts(world)
    container = services.everything(world, a)
    services.ask_everything(c, container)
    scenery.migrate(container, b)
    services.ask_everything(c, container)
    scenery.migrate(container, a)
    services.ask_everything(c, container)


def user_namespace(world):
    """A container in a user namespace moves"""
    a, b, c = three_hosts(world)
    container = services.everything(world, a, "user", 5, services.in_user_namespace)
    services.ask_everything(c, container)
    scenery.migrate(container, b)
    services.ask_everything(c, container)


def there_and_back(world):
    """A container moves there and back again ten times, with its client"""
    scenery.need("redis-server", "redis-cli")
    a, b, c = three_hosts(world)
    container = services.redis(world, a)
    client = clients.Client(c, "counter", container.address4, 6379, 2)
    gaps = []
    for _ in range(10 if not scenery.SOAK else 50):
        for to in b, a:
            client.ask("again")
            scenery.migrate(container, to)
            client.moves()
            gaps.append(client.ask()["gap_ms"])
    client.finish()
    scenery.note(f"longest gaps: {gaps} ms")


scenery.run(redis, nginx, postgresql, everything, user_namespace, there_and_back)
