#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts on one machine: `with hosts.World() as world: a = world.host("a")`.

A host has namespaces of its own (network, mounts, pids, uts, ipc, cgroups), its own /proc, /sys,
/run and /var/lib, and below /sys/fs/cgroup, in every hierarchy, nothing but its own groups. What
else there is of the file system it shares with the machine. All hosts of a world are on one
Ethernet switch, each by a bridge br0 on which the veths of its containers are ports, too. The
machine's own network is not touched.

A world ends with the process that made it. Process 1 of a host starts programs on request
(host_init.py).

As a program: hosts.py [--hosts N] [COMMAND…] makes a world of N hosts (2 unless told), and runs
the command (a shell) on the first. There $HOST_B, … are the addresses of the others."""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import harness

PYTHON = "/usr/bin/python3"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NET4, NET6 = "10.77.0", "fd77:"
PATIENCE_SECONDS = 60
CGROUP_PREFIX = "criu-lite-hosts-"


def wait_for(condition, complaint, seconds=PATIENCE_SECONDS):
    deadline = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > deadline:
            raise AssertionError(complaint() if callable(complaint) else complaint)
        time.sleep(0.01)


class CommandFailed(Exception):
    pass


class Process:
    """A program that runs on a host. pid is its number there."""

    def __init__(self, host, argv, link):
        self.host, self.argv, self.status = host, argv, None
        self.link, self.told = link, b""
        self.pid = int(self.hear(b"pid ", time.monotonic() + PATIENCE_SECONDS))

    def hear(self, what, deadline):
        """The number that the host says next, or None when it does not until the deadline."""
        while b"\n" not in self.told:
            self.link.settimeout(max(deadline - time.monotonic(), 0.0001))
            try:
                got = self.link.recv(64)
            except TimeoutError:
                return None
            if not got:
                raise CommandFailed(f"{self.host.name} has ended")
            self.told += got
        line, _, self.told = self.told.partition(b"\n")
        assert line.startswith(what), line
        return line[len(what):]

    def wait(self, seconds=PATIENCE_SECONDS):
        """The exit code, as of subprocess."""
        if self.status is None:
            status = self.hear(b"status ", time.monotonic() + seconds)
            if status is None:
                raise TimeoutError(f"on {self.host.name}: {' '.join(self.argv)}: "
                                   f"does not end within {seconds} s")
            self.status = os.waitstatus_to_exitcode(int(status))
            self.link.close()
        return self.status

    def poll(self):
        try:
            return self.wait(0)
        except TimeoutError:
            return None

    def kill(self, number=signal.SIGKILL):
        if self.poll() is None:
            self.link.settimeout(None)
            self.link.sendall(bytes([number]))


class Host:
    """Made by World.host()."""

    def __init__(self, world, name, number, cgroups):
        self.world, self.name, self.number = world, name, number
        self.address4, self.address6 = f"{NET4}.{number}", f"{NET6}:{number}"
        self.cgroups = cgroups
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.starter = subprocess.Popen(
            [PYTHON, HERE + "/host_init.py", name, str(theirs.fileno())],
            pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True)
        theirs.close()
        self.control.sendall(json.dumps(cgroups).encode())
        self.pid = int(self.expect(b"init"))        # of its process 1, as this process sees it
        self.expect(b"ready")

    def expect(self, word):
        got = self.control.recv(64)
        if not got.startswith(word):
            raise CommandFailed(f"host {self.name} does not come up")
        return got[len(word):]

    def start(self, argv, stdin=None, stdout=None, stderr=None, directory="/", **environment):
        """Starts a program in a session of its own; unnamed descriptors are /dev/null."""
        ours, theirs = socket.socketpair()
        null = os.open("/dev/null", os.O_RDWR)
        descriptors = [null if stream is None else stream if isinstance(stream, int) else
                       stream.fileno() for stream in (stdin, stdout, stderr)]
        request = {"argv": [str(word) for word in argv], "directory": directory,
                   "env": {"PATH": PATH, "LC_ALL": "C", **environment}}
        socket.send_fds(self.control, [json.dumps(request).encode()],
                        [*descriptors, theirs.fileno()])
        theirs.close()
        os.close(null)
        return Process(self, request["argv"], ours)

    def run(self, argv, input=None, check=True, seconds=PATIENCE_SECONDS, **how):
        """Runs a program to its end. Returns (exit code, all that it has written); with check,
        raises CommandFailed when it fails, and returns only the text."""
        with tempfile.TemporaryFile() as written, tempfile.TemporaryFile() as given:
            given.write((input or "").encode())
            given.seek(0)
            how.setdefault("stdin", given)
            process = self.start(argv, stdout=written, stderr=written, **how)
            try:
                code = process.wait(seconds)
            except TimeoutError:
                process.kill()
                raise
            written.seek(0)
            text = written.read().decode(errors="replace")
        if not check:
            return code, text
        if code:
            raise CommandFailed(f"on {self.name}: {process.argv}: exit code {code}\n{text}")
        return text

    def ip(self, *lines):
        """Commands of ip(8)."""
        self.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n")

    def reaches(self, address, port):
        """Whether a program here can connect to a TCP port."""
        connecting = f"import socket; socket.create_connection(('{address}', {port}), 2)"
        return self.run([PYTHON, "-c", connecting], check=False)[0] == 0

    def path(self, name):
        """Where this process finds a file of the host."""
        return f"/proc/{self.pid}/root{name}"

    def cut(self, down=True):
        """Pulls the cable between host and switch out, or puts it in again."""
        self.world.switch.ip(f"link set dev {self.name} {'down' if down else 'up'}")

    def processes(self):
        """The pids of all processes here but process 1, as this process sees them."""
        return harness.tree(self.pid)[1:]

    def stop(self):
        """Like a power cut."""
        if self.starter.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

        def ended():
            for cgroup in self.cgroups:
                thaw(cgroup["directory"])
            return self.starter.poll() is not None
        wait_for(ended, f"host {self.name} does not end")
        self.control.close()


def cgroup_mounts():
    """The hierarchies of the machine: [{type, mount, options, directory}]. The directory is the
    group of this process."""
    own = {}
    for line in open("/proc/self/cgroup"):
        number, controllers, path = line.rstrip("\n").split(":", 2)
        own[controllers] = path
    found = []
    for line in open("/proc/self/mountinfo"):
        words, _, rest = line.partition(" - ")
        root, mount = words.split()[3:5]
        kind, _, options = rest.split()
        if kind not in ("cgroup", "cgroup2"):
            continue
        others = ("rw", "ro", "xattr", "clone_children", "release_agent")
        controllers = "" if kind == "cgroup2" else ",".join(
            word for word in options.split(",") if not word.startswith(others))
        if controllers not in own:
            continue
        below = os.path.relpath(own[controllers], root)
        directory = os.path.normpath(os.path.join(mount, below))
        named = controllers.startswith("name=")
        found.append({"type": kind, "mount": mount, "directory": directory,
                      "options": ("none," if named else "") + controllers})
    return found


def thaw(directory):
    """Who was killed while it was frozen ends once it is thawed."""
    for root, _, files in os.walk(directory):
        for name, word in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            if name in files:
                with contextlib.suppress(OSError), open(f"{root}/{name}", "w") as file:
                    file.write(word)


def remove_cgroup(directory, seconds=20):
    """Removes a group and those below it; what has just died may need a moment."""
    for root, directories, _ in os.walk(directory, topdown=False):
        def gone():
            try:
                os.rmdir(root)
            except FileNotFoundError:
                pass
            except OSError:
                return False
            return True
        wait_for(gone, f"{root} cannot be removed", seconds)


def remove_stale_cgroups(directory):
    """Those of worlds whose process was killed."""
    for name in os.listdir(directory):
        if name.startswith(CGROUP_PREFIX) and not os.path.exists(
                "/proc/" + name[len(CGROUP_PREFIX):].split("-")[0]):
            stale = os.path.join(directory, name)
            thaw(stale)
            with contextlib.suppress(AssertionError):
                remove_cgroup(stale, 1)


class World:
    """A switch and its hosts. Needs root, and a process that is a subreaper (tests/reaper) so that
    nothing outlives it."""

    def __init__(self):
        self.hosts, self.made = [], []
        self.scratch = tempfile.mkdtemp(prefix="criu-lite-hosts-")
        os.chmod(self.scratch, 0o755)
        self.hierarchies = cgroup_mounts()
        for hierarchy in self.hierarchies:
            remove_stale_cgroups(hierarchy["directory"])
        try:
            self.switch = Host(self, "switch", 254, [])
            self.switch.ip("link add switch address 02:77:00:00:00:fe type bridge",
                           "link set switch up")
        except BaseException:
            self.end()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.end()

    def make_cgroups(self, name):
        """A group for a host in each hierarchy."""
        made = []
        for hierarchy in self.hierarchies:
            directory = f"{hierarchy['directory']}/{CGROUP_PREFIX}{os.getpid()}-{name}"
            os.mkdir(directory)
            self.made.append(directory)
            for file in "cpuset.cpus", "cpuset.mems":
                wanted = harness.read_text(f"{hierarchy['directory']}/{file}")
                if wanted and wanted.strip() and hierarchy["type"] == "cgroup":
                    with open(f"{directory}/{file}", "w") as output:
                        output.write(wanted)
            made.append({**hierarchy, "directory": directory})
        return made

    def host(self, name):
        """A new host on the switch. The name is one word of some letters."""
        number = len(self.hosts) + 1
        host = Host(self, name, number, self.make_cgroups(name))
        self.hosts.append(host)
        with open(f"/proc/{host.pid}/ns/net") as network:
            self.switch.run(["ip", "link", "add", "name", name, "master", "switch", "up", "type",
                             "veth", "peer", "name", "eth0", "netns", "/proc/self/fd/0"],
                            stdin=network)
        host.ip(f"link add br0 address 02:77:00:00:00:{number:02x} type bridge",
                "link set eth0 master br0 up", "link set br0 up",
                f"address add {host.address4}/24 dev br0",
                f"address add {host.address6}/64 dev br0 nodad")
        return host

    def end(self):
        for host in [*self.hosts, *([self.switch] if hasattr(self, "switch") else [])]:
            host.stop()
        for directory in self.made:
            remove_cgroup(directory)
        self.made = []
        shutil.rmtree(self.scratch, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    harness.become_subreaper()
    with World() as world:
        hosts = [world.host(chr(ord("a") + n)) for n in range(arguments.hosts)]
        environment = {"HOST_" + host.name.upper(): host.address4 for host in hosts}
        for host in hosts:
            print(f"host {host.name}, {host.address4}: nsenter -a -t {host.pid}", file=sys.stderr)
        process = hosts[0].start(arguments.command or ["/bin/bash"], 0, 1, 2,
                                 directory=os.getcwd(), **environment)
        code = process.wait(1e9)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
