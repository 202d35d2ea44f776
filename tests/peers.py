# SPDX-License-Identifier: GPL-2.0-or-later
"""A program with connections, and peers of it in another network namespace, who notice all."""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

import harness

TIMEOUT = 20
CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
TH_RST = 4
PF_EXITING, SIGKILL_BIT = 4, 1 << (signal.SIGKILL - 1)
SERVER4, CLIENT4 = "10.77.0.1", "10.77.0.2"
SERVER6, CLIENT6 = "fd77::1", "fd77::2"
PATTERN = bytes((i * i >> 3 ^ i) & 255 for i in range(65521))
PIECE = 65536
PORT = 7000
LONG = PATTERN * (2 + PIECE // len(PATTERN))

# The program: what it does with a connection, its peer says in the first line.
PROGRAM = r"""
import os, select, socket, sys, threading, time
sys.path.insert(0, sys.argv[1])
import peers
directory, port = sys.argv[2], int(sys.argv[3])

def wait_for(name):
    while not os.path.exists(f"{directory}/{name}"):
        time.sleep(0.005)

def tell(name, text):
    with open(f"{directory}/{name}.new", "w") as file:
        file.write(text)
    os.rename(f"{directory}/{name}.new", f"{directory}/{name}")

def serve(connection, words):
    what, name = words[0], words[1]
    sender, receiver = peers.Sender(connection), peers.Receiver(connection)
    if what == "both":
        sender.start()
        receiver.run()
        sender.stop()
    elif what == "held":	# neither reads nor stops writing, until it is let go
        sender.start()
        wait_for(name + ".go")
        receiver.run()
        sender.stop()
    elif what == "answers":	# reads all, and only then writes
        receiver.run()
        tell(name + ".read", "")
        wait_for(name + ".go")
        sender.send(int(words[2]))
    elif what == "listens":	# says that it has said all, and reads on
        sender.send(int(words[2]))
        connection.shutdown(socket.SHUT_WR)
        receiver.run()
    elif what == "ends":	# all that it writes and its end wait for the peer to read
        while words[2:] and connection.recv(1):	# and those come after the peer's
            pass
        connection.setblocking(False)
        # There is room again while what was sent is still on its way.
        while select.select([], [connection], [], 0.3)[1]:
            try:
                sender.send(peers.PIECE)
            except BlockingIOError:
                pass
        connection.setblocking(True)
        connection.shutdown(socket.SHUT_WR)
        tell(name + ".said", str(sender.count))
        wait_for(name + ".go")
        receiver.run()
    connection.close()
    tell(name, f"{sender.count} {receiver.count} {receiver.wrong}")

def handle(connection):
    line = b""
    while not line.endswith(b"\n"):
        line += connection.recv(1)
    serve(connection, line.decode().split())

def connect(words):
    connection = socket.socket(socket.AF_INET6 if ":" in words[2] else socket.AF_INET)
    try:
        connection.connect((words[2], int(words[3])))
        serve(connection, ["both", words[1]])
    except OSError as problem:
        tell(words[1], str(problem))

listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
for words in sys.argv[4:]:
    threading.Thread(target=connect, args=(words.split(),), daemon=True).start()
tell("ready", "")
while True:
    while os.path.exists(f"{directory}/busy"):
        time.sleep(0.005)
    threading.Thread(target=handle, args=(listener.accept()[0],), daemon=True).start()
"""


class Sender(threading.Thread):
    """Sends the pattern."""

    def __init__(self, connection):
        super().__init__(daemon=True)
        self.connection, self.count, self.go_on, self.problem = connection, 0, True, None

    def send(self, size):
        end = self.count + size
        while self.count < end:
            at = self.count % len(PATTERN)
            self.count += self.connection.send(LONG[at:at + min(PIECE, end - self.count)])
        return True

    def run(self):
        try:
            while self.go_on:
                self.send(PIECE)
                time.sleep(0.001)
        except OSError as problem:
            self.problem = problem

    def stop(self):
        """Ends the sending of a started one, and tells the peer."""
        self.go_on = False
        self.join(TIMEOUT)
        with contextlib.suppress(OSError):	# it may have been reset
            self.connection.shutdown(socket.SHUT_WR)


class Receiver(threading.Thread):
    """Checks each byte until the end of the stream."""

    def __init__(self, connection):
        super().__init__(daemon=True)
        self.connection, self.count, self.wrong, self.problem = connection, 0, False, None
        self.ended = False
        self.silence = 0

    def run(self):
        last = time.monotonic()
        while not self.ended:
            try:
                data = self.connection.recv(PIECE)
            except OSError as problem:
                self.problem = problem
                return
            now = time.monotonic()
            self.silence, last = max(self.silence, now - last), now
            at = self.count % len(PATTERN)
            self.wrong = self.wrong or data != LONG[at:at + len(data)]
            self.count += len(data)
            self.ended = not data


# ---- networks ----

libc = ctypes.CDLL(None, use_errno=True)


def must(result):
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def ip_batch(text):
    subprocess.run(["ip", "-batch", "-"], input=text, text=True, check=True)


class Networks:
    """Ours, where the program and criu-lite are, and that of the peers."""

    def __init__(self):
        must(libc.unshare(CLONE_NEWNET))
        self.ours = os.open("/proc/self/ns/net", os.O_RDONLY)
        ip("link", "set", "lo", "up")
        waiter, told = os.pipe()
        holder = os.fork()
        if holder == 0:
            os.close(told)
            os.read(waiter, 1)
            os._exit(0)
        os.close(waiter)
        must(libc.unshare(CLONE_NEWNET))
        self.theirs = os.open("/proc/self/ns/net", os.O_RDONLY)
        ip_batch(f"link set lo up\n"
                 f"link add client type veth peer name server netns {holder}\n"
                 f"address add {CLIENT4}/24 dev client\n"
                 f"address add {CLIENT6}/64 dev client nodad\nlink set client up\n")
        os.close(told)
        os.waitpid(holder, 0)
        self.capture = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        must(libc.setns(self.ours, CLONE_NEWNET))
        ip_batch(f"address add {SERVER4}/24 dev server\n"
                 f"address add {SERVER6}/64 dev server nodad\nlink set server up\n")
        self.resets = []
        threading.Thread(target=self.watch, daemon=True).start()

    @contextlib.contextmanager
    def of_peers(self):
        must(libc.setns(self.theirs, CLONE_NEWNET))
        try:
            yield
        finally:
            must(libc.setns(self.ours, CLONE_NEWNET))

    def filter(self, command):
        """Has nft(8) do something in the peers' network."""
        with self.of_peers():
            subprocess.run(["nft", command], check=True)

    def listen(self, address, port):
        with self.of_peers():
            listener = socket.create_server((address, port), family=socket.AF_INET6
                                            if ":" in address else socket.AF_INET)
        listener.settimeout(TIMEOUT)
        return listener

    def watch(self):
        """Notes each TCP reset on its way in or out of the peers' network."""
        while True:
            packet, (_, protocol, *_) = self.capture.recvfrom(128)
            if protocol == 0x800 and packet[9] == socket.IPPROTO_TCP:
                tcp = packet[(packet[0] & 15) * 4:]
            elif protocol == 0x86dd and packet[6] == socket.IPPROTO_TCP:
                tcp = packet[40:]
            else:
                continue
            if tcp[13] & TH_RST:
                self.resets.append(struct.unpack("!HH", tcp[:4]))

    def connect(self, address, port, *words):
        """A peer's connection."""
        with self.of_peers():
            connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        connection.settimeout(TIMEOUT)
        connection.connect((address, port))
        if words:
            connection.sendall(" ".join(words).encode() + b"\n")
        return connection


# ---- the program ----

class Program:
    def __init__(self, scratch, port, *connects):
        self.directory = tempfile.mkdtemp(dir=scratch)
        self.image = os.path.join(self.directory, "image")
        self.pidfile = os.path.join(self.directory, "pid")
        self.log = os.path.join(self.directory, "log")
        with open(self.log, "w") as log:
            self.pid = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, os.path.dirname(os.path.abspath(__file__)),
                 self.directory, str(port), *connects],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=harness.reset_signals).pid
        self.wait("ready")

    def wait(self, name):
        """What the program has told under this name."""
        path, deadline = os.path.join(self.directory, name), time.monotonic() + TIMEOUT
        while not os.path.exists(path):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name}\n{harness.read_text(self.log)}")
            time.sleep(0.005)
        return harness.read_text(path)

    def tell(self, name):
        with open(os.path.join(self.directory, name), "w"):
            pass

    def run(self, command, *arguments, environment=None):
        with open(self.log, "a") as log:
            done = subprocess.run([harness.CRIU_LITE, command, *arguments],
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  env={**os.environ, **(environment or {})})
        return done.returncode

    def checkpoint(self, *arguments, **more):
        status = self.run("checkpoint", "-t", str(self.pid), "-o", self.image, *arguments, **more)
        harness.reap({})
        return status == 0

    def restore(self, *arguments, **more):
        return self.run("restore", self.image, "--detach", "--pidfile", self.pidfile, *arguments,
                        **more) == 0

    def alive(self):
        """Whether it is there and has not been killed, though it may not have ended yet."""
        stat = harness.read_text(f"/proc/{self.pid}/stat")
        status = harness.read_text(f"/proc/{self.pid}/status")
        if not stat or not status:
            return False
        state, *_, flags = stat.rpartition(")")[2].split()[:7]
        pending = [int(line.split()[1], 16) for line in status.splitlines()
                   if line.startswith(("SigPnd:", "ShdPnd:"))]
        return state not in "ZX" and not int(flags) & PF_EXITING and \
            not any(set_ & SIGKILL_BIT for set_ in pending)

    def end(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


# ---- tests ----

checks = harness.Checks()


def test(name, good, *notes):
    return checks(good, name, *notes)


class Stream:
    """Both directions at once, every byte checked at both ends."""

    def __init__(self, networks, program, name, address=None, connection=None):
        self.program, self.name = program, name
        self.connection = connection or networks.connect(address, PORT, "both", name)
        self.sender, self.receiver = Sender(self.connection), Receiver(self.connection)
        self.sender.start()
        self.receiver.start()

    def flows(self):
        """Whether bytes still arrive."""
        before, deadline = self.receiver.count, time.monotonic() + 20
        while self.receiver.count < before + 300000 and time.monotonic() < deadline:
            if self.receiver.problem:
                return False
            time.sleep(0.005)
        return self.receiver.count >= before + 300000

    def end(self):
        self.sender.stop()
        self.receiver.join(20)
        said = self.program.wait(self.name).split()
        good = (said == [str(self.receiver.count), str(self.sender.count), "False"] and
                not self.receiver.wrong and self.receiver.ended)
        test(f"{self.name}: every byte has arrived in its place", good, said,
             self.receiver.count, self.sender.count, self.receiver.problem, self.sender.problem)
        self.connection.close()


def main(run):
    """Calls run(networks, scratch directory); the exit status."""
    for program in ("ip", "nft", "ss"):
        if not shutil.which(program):
            print(f"1..0 # SKIP no {program} here")
            return 0
    harness.become_subreaper()
    scratch = tempfile.mkdtemp(prefix="criu-lite-peers-")
    try:
        run(Networks(), scratch)
    finally:
        harness.kill_descendants()
        shutil.rmtree(scratch)
    checks.plan()
    return 1 if checks.failed else 0
