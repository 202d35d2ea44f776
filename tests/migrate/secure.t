#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Both sides know whom they talk to, or nothing is said: certificates, a shared key, a command."""

import os
import socket
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from worlds import Failed, Receiver, Scene, harness, migrate, run


def openssl(directory, *words):
    subprocess.run(["openssl", *words], check=True, cwd=directory, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_ca(directory, name):
    openssl(directory, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", name + ".key", "-out", name + ".pem", "-subj", "/CN=" + name,
            "-days", "2")


def make_certificate(directory, ca, name, san):
    with open(os.path.join(directory, name + ".ext"), "w") as extension:
        extension.write("subjectAltName=" + san)
    openssl(directory, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", name + ".key", "-out", name + ".csr", "-subj", "/CN=" + name)
    openssl(directory, "x509", "-req", "-in", name + ".csr", "-CA", ca + ".pem", "-CAkey",
            ca + ".key", "-CAcreateserial", "-out", name + ".pem", "-days", "2", "-extfile",
            name + ".ext")


def tls(directory, name, ca="ca"):
    """The options that make this side the one of that name."""
    return ["--tls-cert", f"{directory}/{name}.pem", "--tls-key", f"{directory}/{name}.key",
            "--tls-ca", f"{directory}/{ca}.pem"]


def refused(scene, words, *texts):
    if not any(text in words for text in texts):
        raise Failed("it says: " + words)
    scene.expect_at(scene.worlds[0])
    scene.expect_clean()


def certificates():
    """With certificates of one authority a tree moves."""
    with Scene() as scene:
        here, there = scene.worlds
        make_ca(scene.scratch, "ca")
        make_certificate(scene.scratch, "ca", "here", "DNS:here")
        make_certificate(scene.scratch, "ca", "there", "IP:127.0.0.1,DNS:there")
        with Receiver(there, *tls(scene.scratch, "there"), "--tls-name", "here") as listens:
            migrate(here, "-t", scene.counter.pid, listens.where, *tls(scene.scratch, "here"))
            scene.expect_at(there)
        scene.expect_clean()


def wrong_certificates():
    """A wrong name, a wrong authority, no certificate, no TLS: refused on either side."""
    with Scene() as scene:
        here, there = scene.worlds
        directory = scene.scratch
        for ca in ("ca", "other"):
            make_ca(directory, ca)
        make_certificate(directory, "ca", "here", "DNS:here")
        make_certificate(directory, "ca", "there", "IP:127.0.0.1")
        make_certificate(directory, "ca", "elsewhere", "DNS:elsewhere")
        make_certificate(directory, "other", "stranger", "IP:127.0.0.1")

        def attempt(listener, source, *texts, listener_words=(), source_words=()):
            with Receiver(there, *listener, *listener_words) as listens:
                words = migrate(here, "-t", scene.counter.pid, listens.where, *source,
                                *source_words, "--timeout", "2", expect=6)
                refused(scene, words, *texts)

        good = tls(directory, "there")
        attempt(tls(directory, "elsewhere"), tls(directory, "here"), "mismatch")
        attempt(tls(directory, "stranger"), tls(directory, "here"), "certificate")
        attempt(good, tls(directory, "stranger"), "unknown ca", "certificate")
        attempt(good, tls(directory, "here"), "certificate", "closed", "broken",
                listener_words=["--tls-name", "there.example"])
        attempt(good, tls(directory, "here"), "mismatch", source_words=["--tls-name", "x"])
        attempt(good, [], "closed", "broken")
        attempt([], tls(directory, "here"), "TLS")


def shared_key():
    """With the same key on both sides a tree moves; with another, or none, it does not."""
    with Scene() as scene:
        here, there = scene.worlds
        keys = [os.path.join(scene.scratch, name) for name in ("key", "other")]
        for key in keys:
            with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(os.urandom(32).hex() + "\n")
        with Receiver(there, "--psk-file", keys[0]) as listens:
            words = migrate(here, "-t", scene.counter.pid, listens.where, "--psk-file", keys[1],
                            expect=6)
            refused(scene, words, "TLS")
            words = migrate(here, "-t", scene.counter.pid, listens.where, "--timeout", "2",
                            expect=6)
            refused(scene, words, "closed", "broken")
            migrate(here, "-t", scene.counter.pid, listens.where, "--psk-file", keys[0])
            scene.expect_at(there)
        scene.expect_clean()
        os.chmod(keys[0], 0o644)
        words = migrate(there, "-t", scene.counter.pid, "127.0.0.1:1", "--psk-file", keys[0],
                        expect=None)
        if "others may read this key" not in words and "cannot connect" not in words:
            raise Failed("it says: " + words)


def via():
    """A command's input and output are the connection; that it fails is said."""
    with Scene() as scene:
        here, there = scene.worlds
        receive = (f"nsenter -t {there.pid} -p -m {harness.CRIU_LITE} receive --stdio "
                   f"--state-dir {there.state}")
        words = migrate(here, "-t", scene.counter.pid, "--via", "exit 3", expect=6)
        refused(scene, words, "closed", "broken")
        # The relay stands outside of both worlds, as a network does.
        left, right = socket.socketpair()
        with left, right:
            outer = subprocess.Popen(receive.split(), stdin=right, stdout=right)
            right.close()
            os.set_inheritable(left.fileno(), True)
            number = left.fileno()
            done = here.start(harness.CRIU_LITE, "migrate", "-t", str(scene.counter.pid),
                              "--state-dir", here.state, "--via",
                              f"{sys.executable} {os.path.dirname(__file__)}/relay.py {number}",
                              pass_fds=[number], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            left.close()
            words = done.communicate(timeout=30)[0].decode()
            outer.wait(30)
        if done.returncode:
            raise Failed("it says: " + words)
        scene.expect_at(there)
        scene.expect_clean()


def loopback_only():
    """Without authentication only loopback will do, on both sides."""
    with Scene() as scene:
        here = scene.worlds[0]
        done = subprocess.run([harness.CRIU_LITE, "receive", "--listen", "0.0.0.0:0"],
                              check=False, capture_output=True, stdin=subprocess.DEVNULL)
        if done.returncode != 2 or b"loopback" not in done.stderr:
            raise Failed("receive says: " + done.stderr.decode())
        words = migrate(here, "-t", scene.counter.pid, "192.0.2.1:1", expect=2)
        refused(scene, words, "loopback")


sys.exit(run([certificates, wrong_certificates, shared_key, via, loopback_only]))
