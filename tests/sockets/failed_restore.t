#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A restore that cannot have a socket's name says who has it, and leaves no file behind.
. "$(dirname "$0")/../lib.sh"

dir=$SCRATCH/files
mkdir "$dir"
start /usr/bin/python3 "$ROOT/tests/faults/socket_files.py" "$dir"
wait_until "test -e $dir/ready" || bail "$(cat "$SCRATCH/output.$PID")"
ok 'checkpoint' checkpoint "$PID" || bail 'cannot go on'

# What is in the directory; its own time may change.
entries() {
	find "$dir" -mindepth 1 -printf '%P %i %y %m %U %G %n %s\n' | sort
}

# fails NAME TEXT: restore fails with this text, and the directory is as it was.
fails() {
	local before status=0

	before=$(entries)
	timeout -s KILL 60 "$CRIU_LITE" restore "$IMAGE" --detach >"$SCRATCH/log" 2>&1 || status=$?
	is "$1: exit status" $status 1
	ok "$1: the reason" grep -E "$2" "$SCRATCH/log" || diag "$(cat "$SCRATCH/log")"
	is "$1: no file is left or lost" "$(entries)" "$before"
	ok "$1: no process is left" gone "$PID"
}

saved=$PID
# Somebody listens at the same path.
mv "$dir/listener" "$dir/stale"
start /usr/bin/python3 -c "
import socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
s.bind('$dir/listener'); s.listen(1)
open('$SCRATCH/path-listens', 'w').close(); time.sleep(60)"
other=$PID PID=$saved
wait_until "test -e $SCRATCH/path-listens" || bail 'no listener'
fails 'path in use' 'cannot bind it to .*listener.*in use'
kill_tree "$other"
PID=$saved

# A file that is no socket.
rm "$dir/listener"
echo precious >"$dir/listener"
fails 'path taken by a file' 'cannot bind it to .*listener.*in use'
is 'the file is untouched' "$(cat "$dir/listener")" precious
rm "$dir/listener"

# The port, after the path was bound.
start /usr/bin/python3 -c "
import socket, time
s = socket.socket()
s.bind(('127.0.0.1', $(cat "$dir/port"))); s.listen(1)
open('$SCRATCH/listens', 'w').close(); time.sleep(60)"
other=$PID PID=$saved
wait_until "test -e $SCRATCH/listens" || bail 'no listener'
fails 'port in use, no file before' "127.0.0.1:$(cat "$dir/port").*in use"
kill_tree "$other"
PID=$saved

# A later step fails.
for step in threads state go; do
	CRIU_LITE_FAULT=$step fails "step $step" 'injected'
done

ok 'restore' restore
touch "$dir/go"
ok 'it goes on' wait_until "test -e $dir/done"
done_testing
