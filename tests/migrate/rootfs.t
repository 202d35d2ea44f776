#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The root file system of a container that moves."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../hosts"))
import scenery
import containers
import hosts
from scenery import same, contains

# Writes, renames, deletes and makes files without pause.
BUSY = """
n=0
while :; do
    n=$((n + 1))
    echo $n >>/data/log
    echo $n >/data/new.tmp
    mv /data/new.tmp /data/now
    mkdir -p /data/dir.$((n % 7))
    echo $n >/data/dir.$((n % 7))/file.$n
    test $((n % 5)) = 0 && rm -r /data/dir.$(((n / 5) % 7))
    echo "$n" >/data/count
done
"""


def busy(world, host, identity="busy", change=None):
    """A container that does that."""
    root = containers.make_rootfs(f"{world.scratch}/{identity}/rootfs")
    with open(root + "/busy", "w") as file:
        file.write(BUSY)
    for applet in "mv", "expr":
        os.symlink("busybox", f"{root}/bin/{applet}")
    bundle = f"{world.scratch}/{identity}"
    containers.make_bundle(bundle, root, ["sh", "/busy"], identity, change)
    container = containers.Container(host, identity, bundle).start()
    container.root = root
    hosts.wait_for(lambda: os.path.exists(root + "/data/count"), "it does nothing")
    return container


def counts_on(container, root):
    before = int(open(root + "/data/log").read().split()[-1])
    hosts.wait_for(lambda: int(open(root + "/data/log").read().split()[-1]) > before,
                   "it does not go on")


def refused(container, to, wanted, options=(), receive_options=()):
    """The migration must end before anything stops."""
    migration = scenery.Migration(container, to, options, receive_options)
    same("exit code of migrate", migration.sender.wait(), 3)
    migration.receiver_code()
    contains("what migrate says", migration.text(2), wanted)
    same("status", container.status(), "running")


def shared(world):
    """A root file system that both hosts see is found to be the same, also elsewhere."""
    a, b = world.host("a"), world.host("b")
    container = busy(world, a)
    scenery.migrate(container, b)
    counts_on(container, container.root)
    a.run(["mkdir", "/run/elsewhere"])
    a.run(["mount", "--bind", container.root, "/run/elsewhere"])
    a.run(["mount", "-t", "tmpfs", "none", container.root])
    scenery.migrate(container, a,
                    receive_options=["--root-map", f"{container.root}=/run/elsewhere"])
    counts_on(container, container.root)
    same("what runc exec does", container.execute("cat", "/proc/1/comm"), "sh\n")


def other_files(world):
    """Where the root file system is a copy, or is not there, the migration is refused before
    anything stops."""
    a, b = world.host("a"), world.host("b")
    container = busy(world, a)
    b.run(["mkdir", "/run/copy", "/run/empty"])
    b.run(["cp", "-a", container.root + "/.", "/run/copy"])
    wanted = "--rootfs sync"
    for directory in "copy", "empty":
        refused(container, b, wanted,
                receive_options=["--root-map", f"{container.root}=/run/{directory}"])
    refused(container, b, "--root-map",
            receive_options=["--root-map", f"{container.root}=/run/nothing"])
    counts_on(container, container.root)


scenery.run(shared, other_files)
