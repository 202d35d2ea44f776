#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# test: kinds=mounts,tmpfs,tmpfs-file
"""The mounts of containers, with what their tmpfs hold."""

import json
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../hosts"))
import scenery
from scenery import harness
import containers
import hosts

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


FILES = "cd {0}; find . -xdev ! -name pts ! -name mqueue | sort | while read -r name; do " \
    "stat -c '%n %F %a %u %g %h %s %t:%T %Y' \"$name\"; test -L \"$name\" && readlink \"$name\"; " \
    "test -f \"$name\" && sha256sum \"$name\"; done; true"


def files(container, directory):
    return container.execute("/bin/busybox", "sh", "-c", FILES.format(directory))


def frozen(container):
    """What the freezers of its cgroup say."""
    files = [f"{cgroup['mount']}/{container.identity}/{name}" for cgroup in container.host.cgroups
             for name in ("cgroup.freeze", "freezer.state")]
    texts = [harness.read_text(container.host.path(file)) for file in files]
    return [text.strip() for text in texts if text]


def again(world):
    """A restored container has the same mounts and the same in its tmpfs"""
    container = sleeper(world, world.host("a"))
    before = [looks(container), files(container, "/dev"), files(container, "/dev/shm")]
    thawed = frozen(container)
    scenery.checkpoint(container, f"{world.scratch}/image")
    scenery.same("freezers", frozen(container), thawed)
    scenery.restore(container, f"{world.scratch}/image")
    scenery.same("mounts", looks(container), before[0])
    scenery.same("/dev", files(container, "/dev"), before[1])
    scenery.same("/dev/shm", files(container, "/dev/shm"), before[2])
    container.delete()


def volumes(world):
    """Mounts from the host: directories, a file, a tmpfs; somewhere else with --external"""
    names = "data", "other", "moved"
    for name in names:
        os.mkdir(f"{world.scratch}/{name}")
        with open(f"{world.scratch}/{name}/file", "w") as file:
            file.write(name)

    def change(config):
        config["mounts"] += [
            {"destination": "/data", "type": "bind", "source": f"{world.scratch}/data",
             "options": ["rbind", "ro", "nosuid"]},
            {"destination": "/data/file", "type": "bind", "source": f"{world.scratch}/other/file",
             "options": ["bind"]},
            {"destination": "/other", "type": "bind", "source": f"{world.scratch}/other",
             "options": ["rbind", "rslave", "noexec"]}]

    container = sleeper(world, world.host("a"), change)
    before = looks(container)
    scenery.checkpoint(container, f"{world.scratch}/image")
    os.rename(f"{world.scratch}/other", f"{world.scratch}/away")
    code, text = container.host.run([harness.CRIU_LITE, "restore", f"{world.scratch}/image",
                                     "--detach"], check=False)
    scenery.same(text, code, 3)
    scenery.contains("blocked", text, f"{world.scratch}/other")
    scenery.contains("remedy", text, "--external 'mnt[/data/file]=PATH'")
    scenery.restore(container, f"{world.scratch}/image",
                    "--external", f"mnt[/other]={world.scratch}/moved",
                    "--external", f"mnt[/data/file]={world.scratch}/moved/file")
    scenery.same("file", container.execute("cat", "/data/file", "/other/file"), "movedmoved")
    scenery.same("as many mounts", len(looks(container)), len(before))
    code, text = container.execute("sh", "-c", "echo >/data/new", check=False)
    scenery.same("read-only", code != 0, True)
    container.delete()


def uses(world):
    """A program goes on with files of a tmpfs that it has open, mapped, deleted, or runs from"""
    a, rootfs, bundle = world.host("a"), f"{world.scratch}/rootfs", f"{world.scratch}/bundle"
    program = harness.BUILD + "/tests/programs/tmpfs_user"
    containers.make_rootfs(rootfs, [program])
    os.rename(rootfs + program, rootfs + "/bin/tmpfs_user")

    def change(config):
        config["mounts"].append({"destination": "/own", "type": "tmpfs", "source": "tmpfs",
                                 "options": ["nosuid", "size=1g"]})

    containers.make_bundle(bundle, rootfs, ["sh", "-c", "exec tmpfs_user /own </dev/null "
                                            ">/dev/null 2>&1"], "files", change)
    container = containers.Container(a, "files", bundle).start()

    def verdict():
        return container.execute("sh", "-c", "cat /own/verdict", check=False)[1]

    hosts.wait_for(lambda: verdict() == "ready", verdict)
    for options in (), ("--pre-copy",), ():
        before = looks(container)
        scenery.checkpoint(container, f"{world.scratch}/image", *options)
        scenery.restore(container, f"{world.scratch}/image")
        scenery.same("mounts", looks(container), before)
        os.unlink(f"{world.scratch}/image")
    container.execute("touch", "/own/check")
    hosts.wait_for(lambda: verdict() != "ready", "no verdict")
    scenery.same("verdict", verdict(), "good")
    container.delete()


CHURN = "cd /dev/shm; mkdir d; n=0; while :; do n=$((n+1)); echo $n >new; mv new last; " \
    "mkdir d/$n; echo $n >d/$n/file; ln d/$n/file d/$n/link; rm -rf d/$((n-20)); " \
    "dd if=/dev/urandom of=large bs=64k count=2 2>/dev/null; sha256sum <large >sum; " \
    "echo $n >done; done </dev/null >/dev/null 2>&1"


def rounds(world):
    """Files of a tmpfs come, go and change between the rounds of a pre-copy"""
    a, rootfs, bundle = world.host("a"), f"{world.scratch}/rootfs", f"{world.scratch}/bundle"
    containers.make_rootfs(rootfs)
    os.symlink("busybox", rootfs + "/bin/mv")
    containers.make_bundle(bundle, rootfs, ["sh", "-c", CHURN], "rounds")
    container = containers.Container(a, "rounds", bundle).start()

    def number():
        words = []
        while not words:	# it may just be written
            words = container.execute("sh", "-c", "cat /dev/shm/done || echo 0").split()
        return int(words[-1])

    for _ in range(3):
        before = number()
        hosts.wait_for(lambda: number() > before + 20, "it does not move")
        scenery.checkpoint(container, f"{world.scratch}/image", "--pre-copy", "--max-rounds", "4",
                           "--max-downtime", "1")
        # Frozen between two commands of the shell, or within one: what is complete is checked.
        scenery.restore(container, f"{world.scratch}/image")
        os.unlink(f"{world.scratch}/image")
    before = number()
    hosts.wait_for(lambda: number() > before + 20, "it does not move any more")
    container.runc("pause", container.identity)
    shm = a.path(f"/proc/{container.state()['pid']}/root/dev/shm")
    for name in os.listdir(shm + "/d"):
        texts = [harness.read_text(f"{shm}/d/{name}/{which}") for which in ("file", "link")]
        scenery.same(f"texts of {name}", texts[0] in (None, "", name + "\n"), True)
        scenery.same(f"link of {name}", texts[1] in (None, name + "\n"), True)
    scenery.same("directories", 18 <= len(os.listdir(shm + "/d")) <= 22, True)
    container.runc("resume", container.identity)
    container.delete()


def console(world):
    """A terminal on /dev/console, which its owner outside has taken away, is left out"""
    a, rootfs, bundle = world.host("a"), f"{world.scratch}/rootfs", f"{world.scratch}/bundle"
    path = f"{world.scratch}/console"
    containers.make_rootfs(rootfs)
    containers.make_bundle(bundle, rootfs, ["sh", "-c", "while :; do sleep 1; done"], "console",
                           lambda config: config["process"].update(terminal=True))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        a.run(["runc", "run", "--detach", "--console-socket", path, "--bundle", bundle, "console"])
        connection = server.accept()[0]
        master = socket.recv_fds(connection, 100, 1)[1][0]
        connection.close()
    container = containers.Container(a, "console", bundle)
    before = looks(container)
    scenery.checkpoint(container, f"{world.scratch}/image")
    os.close(master)
    scenery.restore(container, f"{world.scratch}/image", "--stdio", "null")
    scenery.same("mounts", looks(container), [line for line in before if line[2] != "/dev/console"
                                              and "/dev/console" not in line])
    scenery.same("standard input", os.readlink(a.path(f"/proc/{container.state()['pid']}/fd/0")),
                 "/dev/null")
    container.delete()


scenery.run(image, again, volumes, uses, rounds, console)
