#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The hosts themselves: what the other tests build upon."""

import glob
import os
import time

import clients
import hosts
import relay
import scenery
import services


def traces_on_machine():
    """What a world of ours could leave: cgroups, links, mounts, processes, files."""
    ours = f"/sys/fs/cgroup/**/{hosts.CGROUP_PREFIX}{os.getpid()}-*"
    return [sorted(glob.glob(ours, recursive=True)),
            sorted(os.listdir("/sys/class/net")), hosts.harness.read_text("/proc/self/mountinfo"),
            hosts.harness.tree(os.getpid()),
            sorted(os.listdir("/var/lib")), sorted(glob.glob("/run/runc/*"))]


def apart(world):
    """Hosts have namespaces and cgroups of their own, and reach each other"""
    a, b = world.host("a"), world.host("b")
    names = "cgroup", "ipc", "mnt", "net", "pid", "uts"
    seen = [[os.readlink(f"/proc/{pid}/ns/{name}") for pid in (os.getpid(), a.pid, b.pid)]
            for name in names]
    for name, links in zip(names, seen):
        scenery.same(f"different namespaces {name}", len(set(links)), 3)
    for line in a.run(["cat", "/proc/self/cgroup"]).splitlines():
        scenery.same("own cgroup", line.split(":", 2)[2] in ("/", "/init"), True)
    a.run(["touch", "/run/only-here", "/var/lib/only-here"])
    scenery.same("/run of the other", os.path.exists(b.path("/run/only-here")), False)
    scenery.same("/var/lib of the other", os.path.exists(b.path("/var/lib/only-here")), False)
    listening = "import socket; s = socket.create_server(('::', 7), family=socket.AF_INET6," \
        " dualstack_ipv6=True); print(1); [s.accept() for n in range(2)]"
    server = b.start([hosts.PYTHON, "-c", listening])
    for address in b.address4, b.address6:
        hosts.wait_for(lambda: a.reaches(address, 7),
                       f"{address} is not reached")
    scenery.same("exit code of the server", server.wait(), 0)


def programs(world):
    """Programs on a host have their exit codes, output, signals and orphans"""
    a = world.host("a")
    scenery.same("output and code", a.run(["sh", "-c", "cat; echo $$ >&2; exit 3"], input="in ",
                                          check=False)[0], 3)
    sleeper = a.start(["sleep", "1000"])
    scenery.same("still there", sleeper.poll(), None)
    sleeper.kill(15)
    scenery.same("ended by a signal", sleeper.wait(), -15)
    scenery.same("not found", a.run(["/no/such"], check=False)[0], 127)
    a.run(["sh", "-c", "sleep 0.01 & exec true"])
    hosts.wait_for(lambda: not a.processes(), "an orphan is not reaped")


def container(world):
    """A container on one host serves checking clients on another, over IPv4 and IPv6"""
    scenery.need("redis-server")
    a, b, c = world.host("a"), world.host("b"), world.host("client")
    redis = services.redis(world, a)
    scenery.same("status", redis.status(), "running")
    scenery.same("init", redis.execute("cat", "/proc/1/comm"), "redis-server\n")
    clients.Client(c, "fill", redis.address4, 6379, 4).finish()
    everyone = [clients.Client(c, "counter", redis.address4, 6379),
                clients.Client(c, "counter", redis.address6, 6379, 10),
                clients.Client(c, "load", redis.address4, 6379, 2000, 4)]
    for client in everyone:
        client.moves()
    scenery.same("no traces on the other host", redis.traces(b), [])
    a.cut()
    time.sleep(0.1)
    a.cut(False)
    gaps = []
    for client in everyone:
        client.moves()
        answer = client.finish()
        gaps.append(answer["gap_ms"])
    scenery.same(f"the cut cable was noticed: {gaps}", min(gaps) >= 90, True)
    scenery.same("all keys were read back", answer["read_back"], 4096)
    redis.delete()
    redis.gone_from(a)


def trouble(client):
    """What the client has to complain about, in a while or when it ends."""
    deadline = time.monotonic() + 3
    try:
        while time.monotonic() < deadline:
            client.ask()
            time.sleep(0.01)
        client.finish()
    except clients.Wrong as wrong:
        return str(wrong)
    return "nothing"


def wrong_answers(world):
    """The checking clients notice a wrong answer and the end of a connection"""
    scenery.need("redis-server", "redis-cli")
    a, c = world.host("a"), world.host("client")
    redis = services.redis(world, a)
    clients.Client(c, "fill", redis.address4, 6379, 1).finish()
    load = clients.Client(c, "load", redis.address4, 6379, 1000, 1)
    counters = [clients.Client(c, "counter", redis.address4, 6379, n) for n in (1, 2)]
    ended = clients.Client(c, "counter", redis.address6, 6379)
    ask = ["redis-cli", "-h", redis.address4]
    c.run([*ask, "client", "kill", "addr", ended_address(c, redis)])
    c.run([*ask, "eval", "for _, key in ipairs(redis.call('keys', 'counter:*')) do "
           "redis.call('incr', key) end for n = 1, 500 do redis.call('del', 'key:' .. n) end", "0"])
    # It writes on, and in the end it has written each of them again.
    scenery.contains("trouble with lost keys", trouble(load), "key:")
    for client, word in (*((client, "INCR") for client in counters), (ended, "ended")):
        scenery.contains("trouble of a counter", trouble(client), word)


def ended_address(host, redis):
    """The only connection over IPv6, as redis names its other end."""
    for line in host.run(["redis-cli", "-h", redis.address4, "client", "list"]).splitlines():
        words = dict(word.split("=", 1) for word in line.split())
        if words["addr"].startswith("["):
            return words["addr"]
    raise AssertionError("no client over IPv6")


def downloads(world):
    """A slow download and a kept HTTP connection are compared byte by byte"""
    scenery.need("nginx")
    a, c = world.host("a"), world.host("client")
    nginx, pages = services.nginx(world, a)
    kept = clients.Client(c, "pages", nginx.address6, 80, "/small", pages["/small"])
    slow = clients.Client(c, "download", nginx.address4, 80, "/large", pages["/large"], 512)
    wrong = clients.Client(c, "download", nginx.address4, 80, "/large", pages["/small"], 512)
    kept.moves()
    scenery.same("the download takes its time", slow.ask()["left"] > 0, True)
    kept.finish()
    scenery.same("complete", slow.finish()["complete"], True)
    scenery.contains("trouble of a download", trouble(wrong), "wrong content")


def relays(world):
    """A relay passes everything on, until it stops at a record and does what it is told"""
    scenery.need("redis-server")
    a, c, middle = world.host("a"), world.host("client"), world.host("middle")
    redis = services.redis(world, a)
    for side in "caller", "called":
        for word, problem in ("go", None), ("reset", "ConnectionResetError"), ("close", "ended"):
            link = relay.Relay(middle, 7000, redis.address4, 6379, side, 50)
            client = clients.Client(c, "counter", middle.address4, 7000)
            scenery.same("the record comes", link.reached(20), True)
            link.tell(word)
            if problem:
                scenery.contains("trouble of the client", trouble(client), problem)
            else:
                client.moves()
                client.finish()
            link.process.kill()
            link.process.wait()


def machine(world):
    """A world that ends leaves nothing on the machine, though programs and containers run or are
    frozen"""
    before = traces_on_machine()
    with hosts.World() as inner:
        a = inner.host("a")
        redis = services.redis(inner, a)
        scenery.same("running", redis.status(), "running")
        a.start(["sleep", "1000"])
        scenery.same("it is seen meanwhile", traces_on_machine() != before, True)
        redis.runc("pause", redis.identity)
    scenery.same("the machine is as it was", traces_on_machine(), before)
    scenery.same("its files are gone", os.path.exists(inner.scratch), False)


def postgresql(world):
    """PostgreSQL in a container serves a client"""
    a, c = world.host("a"), world.host("client")
    client = services.Psql(c, services.postgresql(world, a))
    client.call("create table t (n int)")
    client.call("begin")
    client.call("insert into t select generate_series(1, 100)")
    scenery.same("answer", client.call("select count(*), sum(n) from t"), ["100|5050"])


def everything(world):
    """A container with some of everything finds itself right; so does one in a user namespace"""
    a, c = world.host("a"), world.host("client")
    container = services.everything(world, a)
    for _ in range(2):
        services.ask_everything(c, container)
    other = services.everything(world, a, "user", 5, services.in_user_namespace)
    for _ in range(2):
        services.ask_everything(c, other)
    scenery.same("its user on the host", os.stat(a.path(f"/proc/{other.processes()[0]}")).st_uid,
                 100000)


scenery.run(apart, programs, container, wrong_answers, downloads, postgresql, everything,
            relays, machine)
