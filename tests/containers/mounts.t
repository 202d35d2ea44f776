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


scenery.run(image)
