# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs in the containers of the tests."""

import glob
import hashlib
import os
import shutil
import socket

import containers
import harness
import hosts
import scenery


def redis(world, host, identity="redis", number=1, options=(), change=None):
    """A container that runs redis-server, ready to answer on port 6379 of its addresses."""
    root = containers.make_rootfs(f"{world.scratch}/{identity}", ["redis-server", "redis-cli"])
    bundle = f"{world.scratch}/{identity}.bundle"
    containers.make_bundle(bundle, root, [
        "redis-server", "--bind", "*", "-::*", "--protected-mode", "no", "--save", "",
        "--dir", "/data", "--logfile", "/data/log", *options], identity, change)
    container = containers.Container(host, identity, bundle, number).start()
    hosts.wait_for(lambda: container.execute("redis-cli", "ping", check=False) == (0, "PONG\n"),
                   "redis-server does not answer")
    return container


NGINX = """
daemon off;
user www-data;
worker_processes 2;
pid /run/nginx.pid;
error_log /data/error.log;
events { worker_connections 256; }
http {
	access_log off;
	client_body_temp_path /tmp/body;
	proxy_temp_path /tmp/proxy;
	fastcgi_temp_path /tmp/fastcgi;
	uwsgi_temp_path /tmp/uwsgi;
	scgi_temp_path /tmp/scgi;
	keepalive_requests 100000000;
	sendfile on;
	server {
		listen 80;
		listen [::]:80;
		root /data/pages;
	}
}
"""


def nginx(world, host, identity="nginx", number=2):
    """A container that runs nginx with two workers. Returns it and {path: SHA-256 of the page}."""
    root = containers.make_rootfs(f"{world.scratch}/{identity}", ["nginx"])
    os.makedirs(root + "/data/pages")
    os.makedirs(root + "/var/log/nginx")
    pages = {}
    for name, data in (("small", b"a small page\n"), ("large", os.urandom(4 << 20))):
        with open(f"{root}/data/pages/{name}", "wb") as file:
            file.write(data)
        pages["/" + name] = hashlib.sha256(data).hexdigest()
    with open(root + "/data/nginx.conf", "w") as file:
        file.write(NGINX)
    bundle = f"{world.scratch}/{identity}.bundle"
    containers.make_bundle(bundle, root, ["nginx", "-p", "/data", "-c", "/data/nginx.conf"], identity)
    container = containers.Container(host, identity, bundle, number).start()
    hosts.wait_for(lambda: host.reaches(container.address4, 80),
                   lambda: f"nginx does not answer: {harness.read_text(root + '/data/error.log')}")
    return container, pages


def everything(world, host, identity="everything", number=3, change=None):
    """A container that runs everything.py. ask_everything() has it look at itself."""
    root = containers.make_rootfs(f"{world.scratch}/{identity}", [hosts.PYTHON])
    shutil.copy2(hosts.HERE + "/everything.py", root + "/everything.py")
    bundle = f"{world.scratch}/{identity}.bundle"
    containers.make_bundle(bundle, root, [hosts.PYTHON, "/everything.py", 7], identity, change)
    container = containers.Container(host, identity, bundle, number).start()
    hosts.wait_for(lambda: host.reaches(container.address4, 7),
                   f"{identity} does not answer")
    return container


def ask_everything(client, container):
    """Asked from another host; at least 200 descriptors must be there and right."""
    asking = "import socket, sys; s = socket.create_connection((sys.argv[1], 7), 60);" \
        " print(s.makefile().read())"
    answer = client.run([hosts.PYTHON, "-c", asking, container.address4]).split("\n")
    words = answer[0].split()
    if words[:1] != ["right"] or int(words[1]) < 200:
        raise AssertionError("\n".join(answer))


def in_user_namespace(config, first=100000, count=65536):
    """A change for make_bundle(): ids of the container are others on the host."""
    mapping = [{"containerID": 0, "hostID": first, "size": count}]
    config["linux"]["namespaces"].append({"type": "user"})
    config["linux"]["uidMappings"] = config["linux"]["gidMappings"] = mapping
    root = config["root"]["path"]
    for directory, directories, files in os.walk(root):
        for name in [".", *directories, *files]:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            os.lchown(path, status.st_uid + first, status.st_gid + first)
            if not os.path.islink(path):
                os.chmod(path, status.st_mode & 0o7777)


def postgresql_programs():
    """The directory of the newest version."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    if not found:
        raise scenery.Skip("no PostgreSQL here")
    return found[-1]


def postgresql(world, host, identity="postgresql", number=4):
    """A container that runs PostgreSQL."""
    programs = postgresql_programs()
    version = programs.split("/")[-2]
    root = containers.make_rootfs(f"{world.scratch}/{identity}", directories=[
        f"/usr/lib/postgresql/{version}", f"/usr/share/postgresql/{version}"], files=[
        f"{programs}/postgres", f"{programs}/initdb",
        *glob.glob(f"/usr/lib/postgresql/{version}/lib/*.so")])

    def as_postgres(config):
        config["process"]["user"] = {"uid": 70, "gid": 70}

    bundle = f"{world.scratch}/{identity}.bundle"
    containers.make_bundle(bundle, root, ["sh", "-c", f"""export PATH=$PATH:{programs}
        initdb -D /data/pg --locale C -A trust >/tmp/initdb 2>&1
        echo host all all all trust >>/data/pg/pg_hba.conf
        exec postgres -D /data/pg -c listen_addresses='*' -c unix_socket_directories=/tmp \\
            -c fsync=off >/tmp/log 2>&1"""], identity, as_postgres)
    container = containers.Container(host, identity, bundle, number).start()
    asking = [programs + "/psql", "-h", container.address4, "-U", "postgres", "-c", "select 1"]
    hosts.wait_for(lambda: host.run(asking, check=False)[0] == 0,
                   lambda: "PostgreSQL does not answer: "
                           f"{[harness.read_text(root + f) for f in ('/tmp/initdb', '/tmp/log')]}")
    return container


class Psql:
    """One connection, kept."""

    def __init__(self, host, container):
        self.socket, theirs = socket.socketpair()
        self.stream = self.socket.makefile("r")
        self.socket.settimeout(hosts.PATIENCE_SECONDS)
        self.process = host.start(
            [postgresql_programs() + "/psql", "-X", "-q", "-A", "-t", "-h", container.address4,
             "-U", "postgres"], stdin=theirs, stdout=theirs, stderr=theirs)
        theirs.close()

    def call(self, command):
        """The lines that the server answers."""
        self.socket.sendall(f"{command};\n\\echo end of answer\n".encode())
        lines = []
        for line in self.stream:
            if line == "end of answer\n":
                return lines
            lines.append(line.rstrip("\n"))
        raise AssertionError(f"psql has ended: {lines}")
