#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections with peers outside of the tree go on after a restore, and the peers notice nothing."""

import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
import harness
from peers import PORT, SERVER4, SERVER6, Program, Receiver, Sender, Stream, main, test

SIZE = 1000000


def cycle(program, *arguments):
    return test("checkpoint", program.checkpoint(*arguments), harness.read_text(program.log)) and \
        test("restore", program.restore(), harness.read_text(program.log))


def streams(networks, scratch):
    program = Program(scratch, PORT)
    both = [Stream(networks, program, "v4", SERVER4), Stream(networks, program, "v6", SERVER6)]
    time.sleep(0.1)
    cycle(program)
    for stream in both:
        test(f"{stream.name} flows", stream.flows(), stream.receiver.problem)
        stream.end()
        print(f"# {stream.name}: longest silence {stream.receiver.silence:.3f}")
    program.end()


class Half:
    """A connection that is in some state while its program does not run; what it is about."""

    def __init__(self, networks, program, name, address):
        self.program, self.name = program, name
        self.networks, self.address = networks, address
        self.sender = self.receiver = None

    def open(self, *words):
        connection = self.networks.connect(self.address, PORT, words[0], self.name, *words[1:])
        self.sender, self.receiver = Sender(connection), Receiver(connection)

    def shut(self):
        self.sender.connection.shutdown(socket.SHUT_WR)

    def checked(self):
        said = self.program.wait(self.name).split()
        test(f"{self.name}: every byte has arrived in its place",
             said == [str(self.receiver.count), str(self.sender.count), "False"] and
             not self.receiver.wrong and self.receiver.ended,
             said, self.receiver.count, self.sender.count, self.receiver.problem)
        self.sender.connection.close()


class PeerHasEnded(Half):
    state = "CLOSE-WAIT"

    def before(self):
        self.open("answers", str(SIZE))
        self.sender.send(SIZE)
        self.shut()
        self.program.wait(self.name + ".read")

    def after(self):
        self.program.tell(self.name + ".go")
        self.receiver.run()


class ProgramHasEnded(Half):
    state = "FIN-WAIT-2"

    def before(self):
        self.open("listens", str(SIZE))
        self.receiver.run()

    def after(self):
        self.sender.send(SIZE)
        self.shut()


class EndIsOnItsWay(Half):
    state = "FIN-WAIT-1"

    def before(self):
        self.open("ends")
        self.program.wait(self.name + ".said")

    def after(self):
        self.receiver.run()
        self.sender.send(SIZE)
        self.shut()


class BothHaveEnded(Half):
    state = "LAST-ACK"

    def before(self):
        self.open("ends")
        self.shut()
        self.program.wait(self.name + ".said")

    def after(self):
        self.receiver.run()


class QueuesAreFull(Half):
    state = "ESTAB"

    def before(self):
        self.open("held")
        self.sender.start()
        time.sleep(0.3)

    def after(self):
        self.program.tell(self.name + ".go")
        self.receiver.start()
        self.sender.stop()
        self.receiver.join(20)


def states():
    """The states that TCP connections of our network are in, with those of "lo"."""
    lines = subprocess.run(["ss", "-Htan"], capture_output=True, text=True).stdout.splitlines()
    return [line.split()[0] for line in lines]


def in_all_states(networks, scratch):
    program = Program(scratch, PORT)
    halves = []
    for kind in (PeerHasEnded, ProgramHasEnded, EndIsOnItsWay, BothHaveEnded, QueuesAreFull):
        for family, address in (("v4", SERVER4), ("v6", SERVER6)):
            half = kind(networks, program, f"{kind.__name__}-{family}", address)
            half.before()
            halves.append(half)
    wanted = sorted(half.state for half in halves)
    seen = sorted(state for state in states() if state != "LISTEN")
    test("the states are those to be tested", seen == wanted, seen, wanted)
    if cycle(program):
        seen = sorted(state for state in states() if state != "LISTEN")
        test("the states are there again", seen == wanted, seen, wanted)
        for half in halves:
            half.after()
            half.checked()
    program.end()


def run(networks, scratch):
    streams(networks, scratch)
    in_all_states(networks, scratch)
    test("no reset was seen", not networks.resets, networks.resets)


sys.exit(main(run))
