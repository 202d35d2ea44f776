#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Sockets that cannot be saved are named with the reason, and the program goes on with them.
. "$(dirname "$0")/../lib.sh"

# refused WHAT TEXT: a program with such a socket is refused with exit status 3 and this text.
refused() {
	local dir=$SCRATCH/$1 status=0

	mkdir -m 777 "$dir"
	start "$BUILD/tests/faults/odd_socket" "$dir" "$1"
	wait_until "test -e $dir/ready -o -e $dir/result" || bail "$1: $(cat "$SCRATCH/output.$PID")"
	if ! [ -e "$dir/ready" ]; then
		skip "$1" "$(cat "$dir/result")"
		return
	fi
	timeout -s KILL 60 "$CRIU_LITE" checkpoint -t "$PID" -o "$IMAGE" >"$dir/log" 2>&1 || status=$?
	ok "$1: the reason" grep -E "$2" "$dir/log" || diag "$(cat "$dir/log")"
	is "$1: exit status" $status 3
	ok "$1: no image" test ! -e "$IMAGE"
	touch "$dir/go"
	gone "$PID"
	is "$1: the program has found all as it was" "$(cat "$dir/result")" PASS
}

# Who holds the other end is told by name.
outside='process [0-9]+: descriptor [0-9]+ .*held by process [0-9]+ \(odd_socket\) outside'
refused unix-outside "$outside"
refused unix-waiting 'nobody has accepted yet holds data'
refused tcp-waiting 'nobody has accepted (it )?yet.* (holds|sent) data'
refused urgent 'urgent data'
refused netlink 'netlink messages wait in it'
refused nfqueue 'hands packets to it'
refused process-events 'what it wants to hear of processes'
refused multicast-router 'that of a multicast router'
refused bpf 'an eBPF program filters it'
refused packet 'packet rings of a socket cannot be saved'
refused mptcp 'Multipath TCP'
refused corked 'a datagram that is not complete'

# Where packets cannot be held off.
export CRIU_LITE_WITHOUT=packet-lock
refused tcp-outside 'packet-lock'
refused half-open 'packet-lock'
done_testing
