# SPDX-License-Identifier: GPL-2.0-or-later
"""everything.py PORT: a program for a container that has some of everything: two trees of nested
children, files in tmpfs, System V IPC and 200 descriptors of all kinds. To each connection on PORT
it answers, after it has looked at all of it, "right N" (N descriptors), or what is wrong."""

import ctypes
import os
import socket
import struct
import sys
import threading
import time
import traceback

DEPTH, CHILDREN = 3, 2
OF_EACH_KIND = 12
DATA = bytes(range(256)) * 8
IPC_CREAT, IPC_RMID, IPC_NOWAIT, SETVAL, GETVAL = 0o1000, 0, 0o4000, 16, 12
SHMAT_FAILED = ctypes.c_void_p(-1).value

libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p


def same(what, got, wanted):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def call(function, *arguments):
    got = function(*arguments)
    if got == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{function.__name__}{arguments}: {os.strerror(number)}")
    return got


# Descriptors: each function makes one of its kind and returns (its numbers, a function that looks).

def pipe(n):
    reading, writing = os.pipe()
    text = b"pipe %d" % n
    os.write(writing, text)

    def look():
        same("pipe", os.read(reading, 100), text)
        os.write(writing, text)
    return [reading, writing], look


def socket_pair(n):
    kind = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)[n % 2]
    one, other = socket.socketpair(socket.AF_UNIX, kind)
    text = b"socket %d" % n
    one.send(text)

    def look():
        same("socket pair", other.recv(100), text)
        one.send(text)
    return [one, other], look


def regular(n):
    path = f"/data/file.{n}"
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(file, DATA)
    os.lseek(file, 7 * n, os.SEEK_SET)
    if n % 3 == 2:
        os.unlink(path)

    def look():
        same("offset", os.lseek(file, 0, os.SEEK_CUR), 7 * n)
        same("content", os.pread(file, len(DATA) + 1, 0), DATA)
    return [file], look


def memfd(n):
    file = os.memfd_create(f"memory {n}")
    os.write(file, DATA * n)
    return [file], lambda: same("memfd", os.pread(file, len(DATA) * n + 1, 0), DATA * n)


def eventfd(n):
    event = os.eventfd(n + 1)

    def look():
        same("eventfd", os.eventfd_read(event), n + 1)
        os.eventfd_write(event, n + 1)
    return [event], look


def timerfd(n):
    timer = call(libc.timerfd_create, time.CLOCK_MONOTONIC, 0)
    given = struct.pack("4q", 0, 0, 3600 * (n + 1), 0)
    began = time.monotonic()
    call(libc.timerfd_settime, timer, 0, given, None)

    def look():
        left = ctypes.create_string_buffer(32)
        call(libc.timerfd_gettime, timer, left)
        seconds, nanoseconds = struct.unpack("4q", left.raw)[2:]
        late = seconds + nanoseconds / 1e9 - (3600 * (n + 1) - (time.monotonic() - began))
        # It rests while the program does not run, longer than the clock, and is never early.
        if not -0.001 < late < 30:
            raise AssertionError(f"timerfd {n}: {late} s late")
    return [timer], look


def signalfd(n):
    mask = (ctypes.c_uint64 * 16)(1 << (10 + n))
    number = call(libc.signalfd, -1, mask, 0)
    with open(f"/proc/self/fdinfo/{number}") as file:
        before = file.read()

    def look():
        with open(f"/proc/self/fdinfo/{number}") as file:
            same("signalfd", file.read().split("sigmask")[1], before.split("sigmask")[1])
    return [number], look


def epoll(n):
    import select
    poll, event = select.epoll(), os.eventfd(1)
    poll.register(event, select.EPOLLIN)
    return [poll, event], lambda: same("epoll", poll.poll(0), [(event, select.EPOLLIN)])


def inotify(n):
    number = call(libc.inotify_init1, os.O_NONBLOCK)
    call(libc.inotify_add_watch, number, b"/tmp", 0x100)

    def look():
        path = f"/tmp/watched.{os.getpid()}.{n}"
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        same("inotify", os.path.basename(path).encode() in os.read(number, 65536), True)
        os.unlink(path)
    return [number], look


def terminal(n):
    controller, terminal_ = os.openpty()

    def look():
        os.write(controller, b"line %d\n" % n)
        same("terminal", os.read(terminal_, 100), b"line %d\n" % n)
        os.read(controller, 1000)
    return [controller, terminal_], look


def tcp(n):
    """A listener, and a connection over loopback with data under way."""
    family, address = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))[n % 2]
    listener = socket.create_server((address, 0), family=family)
    calling = socket.create_connection(listener.getsockname()[:2])
    called, _ = listener.accept()
    text = b"tcp %d" % n
    calling.sendall(text)

    def look():
        same("TCP", called.recv(100), text)
        calling.sendall(text)
        another = socket.create_connection(listener.getsockname()[:2])
        listener.accept()[0].sendall(b"new")
        same("a new connection", another.recv(10), b"new")
    return [listener, calling, called], look


def udp(n):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("127.0.0.1", 0))

    def look():
        one.sendto(b"datagram", one.getsockname())
        same("UDP", one.recv(100), b"datagram")
    return [one], look


KINDS = (pipe, socket_pair, regular, memfd, eventfd, timerfd, signalfd, epoll, inotify, terminal,
         tcp, udp)


def descriptors():
    made = [kind(n) for kind in KINDS for n in range(OF_EACH_KIND)]

    def look():
        for _, each in made:
            each()
    return [number for numbers, _ in made for number in numbers], look


def tmpfs():
    """Files of all sorts in /dev/shm."""
    top = "/dev/shm/tree"
    os.makedirs(top + "/a/b", mode=0o750)
    with open(top + "/a/file", "wb") as file:
        file.write(DATA * 1000)
    os.link(top + "/a/file", top + "/linked")
    os.symlink("a/file", top + "/symbolic")
    os.mkfifo(top + "/fifo", 0o640)
    os.chown(top + "/a/b", 33, 70)
    os.chmod(top + "/a/file", 0o4711)
    os.utime(top + "/a/file", ns=(10**18, 2 * 10**18))
    with open(top + "/sparse", "wb") as file:
        file.truncate(1 << 30)
        file.seek(1 << 29)
        file.write(b"middle")
    try:
        os.setxattr(top + "/a/file", "user.name", b"value")
        attributes = True
    except OSError:
        attributes = False

    def facts():
        found = []
        for root, directories, files in os.walk(top):
            for name in [".", *sorted(directories), *sorted(files)]:
                status = os.lstat(os.path.join(root, name))
                found.append((root, name, status.st_mode, status.st_uid, status.st_gid,
                              status.st_nlink, status.st_size, status.st_mtime_ns))
        return sorted(found)

    before = facts()

    def look():
        same("tmpfs", facts(), before)
        with open(top + "/symbolic", "rb") as file:
            same("tmpfs content", file.read(), DATA * 1000)
        same("hard link", os.stat(top + "/linked").st_ino, os.stat(top + "/a/file").st_ino)
        same("sparse file", os.stat(top + "/sparse").st_blocks <= 16, True)
        with open(top + "/sparse", "rb") as file:
            file.seek((1 << 29) - 2)
            same("sparse content", file.read(10), b"\0\0middle\0\0")
        if attributes:
            same("attribute", os.getxattr(top + "/linked", "user.name"), b"value")
    return look


def system_v():
    shared = call(libc.shmget, 0x1234, 1 << 20, IPC_CREAT | 0o600)
    address = libc.shmat(shared, None, 0)
    same("shmat", address != SHMAT_FAILED, True)
    ctypes.memmove(address, DATA, len(DATA))
    loose = call(libc.shmget, 0x1235, 8192, IPC_CREAT | 0o644)
    semaphores = call(libc.semget, 0x1236, 5, IPC_CREAT | 0o600)
    for n in range(5):
        call(libc.semctl, semaphores, n, SETVAL, n * 3)
    queue = call(libc.msgget, 0x1237, IPC_CREAT | 0o600)
    message = struct.pack("l", 4) + b"in the queue"
    call(libc.msgsnd, queue, message, len(message) - 8, 0)

    def look():
        same("shared memory", ctypes.string_at(address, len(DATA)), DATA)
        ids = [libc.shmget(0x1234, 0, 0), libc.shmget(0x1235, 0, 0),
               libc.semget(0x1236, 0, 0), libc.msgget(0x1237, 0)]
        same("ids", ids, [shared, loose, semaphores, queue])
        same("semaphores", [libc.semctl(semaphores, n, GETVAL) for n in range(5)],
             [n * 3 for n in range(5)])
        got = ctypes.create_string_buffer(100)
        size = call(libc.msgrcv, queue, got, 92, ctypes.c_long(0), IPC_NOWAIT)
        same("message", got.raw[:size + 8], message)
        call(libc.msgsnd, queue, message, len(message) - 8, 0)
    return look


class Child:
    """A process that answers its parent: how many are below it and itself, all of them right."""

    def __init__(self, depth):
        self.socket, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            self.socket.close()
            try:
                self.serve(theirs, depth, os.getppid())
            finally:
                os._exit(1)
        theirs.close()

    @staticmethod
    def serve(link, depth, parent):
        below = [Child(depth - 1) for _ in range(CHILDREN)] if depth > 1 else []
        memory = bytearray(os.urandom(1 << 16))
        copy, pid, count = bytes(memory), os.getpid(), 0
        if depth == 2:
            os.setsid()
        session = os.getsid(0)
        while True:
            question = link.recv(1)
            if not question:
                os._exit(0)
            count += 1
            right = (os.getpid(), os.getppid(), os.getsid(0), bytes(memory)) == \
                (pid, parent, session, copy)
            link.sendall(struct.pack("ii", count, 1 + sum(child.ask(count) for child in below)
                                     if right else -1000))

    def ask(self, count):
        self.socket.sendall(b"?")
        got, number = struct.unpack("ii", self.socket.recv(8))
        same("questions so far", got, count)
        return number


def main():
    trees = [Child(DEPTH), Child(DEPTH)]
    everyone = 2 * sum(CHILDREN ** level for level in range(DEPTH))
    numbers, look_at_descriptors = descriptors()
    looks = [look_at_descriptors, tmpfs(), system_v()]
    ticks, questions = [0], 0

    def tick():
        while True:
            ticks[0] += 1
            time.sleep(0.001)

    threading.Thread(target=tick, daemon=True).start()
    server = socket.create_server(("", int(sys.argv[1])))
    while True:
        connection, _ = server.accept()
        questions += 1
        try:
            before = ticks[0]
            same("processes", sum(child.ask(questions) for child in trees), everyone)
            for look in looks:
                look()
            while ticks[0] == before:
                time.sleep(0.001)
            answer = f"right {len(numbers)}"
        except BaseException:
            answer = traceback.format_exc()
        connection.sendall(answer.encode())
        connection.close()


main()
