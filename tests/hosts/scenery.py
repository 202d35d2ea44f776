# SPDX-License-Identifier: GPL-2.0-or-later
"""For tests with hosts and containers (tests/containers/*.t, tests/migrate/*.t), which begin with

    #!/usr/bin/python3
    # SPDX-License-Identifier: GPL-2.0-or-later
    import os, sys
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../hosts"))
    import scenery

    def case(world):
        \"\"\"The behaviour that is proven.\"\"\"

    scenery.run(case, …)

Each case has a world of its own; an exception fails it. SOAK=1 asks for the long version."""

import hashlib
import os
import shutil
import sys
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import containers
import harness
import hosts

SOAK = bool(os.environ.get("SOAK"))


class Skip(Exception):
    """This machine lacks something; the text says what."""


def need(*programs):
    for program in programs:
        if not shutil.which(program, path=hosts.PATH):
            raise Skip(f"no {program} here")


def same(what, got, wanted):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def contains(what, text, wanted):
    if wanted not in text:
        raise AssertionError(f"{what}: {wanted!r} is not in {text!r}")


def note(text):
    """A line for who reads the output of a test."""
    print(f"# {text}", flush=True)


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


def run_case(case):
    try:
        need("runc", "ip", "nsenter")
        with hosts.World() as world:
            case(world)
    except Skip as reason:
        return f" # SKIP {reason}", True
    except BaseException:
        print("# " + traceback.format_exc().rstrip().replace("\n", "\n# "), file=sys.stderr,
              flush=True)
        return "", False
    return "", True


def run(*cases):
    """Runs the cases, or those that the command line names, and ends the process."""
    if "REAPED" not in os.environ:
        os.environ["REAPED"] = "1"
        os.execv(harness.ROOT + "/tests/reaper", ["reaper", sys.executable, *sys.argv])
    os.environ["PATH"], os.environ["LC_ALL"] = hosts.PATH, "C"
    if os.geteuid():
        print("1..0 # SKIP needs root")
        sys.exit(0)
    harness.become_subreaper()
    chosen = [case for case in cases if not sys.argv[1:] or case.__name__ in sys.argv[1:]]
    print(f"1..{len(chosen)}", flush=True)
    failed = 0
    for number, case in enumerate(chosen, 1):
        remark, passed = run_case(case)
        left = harness.kill_descendants()
        if left:
            note(f"processes that would not go: {left}")
        passed = passed and not left
        failed += not passed
        text = " ".join(case.__doc__.split()).rstrip(".")
        print(f"{'ok' if passed else 'not ok'} {number} - {case.__name__}: {text}{remark}",
              flush=True)
    sys.exit(failed != 0)
