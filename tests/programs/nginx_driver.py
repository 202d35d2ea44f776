# SPDX-License-Identifier: GPL-2.0-or-later
"""nginx_driver.py DIRECTORY PORT: nginx, a master and workers under another uid, with clients that
keep their connections, over TCP and over a Unix socket."""

import hashlib
import http.client
import os
import socket
import subprocess
import sys

sys.dont_write_bytecode = True
import inside

CONFIGURATION = """
daemon off;
user www-data;
worker_processes 2;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 256; }}
http {{
	access_log {directory}/access.log;
	client_body_temp_path {directory}/body;
	proxy_temp_path {directory}/proxy;
	fastcgi_temp_path {directory}/fastcgi;
	uwsgi_temp_path {directory}/uwsgi;
	scgi_temp_path {directory}/scgi;
	keepalive_requests 1000000;
	sendfile on;
	server {{
		listen 127.0.0.1:{port};
		listen unix:{directory}/nginx.socket;
		root {directory}/pages;
		location = /generation {{ return 200 "1\\n"; }}
		location = /relay/small {{ proxy_pass http://127.0.0.1:{port}/small; }}
	}}
}}
"""


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def request(connection, page, wanted, **headers):
    """The answer's body must have the wanted hash."""
    connection.request("GET", page, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    inside.same(f"status of {page}", answer.status, 200)
    inside.same(f"body of {page}", hashlib.sha256(body).hexdigest(), wanted)


def make_pages(directory):
    """{path: hash of the body}"""
    os.mkdir(directory + "/pages")
    pages = {}
    for name, data in {"small": b"a small page\n", "large": os.urandom(3000000)}.items():
        with open(f"{directory}/pages/{name}", "wb") as file:
            file.write(data)
        pages["/" + name] = hashlib.sha256(data).hexdigest()
    pages["/relay/small"] = pages["/small"]
    return pages


def main():
    directory, port = sys.argv[1], int(sys.argv[2])
    pages = make_pages(directory)
    configuration = directory + "/nginx.conf"
    inside.write_whole(configuration, CONFIGURATION.format(directory=directory, port=port))
    subprocess.Popen(["nginx", "-p", directory, "-c", configuration])

    def over_tcp():
        return http.client.HTTPConnection("127.0.0.1", port, timeout=inside.PATIENCE_SECONDS)

    def over_unix():
        return UnixConnection(directory + "/nginx.socket")

    def answers():
        try:
            request(over_tcp(), "/small", pages["/small"])
            return True
        except OSError:
            return False

    def client(name, connection, page):
        return inside.Load(name, lambda n: request(connection, page, pages[page]))

    inside.wait_for(answers, "nginx does not answer")
    loads = [client("tcp", over_tcp(), "/small"), client("tcp, large", over_tcp(), "/large"),
             client("unix", over_unix(), "/small"), client("unix, large", over_unix(), "/large"),
             client("relay", over_tcp(), "/relay/small")]

    def check():
        for load in loads:
            load.moves()
        for connection in over_tcp(), over_unix():
            for page in pages:
                request(connection, page, pages[page], Connection="close" if "l" in page else "")

    check()
    inside.serve(directory, check)


main()
