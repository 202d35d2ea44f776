# SPDX-License-Identifier: GPL-2.0-or-later
"""go_driver.py DIRECTORY PORT: a server written in Go (rclone: goroutines over threads, preempted
by signals, with timers of their own) and clients that keep their connections."""

import hashlib
import http.client
import os
import subprocess
import sys

sys.dont_write_bytecode = True
import inside

SIZES = {"small": 100, "large": 2000000}


def main():
    directory, port = sys.argv[1], int(sys.argv[2])
    files = {}
    os.mkdir(directory + "/files")
    for name, size in SIZES.items():
        data = os.urandom(size)
        files[name] = hashlib.sha256(data).hexdigest()
        with open(f"{directory}/files/{name}", "wb") as file:
            file.write(data)
    subprocess.Popen(["rclone", "serve", "http", "--addr", f"127.0.0.1:{port}",
                      "--config", directory + "/none", directory + "/files"])

    def connect():
        return http.client.HTTPConnection("127.0.0.1", port, timeout=inside.PATIENCE_SECONDS)

    def fetch(connection, name):
        connection.request("GET", "/" + name)
        answer = connection.getresponse()
        body = answer.read()
        inside.same("status", answer.status, 200)
        inside.same(name, hashlib.sha256(body).hexdigest(), files[name])

    def answers():
        try:
            fetch(connect(), "small")
            return True
        except OSError:
            return False

    def client(name):
        connection = connect()
        return inside.Load(name, lambda n: fetch(connection, name))

    inside.wait_for(answers, "rclone does not answer")
    loads = [client(name) for name in files for _ in range(3)]

    def check():
        for load in loads:
            load.moves(5)
        for name in files:
            fetch(connect(), name)

    check()
    inside.serve(directory, check)


main()
