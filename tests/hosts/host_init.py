# SPDX-License-Identifier: GPL-2.0-or-later
"""host_init.py NAME CONTROL: becomes a host (hosts.py says what that is), then starts programs in
it as its process 1. CONTROL is the descriptor of a SEQPACKET socket; the first message on it is a
JSON list of the host's cgroups.

A request is JSON {argv, env, directory} with four descriptors: standard input, output, error, and
a stream socket that belongs to the new process. On that socket the host says "pid N", later
"status N" (a wait status), and takes signals to send, each a byte."""

import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x20000, 0x2000000, 0x4000000
CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = 0x8000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 0x4000, 0x40000
MNT_DETACH = 2
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)


def must(function, *arguments):
    words = [word.encode() if isinstance(word, str) else word for word in arguments]
    if function(*words):
        number = ctypes.get_errno()
        raise OSError(number, f"{function.__name__}{arguments}: {os.strerror(number)}")


def die_with_parent():
    must(libc.prctl, PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def enter_cgroups(cgroups):
    for cgroup in cgroups:
        with open(cgroup["directory"] + "/cgroup.procs", "w") as file:
            file.write(str(os.getpid()))


def leave_cgroups(cgroups):
    """Back to where we came from: in cgroup v2 a group with controllers for its children has no
    processes itself."""
    for cgroup in cgroups:
        with open(os.path.dirname(cgroup["directory"]) + "/cgroup.procs", "w") as file:
            file.write(str(os.getpid()))


def mount(kind, where, flags=MS_NOSUID | MS_NODEV, options=None):
    os.makedirs(where, exist_ok=True)
    must(libc.mount, kind, where, kind, flags, options)


def mount_all(cgroups):
    """/proc, /sys and cgroups as this host sees them; and own directories where programs keep
    what they know of a machine."""
    must(libc.mount, "none", "/", None, MS_REC | MS_PRIVATE, None)
    must(libc.umount2, "/proc", MNT_DETACH)
    mount("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    must(libc.umount2, "/sys", MNT_DETACH)
    mount("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    if "/sys/fs/cgroup" not in [cgroup["mount"] for cgroup in cgroups]:
        mount("tmpfs", "/sys/fs/cgroup", options="mode=755")
    for cgroup in cgroups:
        mount(cgroup["type"], cgroup["mount"], MS_NOSUID | MS_NODEV | MS_NOEXEC,
              cgroup["options"])
    for directory in ("/run", "/var/lib"):
        mount("tmpfs", directory, options="mode=755")


def leave_root_cgroup(cgroups):
    """We, too."""
    for cgroup in cgroups:
        controllers = harness.read_text(cgroup["mount"] + "/cgroup.controllers")
        if cgroup["type"] != "cgroup2" or not controllers:
            continue
        os.mkdir(cgroup["mount"] + "/init")
        with open(cgroup["mount"] + "/init/cgroup.procs", "w") as file:
            file.write("1")
        with open(cgroup["mount"] + "/cgroup.subtree_control", "w") as file:
            file.write(" ".join("+" + name for name in controllers.split()))


class Init:
    """Process 1: starts what is asked for, and reaps everything."""

    def __init__(self, control):
        self.control = control
        self.links = {}         # pid: the socket of its owner
        self.selector = selectors.DefaultSelector()
        self.selector.register(control, selectors.EVENT_READ, self.start)
        self.wakeup, self.waker = socket.socketpair()
        self.waker.setblocking(False)
        signal.set_wakeup_fd(self.waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self.selector.register(self.wakeup, selectors.EVENT_READ, self.reap)

    def serve(self):
        while True:
            for key, _ in self.selector.select():
                key.data()

    def start(self):
        text, descriptors, _, _ = socket.recv_fds(self.control, 1 << 20, 4)
        if not text:
            sys.exit(0)         # and all others of the namespace with it
        request = json.loads(text)
        pid = os.fork()
        if pid == 0:
            self.execute(request, descriptors)
        link = socket.socket(fileno=descriptors[3])
        for descriptor in descriptors[:3]:
            os.close(descriptor)
        self.links[pid] = link
        self.selector.register(link, selectors.EVENT_READ, lambda: self.signal(pid))
        self.tell(link, f"pid {pid}\n")

    @staticmethod
    def execute(request, descriptors):
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            harness.reset_signals()
            descriptors = [os.dup2(d, 10 + n) for n, d in enumerate(descriptors[:3])]
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            os.chdir(request["directory"])
            os.execvpe(request["argv"][0], request["argv"], request["env"])
        except BaseException as trouble:
            os.write(2, f"{request['argv'][0]}: {trouble}\n".encode())
        os._exit(127)

    @staticmethod
    def tell(link, text):
        try:
            link.sendall(text.encode())
        except OSError:
            pass                # nobody wants to know

    def signal(self, pid):
        """The owner wants signals to be sent, or has closed the socket."""
        link = self.links.get(pid)
        if not link:
            return              # it has just ended
        try:
            numbers = link.recv(64)
        except OSError:
            numbers = b""
        if not numbers:
            self.selector.unregister(link)
            return
        for number in numbers:
            os.kill(pid, number)

    def reap(self):
        self.wakeup.recv(4096)
        statuses = {}
        harness.reap(statuses)
        for pid, status in statuses.items():
            link = self.links.pop(pid, None)
            if not link:
                continue
            self.tell(link, f"status {status}\n")
            if link in self.selector.get_map():
                self.selector.unregister(link)
            link.close()


def main():
    control = socket.socket(fileno=int(sys.argv[2]))
    cgroups = json.loads(control.recv(1 << 20))
    die_with_parent()
    enter_cgroups(cgroups)
    must(libc.unshare, CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
         CLONE_NEWPID | CLONE_NEWNET)
    told, telling = os.pipe()
    init = os.fork()
    if init:
        leave_cgroups(cgroups)
        control.sendall(f"init {init}".encode())
        os.write(telling, b".")
        control.close()
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(init, 0)[1]))
    die_with_parent()
    os.read(told, 1)            # the first message is the parent's
    os.close(told)
    os.close(telling)
    mount_all(cgroups)
    leave_root_cgroup(cgroups)
    socket.sethostname(sys.argv[1])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    init = Init(control)
    control.sendall(b"ready")
    init.serve()


main()
