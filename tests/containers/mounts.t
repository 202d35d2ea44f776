#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# test: kinds=mounts,tmpfs,tmpfs-file
"""The mounts of containers, with what their tmpfs hold."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../hosts"))
import scenery
from scenery import harness
import containers

SLEEPER = "mkdir /dev/shm/d; echo content >/dev/shm/d/file; ln /dev/shm/d/file /dev/shm/name; " \
    "exec sleep 1000 </dev/null >/dev/null 2>&1"


def sleeper(world, host, change=None):
    """A container that only sleeps, as `runc spec` describes it."""
    rootfs, bundle = f"{world.scratch}/rootfs", f"{world.scratch}/bundle"
    containers.make_rootfs(rootfs)
    containers.make_bundle(bundle, rootfs, ["sh", "-c", SLEEPER], "sleeper", change)
    container = containers.Container(host, "sleeper", bundle).start()
    container.execute("sh", "-c", "until test -e /dev/shm/name; do sleep 0.01; done")
    return container


def mount_points(container):
    text = harness.read_text(container.host.path(f"/proc/{container.state()['pid']}/mountinfo"))
    return sorted(line.split()[4] for line in text.splitlines())


def image(world):
    """An image has all mounts of a container and the contents of its tmpfs"""
    container = sleeper(world, world.host("a"))
    path = f"{world.scratch}/image"
    container.host.run([harness.CRIU_LITE, "checkpoint", "-t", container.state()["pid"], "-o", path,
                        "--leave-running"])
    records = json.loads(container.host.run([harness.CRIU_LITE, "inspect", "--json", path]))
    messages = [(record.get("name"), record.get("message")) for record in records["records"]]
    mounts = dict(messages)["mounts"]
    scenery.same("mount points", sorted(one["path"] for one in mounts["mounts"]),
                 mount_points(container))
    scenery.same("root", [one.get("host_path") for one in mounts["mounts"]][0],
                 f"{world.scratch}/rootfs")
    shm = [number for number, one in enumerate(mounts["file_systems"]) if one["source"] == "shm"][0]
    entries = [message for name, message in messages
               if name == "tmpfs" and message["file_system"] == shm][0]["entries"]
    names = {entry.get("name"): number for number, entry in enumerate(entries)}
    scenery.same("names", sorted(name or "" for name in names), ["", "d", "file", "name"])
    scenery.same("one file, two names", [entry.get("link") for entry in entries
                                         if "link" in entry],
                 [min(names["file"], names["name"])])
    container.delete()


def looks(container):
    """What mountinfo says, without numbers that are new each time."""
    text = harness.read_text(container.host.path(f"/proc/{container.state()['pid']}/mountinfo"))
    lines = [line.split() for line in text.splitlines()]
    points = {words[0]: words[4] for words in lines}
    return [(points.get(words[1]), *words[3:6], *words[words.index("-") + 1:]) for words in lines]


FILES = "cd {0}; find . -xdev | sort | while read -r name; do " \
    "stat -c '%n %F %a %u %g %h %s %t:%T %Y' \"$name\"; test -L \"$name\" && readlink \"$name\"; " \
    "test -f \"$name\" && sha256sum \"$name\"; done; true"


def files(container, directory):
    return container.execute("/bin/busybox", "sh", "-c", FILES.format(directory))


def again(world):
    """A restored container has the same mounts and the same in its tmpfs"""
    container = sleeper(world, world.host("a"))
    before = [looks(container), files(container, "/dev"), files(container, "/dev/shm")]
    scenery.checkpoint(container, f"{world.scratch}/image")
    scenery.restore(container, f"{world.scratch}/image")
    scenery.same("mounts", looks(container), before[0])
    scenery.same("/dev", files(container, "/dev"), before[1])
    scenery.same("/dev/shm", files(container, "/dev/shm"), before[2])
    container.delete()


scenery.run(image, again)
