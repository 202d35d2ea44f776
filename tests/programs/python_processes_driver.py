# SPDX-License-Identifier: GPL-2.0-or-later
"""python_processes_driver.py DIRECTORY: a pool of forked processes with pipes, semaphores, shared
memory and a listening process."""

import multiprocessing
import multiprocessing.connection
import multiprocessing.shared_memory
import os
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
import inside

context = multiprocessing.get_context("fork")
TABLE = {n: n * n for n in range(50000)}	# shared copy-on-write with the pool


def square(n):
    return TABLE[n % 50000]


def count(value, memory):
    """A process of its own that adds to shared memory under a lock."""
    while True:
        with value.get_lock():
            value.value += 1
            memory.buf[:8] = value.value.to_bytes(8, "little")


def answer(address):
    """Serves one request for each connection."""
    with multiprocessing.connection.Listener(address, "AF_UNIX") as listener:
        while True:
            with listener.accept() as connection:
                connection.send(connection.recv()[::-1])


def shell(n):
    """Short-lived children, whatever moment the tree is saved at."""
    got = subprocess.run(["/bin/sh", "-c", "echo $(($1 * 2)) | cat", "sh", str(n)],
                         stdout=subprocess.PIPE, check=True, text=True).stdout
    inside.same("shell", got, f"{2 * n}\n")


def main():
    directory = sys.argv[1]
    address = directory + "/listener"
    value = context.Value("q", 0)
    memory = multiprocessing.shared_memory.SharedMemory(create=True, size=4096)
    os.unlink("/dev/shm/" + memory.name.lstrip("/"))
    pool = context.Pool(4)
    workers = [context.Process(target=count, args=(value, memory), daemon=True),
               context.Process(target=answer, args=(address,), daemon=True)]
    for worker in workers:
        worker.start()
    inside.wait_for(lambda: os.path.exists(address), "no listener")

    def map_numbers(n):
        numbers = range(n * 100, n * 100 + 500)
        inside.same("pool", pool.map(square, numbers, chunksize=50), [square(m) for m in numbers])

    loads = [inside.Load("pool", map_numbers), inside.Load("shell", shell)]

    def check():
        for load in loads:
            load.moves()
        before = value.value
        inside.wait_for(lambda: value.value > before, "the counting process stays")
        with value.get_lock():
            inside.same("shared memory", int.from_bytes(memory.buf[:8], "little"), value.value)
        with multiprocessing.connection.Client(address, "AF_UNIX") as client:
            client.send([1, 2, 3])
            inside.same("listener", client.recv(), [3, 2, 1])
        for worker in workers:
            inside.same("worker", worker.is_alive(), True)

    check()
    inside.serve(directory, check)


signal.signal(signal.SIGINT, signal.SIG_IGN)
main()
