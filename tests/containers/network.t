#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# test: kinds=net-links
"""The network of containers."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../hosts"))
import scenery
from scenery import harness
import containers
import hosts

SLEEPER = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done </dev/null >/dev/null 2>&1"
SETUP = """
    link add in0 type bridge
    link set in0 up
    link add p0 type veth peer name p1
    link set p0 master in0 up
    link set p1 up
    address add 192.0.2.1/24 dev p1
    route add default via %s
    route add 10.88.0.0/16 via %s metric 7 table 88
    rule add from 192.0.2.0/24 table 88 prio 99
    neighbour add %s lladdr 02:00:00:00:00:50 dev eth0 nud permanent
"""
LOOK = """ip addr | sed 's/@if[0-9]*//; /valid_lft/d; s/ state [A-Z]*//'; ip -4 route show table all
    ip -6 route show table all | sort; ip rule; ip -6 rule; ip neigh show nud permanent
    nft list ruleset; cat /proc/sys/net/ipv4/ip_local_port_range"""
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], 9), 3)"
FILTER = """table inet t {
    set s { type inet_service; elements = { 22, 80 } }
    chain c { type filter hook input priority 0; tcp dport @s counter packets 3 bytes 4 accept; }
}
"""


def inside(container, *argv, **how):
    """Runs a program of the machine in the container's network."""
    return container.host.run(["nsenter", "-t", container.state()["pid"], "-n", *argv], **how)


def sleeper(world, host):
    rootfs, bundle = f"{world.scratch}/rootfs", f"{world.scratch}/bundle"
    containers.make_rootfs(rootfs)
    containers.make_bundle(bundle, rootfs, ["sh", "-c", SLEEPER], "sleeper")
    return containers.Container(host, "sleeper", bundle).start()


def comes_back(world):
    """A container has its links, addresses, routes, rules and packet filter after a restore"""
    container = sleeper(world, world.host("a"))
    gateway, friend, other = container.host.address4, f"{hosts.NET4}.9", f"{hosts.NET4}.50"
    inside(container, "ip", "-batch", "-", input=SETUP % (gateway, friend, other))
    inside(container, "nft", "-f", "-", input=FILTER)
    inside(container, "sh", "-c", "echo 20000 20009 >/proc/sys/net/ipv4/ip_local_port_range")
    hosts.wait_for(lambda: not inside(container, "ip", "addr", "show", "tentative"),
                   "addresses stay tentative")
    before = inside(container, "sh", "-c", LOOK)
    port = container.host.run(["ip", "-d", "link", "show", container.veth])
    image = f"{world.scratch}/image"
    scenery.checkpoint(container, image)
    scenery.restore(container, image)
    scenery.same("network", inside(container, "sh", "-c", LOOK), before)
    now = container.host.run(["ip", "-d", "link", "show", container.veth])
    scenery.contains("the machine's end", now, "master br0")
    scenery.same("its address", now.split("link/ether ")[1].split()[0],
                 port.split("link/ether ")[1].split()[0])
    code, text = container.host.run([hosts.PYTHON, "-c", CONNECT, container.address4], check=False)
    scenery.contains("it answers", text, "ConnectionRefusedError")
    container.delete()


def unknown_link(world):
    """A link of a kind that cannot be saved is named before anything is touched"""
    container = sleeper(world, world.host("a"))
    inside(container, "ip", "link", "add", "tunnel9", "type", "vxlan", "id", "9", "dstport", "4789")
    code, text = container.host.run(
        [harness.CRIU_LITE, "checkpoint", "--container", "runc:sleeper", "-o",
         f"{world.scratch}/image"], check=False)
    scenery.same("exit code", code, 3)
    scenery.contains("the reason", text, "network link tunnel9")
    scenery.contains("the reason", text, 'links of kind "vxlan" cannot be saved')
    scenery.same("status", container.status(), "running")
    container.delete()


scenery.run(comes_back, unknown_link)
