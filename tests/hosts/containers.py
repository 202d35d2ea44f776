# SPDX-License-Identifier: GPL-2.0-or-later
"""Containers by runc on the hosts of a world (hosts.py): root file systems made of programs of this
machine, bundles, and the container's cable to the bridge of its host."""

import json
import os
import re
import shutil
import subprocess

import harness
import hosts

OWN_NAMESPACES = ("pid", "mount", "network", "uts", "ipc", "cgroup")
APPLETS = ("sh", "ls", "cat", "ps", "sleep", "id", "ip", "mount", "kill", "touch", "head", "hostname",
           "wc", "test", "true", "mkdir", "rm", "sha256sum", "env", "grep", "nc", "ln", "chown", "dd")
PASSWD = """root:x:0:0:root:/root:/bin/sh
www-data:x:33:33:www-data:/var/www:/bin/sh
postgres:x:70:70:postgres:/data:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/sh
"""
GROUP = "root:x:0:\ntty:x:5:\nwww-data:x:33:\npostgres:x:70:\nnogroup:x:65534:\n"


def libraries(program):
    """The paths of all shared libraries of a program, its loader included."""
    shown = subprocess.run(["ldd", program], capture_output=True, text=True)
    return re.findall(r"(?:=> |^\s*)(/\S+)", shown.stdout, re.MULTILINE)


def copy_file(path, root):
    """A file with all that it links to, at the same place below root."""
    target = root + path
    if os.path.exists(target):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copy2(os.path.realpath(path), target)


def copy_python(root):
    """The interpreter's library, without what no test imports."""
    command = "import sysconfig; print(sysconfig.get_path('stdlib'))"
    library = subprocess.run([hosts.PYTHON, "-c", command], capture_output=True, text=True,
                             check=True).stdout.strip()
    shutil.copytree(library, root + library, symlinks=True, ignore=shutil.ignore_patterns(
        "__pycache__", "test", "tests", "idlelib", "tkinter", "ensurepip", "lib2to3", "distutils",
        "config-*", "dist-packages", "site-packages", "pydoc_data", "unittest", "LICENSE.txt"))
    for name in os.listdir(root + library + "/lib-dynload"):
        for path in libraries(f"{library}/lib-dynload/{name}"):
            copy_file(path, root)


def make_rootfs(root, programs=(), files=(), directories=()):
    """Makes a root file system: busybox, the programs (names or paths) with their libraries, and
    files and directories of this machine."""
    for directory in ("bin", "dev", "etc", "proc", "sys", "tmp", "root", "run", "data", "var/log"):
        os.makedirs(f"{root}/{directory}")
    os.chmod(f"{root}/tmp", 0o1777)
    os.chmod(f"{root}/data", 0o1777)
    shutil.copy2(shutil.which("busybox"), f"{root}/bin/busybox")
    for applet in APPLETS:
        os.symlink("busybox", f"{root}/bin/{applet}")
    for name, text in (("passwd", PASSWD), ("group", GROUP), ("hosts", "127.0.0.1 localhost\n")):
        with open(f"{root}/etc/{name}", "w") as file:
            file.write(text)
    for program in programs:
        path = shutil.which(program, path=hosts.PATH)
        if not path:
            raise FileNotFoundError(program)
        copy_file(path, root)
        for library in libraries(path):
            copy_file(library, root)
        if path == hosts.PYTHON:
            copy_python(root)
    for path in files:
        copy_file(path, root)
        for library in libraries(path):
            copy_file(library, root)
    for path in directories:
        shutil.copytree(path, root + path, symlinks=True, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns("bitcode", "man"))
    return root


def make_bundle(bundle, rootfs, argv, identity, change=None):
    """Writes config.json: what `runc spec` has, with no terminal and a writable root. `change` may
    edit the configuration before it is written."""
    os.makedirs(bundle, exist_ok=True)
    path = bundle + "/config.json"
    if os.path.exists(path):
        os.unlink(path)
    subprocess.run(["runc", "spec", "--bundle", bundle], check=True)
    with open(path) as file:
        config = json.load(file)
    config["process"].update(terminal=False, args=[str(word) for word in argv],
                             env=["PATH=" + hosts.PATH, "HOME=/root"])
    capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_CHOWN", "CAP_FOWNER",
                    "CAP_DAC_OVERRIDE", "CAP_SETUID", "CAP_SETGID", "CAP_NET_RAW"]
    for which in "bounding", "effective", "permitted":
        config["process"]["capabilities"][which] = capabilities
    config["root"] = {"path": rootfs, "readonly": False}
    config["hostname"] = identity
    config["linux"]["cgroupsPath"] = "/" + identity
    config["linux"]["namespaces"] = [{"type": name} for name in OWN_NAMESPACES]
    if change:
        change(config)
    with open(path, "w") as file:
        json.dump(config, file, indent="\t")


class Container:
    """A container and its cable. The same object is used for it wherever it runs: host is where."""

    def __init__(self, host, identity, bundle, number=1):
        self.host, self.identity, self.bundle = host, identity, bundle
        self.address4 = f"{hosts.NET4}.{100 + number}"
        self.address6 = f"{hosts.NET6}:{100 + number}"
        self.mac = f"02:77:00:00:01:{number:02x}"
        self.veth = "ve-" + identity

    def runc(self, *words, **how):
        return self.host.run(["runc", "--log", "/run/runc.log", *words], **how)

    def create(self, stdout=None, third=None):
        """Its standard descriptors are its own /dev/null, but for a file that is given; descriptor
        3 can be another file of the host, by path."""
        log = "/run/runc.log"
        words = ["runc", "--log", log, "create", "--bundle", self.bundle, self.identity]
        if third:
            words = ["sh", "-c", 'exec 3>>"$0"; exec "$@"', third, *words, "--preserve-fds", "1"]
        process = self.host.start(words, stdout=stdout)
        if process.wait():
            raise hosts.CommandFailed(f"runc create: {harness.read_text(self.host.path(log))}")
        pid = self.state()["pid"]
        self.host.ip(f"link add {self.veth} master br0 type veth peer name eth0 "
                     f"address {self.mac} netns {pid}", f"link set {self.veth} up")
        self.host.run(["nsenter", "-t", pid, "-n", "ip", "-batch", "-"], input=f"""link set lo up
            link set eth0 up
            address add {self.address4}/24 dev eth0
            address add {self.address6}/64 dev eth0 nodad
            """)

    def start(self, **how):
        """Creates and starts it."""
        self.create(**how)
        self.runc("start", self.identity)
        return self

    def state(self):
        """What `runc state` knows, or None where runc knows no such container."""
        code, text = self.runc("state", self.identity, check=False)
        return json.loads(text) if code == 0 else None

    def status(self):
        state = self.state()
        return state and state["status"]

    def execute(self, *argv, **how):
        """`runc exec`: the program's output."""
        return self.runc("exec", self.identity, *argv, **how)

    def delete(self):
        self.runc("delete", "--force", self.identity)

    def processes(self):
        """The pids of its processes, as its host sees them."""
        return json.loads(self.runc("ps", "--format", "json", self.identity))

    def gone_from(self, host):
        """Nothing of it may be left; a network namespace and its cables take a moment to go."""
        hosts.wait_for(lambda: not self.traces(host),
                       lambda: f"{host.name} still has {self.traces(host)}", 20)

    def traces(self, host):
        """What a host still has of it: a list of words, which should be empty where it is not."""
        found = []
        if self.identity in host.run(["runc", "list", "--quiet"]).split():
            found.append("runc list")
        if os.path.exists(host.path("/run/runc/" + self.identity)):
            found.append("/run/runc/" + self.identity)
        for cgroup in host.cgroups:
            if os.path.exists(host.path(f"{cgroup['mount']}/{self.identity}")):
                found.append(f"{cgroup['mount']}/{self.identity}")
        if host.run(["ip", "link", "show", self.veth], check=False)[0] == 0:
            found.append(self.veth)
        return found
