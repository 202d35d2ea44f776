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
from peers import CLIENT4, CLIENT6, PORT, SERVER4, SERVER6, Program, Receiver, Sender, Stream, \
    ip, main, test

SIZE = 1000000
CYCLES = 20


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.005)


def cycle(program, *arguments):
    return test("checkpoint", program.checkpoint(*arguments), harness.read_text(program.log)) and \
        test("restore", program.restore(), harness.read_text(program.log))


def listeners():
    return subprocess.run(["ss", "-Htlna"], capture_output=True, text=True).stdout.splitlines()


def tables():
    return subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout


def streams(networks, scratch):
    program = Program(scratch, PORT)
    both = [Stream(networks, program, "v4", SERVER4), Stream(networks, program, "v6", SERVER6)]
    for turn in range(CYCLES):
        if not (program.checkpoint() and tables().count("criu-lite-") == 1 and
                program.restore() and not tables() and all(stream.flows() for stream in both)):
            test(f"turn {turn}", False, harness.read_text(program.log), tables(),
                 [stream.receiver.problem for stream in both])
            break
    test("a program that runs on is saved", program.checkpoint("--leave-running") and
         all(stream.flows() for stream in both), harness.read_text(program.log))
    for step in ("files", "seal", "release"):
        program.checkpoint(environment={"CRIU_LITE_FAULT": step})
        test(f"it runs on when step {step} fails", all(stream.flows() for stream in both),
             harness.read_text(program.log))
    test("no lock stays", not tables(), tables())
    for stream in both:
        stream.end()
        print(f"# {stream.name}: longest silence {stream.receiver.silence:.3f}")
    program.end()


def connecting(networks, scratch):
    """Connections that the program has asked for, and whose peers have not answered yet."""
    listeners = [networks.listen(address, PORT + 1) for address in (CLIENT4, CLIENT6)]
    networks.filter("add table inet t; add chain inet t c { type filter hook input priority 0; }; "
                    f"add rule inet t c tcp dport {PORT + 1} drop")
    program = Program(scratch, PORT, *(f"connect out-{family} {address} {PORT + 1}" for
                                       family, address in (("v4", CLIENT4), ("v6", CLIENT6))))
    wait_for(lambda: states().count("SYN-SENT") == 2)
    cycle(program)
    test("it asks for them anew", states().count("SYN-SENT") == 2, states())
    networks.filter("delete table inet t")
    for listener, family in zip(listeners, ("v4", "v6")):
        stream = Stream(networks, program, f"out-{family}", connection=listener.accept()[0])
        test(f"out-{family} flows", stream.flows(), stream.receiver.problem)
        stream.end()
    program.end()


def closed(networks, scratch):
    """With --tcp close the program finds its connections reset, and so do the peers."""
    program = Program(scratch, PORT)
    stream = Stream(networks, program, "closed", SERVER4)
    test("bytes flow", stream.flows())
    test("checkpoint", program.checkpoint("--tcp", "close"), harness.read_text(program.log))
    stream.receiver.join(20)
    test("the peer learns of it", stream.receiver.problem or stream.receiver.ended)
    test("no lock stays", not tables(), tables())
    test("restore", program.restore(), harness.read_text(program.log))
    test("the program learns of it", "False" in program.wait("closed"))
    stream = Stream(networks, program, "new", SERVER4)
    test("it serves new peers", stream.flows(), stream.receiver.problem)
    stream.end()
    program.end()
    del networks.resets[:]


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
        self.program.tell(self.name + ".go")
        self.receiver.run()
        self.sender.send(SIZE)
        self.shut()


class PeerEndedFirst(Half):
    state = "LAST-ACK"

    def before(self):
        self.open("ends", "later")
        self.shut()
        self.program.wait(self.name + ".said")

    def after(self):
        self.program.tell(self.name + ".go")
        self.receiver.run()


class EndsHaveMet(PeerEndedFirst):
    state, restored = "CLOSING", "LAST-ACK"	# which is the same to the program

    def before(self):
        self.open("ends")
        self.program.wait(self.name + ".said")
        self.shut()
        wait_for(lambda: states().count("CLOSING") == 1 + (self.address == SERVER6))


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
    for kind in (PeerHasEnded, ProgramHasEnded, EndIsOnItsWay, PeerEndedFirst, EndsHaveMet,
                 QueuesAreFull):
        for family, address in (("v4", SERVER4), ("v6", SERVER6)):
            half = kind(networks, program, f"{kind.__name__}-{family}", address)
            half.before()
            halves.append(half)
    wanted = sorted(half.state for half in halves)
    seen = sorted(state for state in states() if state != "LISTEN")
    test("the states are those to be tested", seen == wanted, seen, wanted)
    if cycle(program):
        wanted = sorted(getattr(half, "restored", half.state) for half in halves)
        seen = sorted(state for state in states() if state != "LISTEN")
        test("the states are there again", seen == wanted, seen, wanted)
        for half in halves:
            half.after()
            half.checked()
    program.end()


def waiting(networks, scratch):
    """What waits to be accepted is waited for; what never is, is refused."""
    program = Program(scratch, PORT)
    stopped = Program(scratch, PORT + 2)
    streams = [Stream(networks, program, f"soon-{i}", SERVER4) for i in range(8)]
    test("while some connect", program.checkpoint("--leave-running"),
         harness.read_text(program.log))
    for stream in streams:
        test(f"{stream.name} flows", stream.flows(), stream.receiver.problem)
        stream.end()
    program.end()
    stopped.tell("busy")
    taken, left = [networks.connect(SERVER4, PORT + 2) for _ in range(2)]
    wait_for(lambda: any(line.split()[:2] == ["LISTEN", "1"] for line in listeners()))
    status = stopped.run("checkpoint", "-t", str(stopped.pid), "-o", stopped.image)
    test("one that is not accepted is refused", status == 3 and
         "wait to be accepted" in harness.read_text(stopped.log), harness.read_text(stopped.log))
    test("unless it may be closed", stopped.checkpoint("--tcp", "close"),
         harness.read_text(stopped.log))
    try:
        data = left.recv(1)
    except ConnectionResetError:
        data = b""
    test("its peer learns of it", data == b"")
    taken.close()
    stopped.end()
    del networks.resets[:]


def elsewhere(networks, scratch):
    """A machine that does not have the address is told so, and the image is as good as before."""
    program = Program(scratch, PORT)
    stream = Stream(networks, program, "moved", SERVER4)
    test("checkpoint", program.checkpoint(), harness.read_text(program.log))
    ip("address", "del", f"{SERVER4}/24", "dev", "server")
    test("no restore without the address", not program.restore())
    test("the reason is given", f"cannot bind a socket to [::ffff:{SERVER4}]" in
         harness.read_text(program.log), harness.read_text(program.log))
    ip("address", "add", f"{SERVER4}/24", "dev", "server")
    test("restore", program.restore(), harness.read_text(program.log))
    test("bytes flow", stream.flows(), stream.receiver.problem)
    stream.end()
    program.end()


def given_up(networks, scratch):
    program = Program(scratch, PORT)
    stream = Stream(networks, program, "given-up", SERVER4)
    test("checkpoint", program.checkpoint(), harness.read_text(program.log))
    time.sleep(0.3)
    test("the peer waits", not stream.receiver.problem and not stream.receiver.ended)
    test("unlock", program.run("unlock", program.image) == 0, harness.read_text(program.log))
    test("no lock stays", not tables(), tables())
    stream.receiver.join(20)
    stream.sender.join(20)
    told = [type(end.problem) for end in (stream.receiver, stream.sender)]
    test("the peer is told", ConnectionResetError in told, told)
    test("there is none any more", program.run("unlock", program.image) == 0 and
         "nothing is locked" in harness.read_text(program.log), harness.read_text(program.log))
    del networks.resets[:]


def run(networks, scratch):
    streams(networks, scratch)
    in_all_states(networks, scratch)
    connecting(networks, scratch)
    elsewhere(networks, scratch)
    test("no reset was seen", not networks.resets, networks.resets)
    given_up(networks, scratch)
    waiting(networks, scratch)
    closed(networks, scratch)


sys.exit(main(run))
