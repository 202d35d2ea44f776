#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The root file system of a container that moves."""

import hashlib
import os
import re
import socket
import stat
import struct
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
    # cp fails where a file goes while it copies: without those that the container writes.
    b.run(["cp", "-a", *(f"{container.root}/{name}" for name in os.listdir(container.root)
                         if name != "data"), "/run/copy"])
    wanted = "--rootfs sync"
    for directory in "copy", "empty":
        refused(container, b, wanted,
                receive_options=["--root-map", f"{container.root}=/run/{directory}"])
    refused(container, b, "--root-map",
            receive_options=["--root-map", f"{container.root}=/run/nothing"])
    counts_on(container, container.root)


def make_odd_files(top):
    """Files of all kinds, whose owners, modes, times, attributes and links must be carried."""
    os.makedirs(top + "/dir/empty")
    os.chmod(top + "/dir", 0o2750)

    def write(name, data, mode=0o644):
        with open(f"{top}/{name}", "wb") as file:
            file.write(data)
        os.chmod(f"{top}/{name}", mode)

    write("plain", b"plain\n" * 1000, 0o640)
    os.chown(top + "/plain", 33, 70)
    write("empty", b"")
    write("setuid", b"#!/bin/sh\n", 0o755)
    os.chown(top + "/setuid", 70, 70)
    os.chmod(top + "/setuid", 0o6755)
    write("capable", b"program", 0o755)
    # cap_net_raw, permitted and effective, capabilities(7)
    os.setxattr(top + "/capable", "security.capability",
                struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0))
    write("attributes", b"a")
    os.setxattr(top + "/attributes", "user.comment", b"\0binary\xff" * 20)
    os.setxattr(top + "/dir", "trusted.overlay.opaque", b"y")
    # user::rw- user:33:r-- group::r-- mask::r-- other::---, acl(5)
    entries = [(1, 6, -1), (2, 4, 33), (4, 4, -1), (16, 4, -1), (32, 0, -1)]
    os.setxattr(top + "/attributes", "system.posix_acl_access", struct.pack("<I", 2) + b"".join(
        struct.pack("<HHi", *entry) for entry in entries))
    os.link(top + "/plain", top + "/dir/another name")
    os.symlink("../nowhere\n", top + "/link")
    os.lchown(top + "/link", 1, 2)
    os.utime(top + "/link", ns=(1, 1234567890123456789), follow_symlinks=False)
    os.mknod(top + "/whiteout", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    os.mknod(top + "/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mkfifo(top + "/fifo", 0o622)
    os.link(top + "/fifo", top + "/fifo2")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(top + "/dir/s")
    with open(top + "/sparse", "wb") as file:
        file.truncate(64 << 20)
        for offset in 0, 300 << 10, 40 << 20:
            file.seek(offset)
            file.write(os.urandom(5000))
    write("large", os.urandom(3000001))
    write("old", b"old")
    os.utime(top + "/old", ns=(5, -1500000000))
    write("\xfc\udcff \t\n", b"odd name")
    os.utime(top + "/dir", ns=(3, 1111111111000000007))


def describe(top):
    """{path: all that can be seen of it} of a tree."""
    found, names = {}, {}
    for directory, directories, files in os.walk(top):
        for name in [".", *directories, *files]:
            path = os.path.normpath(os.path.join(directory, name))
            status = os.lstat(path)
            what = {key: getattr(status, "st_" + key)
                    for key in ("mode", "uid", "gid", "mtime_ns", "rdev")}
            what["attributes"] = {key: os.getxattr(path, key, follow_symlinks=False)
                                  for key in os.listxattr(path, follow_symlinks=False)}
            if stat.S_ISLNK(status.st_mode):
                what["target"] = os.readlink(path)
            if stat.S_ISREG(status.st_mode):
                what["size"] = status.st_size
                what["sparse"] = status.st_blocks * 512 < status.st_size / 2
                with open(path, "rb") as file:
                    what["hash"] = hashlib.file_digest(file, "md5").hexdigest()
            path = os.path.relpath(path, top)
            if not stat.S_ISDIR(status.st_mode):
                what["links"] = status.st_nlink
                what["first"] = names.setdefault(status.st_ino, path)
            found[path] = what
    for what in found.values():
        if "first" in what:
            what["first"] = min(path for path in found if found[path].get("first") == what["first"])
    return found


def same_tree(got, wanted):
    """Compares two trees."""
    got, wanted = describe(got), describe(wanted)
    same("names", sorted(got), sorted(wanted))
    for path in wanted:
        same(path, got[path], wanted[path])


def check_busy(top):
    """What the container writes fits together."""
    numbers = open(top + "/data/log").read().split()
    same("the log", numbers, [str(n + 1) for n in range(len(numbers))])
    for directory, _, files in os.walk(top + "/data"):
        for name in files:
            if name.startswith("file."):
                text = open(f"{directory}/{name}").read()
                if text not in (name[5:] + "\n", ""):
                    raise AssertionError(f"{directory}/{name}: {text!r}")


def sync(world):
    """A root file system is copied with everything that is in it while the container changes it,
    and back again."""
    a, b = world.host("a"), world.host("b")
    container = busy(world, a)
    make_odd_files(container.root + "/odd")
    bundle = os.path.dirname(container.root)
    b.run(["mount", "-t", "tmpfs", "none", bundle])
    there = b.path("/run/there/busy/rootfs")
    b.run(["mkdir", "/run/there"])
    report = scenery.migrate(container, b, ["--rootfs", "sync"],
                             ["--root-map", f"{world.scratch}=/run/there"])
    same_tree(there + "/odd", container.root + "/odd")
    same_tree(there + "/bin", container.root + "/bin")
    counts_on(container, there)
    same("what runc exec does", container.execute("cat", "/proc/1/comm"), "sh\n")
    container.execute("touch", "/only-there")
    container.execute("rm", "/odd/large")
    scenery.note(f"downtime {report['downtime_ns']['all'] / 1e6:.1f} ms")
    # What was left behind may be written over, by this container only.
    scenery.migrate(container, a, ["--rootfs", "sync", "--compress", "zstd", "--stop-and-copy"],
                    ["--root-map", f"/run/there={world.scratch}"])
    same_tree(container.root + "/odd", there + "/odd")
    counts_on(container, container.root)
    same("only-there", os.path.exists(container.root + "/only-there"), True)
    container.delete()
    check_busy(there)
    check_busy(container.root)


# Keeps a file mapped and writes to it, and has files of the root file system open, one of them
# deleted; every line of "told" says that all is well.
MAPPING = """
import mmap, os, time
with open("/data/mapped", "wb") as file:
    file.write(bytes(3 << 20))
file = open("/data/mapped", "r+b")
area = mmap.mmap(file.fileno(), 3 << 20)
kept = open("/data/kept", "w+")
gone = open("/data/gone", "w+")
gone.write("gone")
gone.flush()
os.unlink("/data/gone")
reader = open("/etc/passwd")
count = 0
while True:
    count += 1
    where = count % 700 * 4096
    assert area[where:where + 4] == max(count - 700, 0).to_bytes(4, "little"), count
    area[where:where + 4] = count.to_bytes(4, "little")
    kept.seek(0)
    kept.write(str(count))
    kept.flush()
    gone.seek(0)
    assert gone.read() == "gone"
    assert os.pread(reader.fileno(), 4, 0) == b"root"
    if count % 5 == 0:
        os.rename("/data/tree", "/data/other")
        os.rename("/data/other", "/data/tree")
    with open("/data/told", "w") as told:
        told.write(str(count))
    time.sleep(0.002)
"""


def mapped(world):
    """Files that are open, mapped and written to, or deleted, are right on the other side; a
    directory that is renamed is not sent again."""
    a, b = world.host("a"), world.host("b")
    root = containers.make_rootfs(f"{world.scratch}/mapping/rootfs", [hosts.PYTHON])
    with open(root + "/program.py", "w") as file:
        file.write(MAPPING)
    os.makedirs(root + "/data/tree/below")
    with open(root + "/data/tree/below/large", "wb") as file:
        file.write(os.urandom(20 << 20))
    containers.make_bundle(f"{world.scratch}/mapping", root, [hosts.PYTHON, "/program.py"], "mapping")
    container = containers.Container(a, "mapping", f"{world.scratch}/mapping").start()
    hosts.wait_for(lambda: os.path.exists(root + "/data/told"), "it does nothing")
    b.run(["mkdir", "/run/there"])
    there = b.path("/run/there/mapping/rootfs")
    report = scenery.migrate(container, b, ["--rootfs", "sync"],
                             ["--root-map", f"{world.scratch}=/run/there"])
    before = int(open(root + "/data/told").read() or 0)
    hosts.wait_for(lambda: int(open(there + "/data/told").read() or 0) > before + 1000,
                   "it does not go on")
    same_tree(there + "/usr", root + "/usr")
    same_tree(there + "/data/tree/below", root + "/data/tree/below")
    scenery.note(f"downtime {report['downtime_ns']['all'] / 1e6:.1f} ms")


def refusals(world):
    """Files of somebody else are not touched, and a migration that breaks leaves what the next
    one may write over."""
    a, b = world.host("a"), world.host("b")
    container = busy(world, a)
    b.run(["mkdir", "-p", "/run/there/busy/rootfs/mine"])
    options = ["--rootfs", "sync"]
    receiving = ["--root-map", f"{world.scratch}=/run/there"]
    refused(container, b, "it is not empty", options, receiving)
    same("files of somebody else", os.listdir(b.path("/run/there/busy/rootfs")), ["mine"])
    refused(container, b, "No such file or directory", options,
            ["--root-map", f"{world.scratch}=/run/nothing"])
    b.run(["rmdir", "/run/there/busy/rootfs/mine"])
    b.run(["mkdir", "/run/astray"])
    b.run(["ln", "-s", "/run", "/run/astray/busy"])
    refused(container, b, "for the root file system: Not a directory", options,
            ["--root-map", f"{world.scratch}=/run/astray"])
    for point in "migrate-sealed", "held", "nearly":
        migration = scenery.Migration(container, b, options, receiving, CRIU_LITE_FAULT=point)
        same("exit code with a fault", migration.sender.wait(), 1)
        migration.receiver_code()
        same("status", container.status(), "running")
        counts_on(container, container.root)
        same("what was copied stays", os.path.exists(b.path("/run/there/busy/rootfs/busy")), True)
    scenery.migrate(container, b, options, receiving)
    counts_on(container, b.path("/run/there/busy/rootfs"))


def volume(world):
    """Other files of the host that the container has mounted must be the same, too, wherever they
    are, also when the root file system is copied."""
    a, b = world.host("a"), world.host("b")
    os.mkdir(world.scratch + "/volume")
    with open(world.scratch + "/volume/file", "w") as file:
        file.write("of the volume")
    b.run(["mkdir", "/run/elsewhere", "/run/there"])
    b.run(["mount", "--bind", world.scratch + "/volume", "/run/elsewhere"])
    b.run(["mount", "-t", "tmpfs", "none", world.scratch + "/volume"])
    container = busy(world, a, change=lambda config: config["mounts"].append(
        {"destination": "/volume", "type": "bind", "source": world.scratch + "/volume",
         "options": ["bind"]}))
    copying = ["--root-map", f"{world.scratch}=/run/there"]
    refused(container, b, "mnt[/volume]=", ["--rootfs", "sync"], copying)
    refused(container, b, "mnt[/volume]=")
    scenery.migrate(container, b, ["--rootfs", "sync"],
                    [*copying, "--external", "mnt[/volume]=/run/elsewhere"])
    same("the volume", container.execute("cat", "/volume/file"), "of the volume")


scenery.run(shared, other_files, sync, mapped, refusals, volume)
