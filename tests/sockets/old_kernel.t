#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Sockets are restored without optional features of the kernel, and refused without others.
. "$(dirname "$0")/../lib.sh"

# What a killed one of others may have left is not ours.
temporary() {
	ls -A /tmp | grep '^\.criu-lite-'
}

before=$(temporary)
export CRIU_LITE_WITHOUT=private-mount
ok "Unix sockets without $CRIU_LITE_WITHOUT" "$ROOT/tests/kinds.t" --build "$BUILD" \
	--mode restore unix_socket unix_queue
is "nothing is left in /tmp" "$(temporary)" "$before"

# What we end leaves no port behind that must time out.
export CRIU_LITE_WITHOUT=sock-destroy
mkdir "$SCRATCH/files"
start /usr/bin/python3 "$ROOT/tests/faults/socket_files.py" "$SCRATCH/files"
wait_until "test -e $SCRATCH/files/ready" || bail "$(cat "$SCRATCH/output.$PID")"
ok "checkpoint without $CRIU_LITE_WITHOUT" checkpoint "$PID"
ok "restore without $CRIU_LITE_WITHOUT" restore
touch "$SCRATCH/files/go"
ok 'it goes on' wait_until "test -e $SCRATCH/files/done"
unset CRIU_LITE_WITHOUT

# refused FEATURE STATE TEXT
refused() {
	local dir=$SCRATCH/$1 status=0

	mkdir -m 777 "$dir"
	start "$BUILD/tests/kinds/$2" "$dir"
	wait_until "test -e $dir/ready" || bail "$(cat "$SCRATCH/output.$PID")"
	CRIU_LITE_WITHOUT=$1 "$CRIU_LITE" checkpoint -t "$PID" -o "$IMAGE" >"$dir/log" 2>&1 ||
		status=$?
	is "without $1: exit status" $status 3
	ok "without $1: the reason" grep "$3" "$dir/log" || diag "$(cat "$dir/log")"
	touch "$dir/go"
	gone "$PID"
	is "without $1: the program goes on" "$(cat "$dir/result")" PASS
}

refused unix-diag unix_socket 'does not tell who its peer is'
refused tcp-repair tcp_socket 'does not let connections be saved'
refused inet-diag tcp_socket 'does not let connections be saved'
done_testing
