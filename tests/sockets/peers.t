#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections with peers outside of the tree go on after a restore, and the peers notice nothing."""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
import harness
from peers import SERVER4, SERVER6, Program, Receiver, Sender, main, test

PORT = 7000


class Stream:
    """Both directions at once, every byte checked at both ends."""

    def __init__(self, networks, program, name, address):
        self.program, self.name = program, name
        self.connection = networks.connect(address, PORT, "both", name)
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
    test("no reset was seen", not networks.resets, networks.resets)
    program.end()


sys.exit(main(streams))
