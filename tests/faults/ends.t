#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A program that ends while it is being let go, or in an odd way, ends as it wanted; habits of the
# caller do no harm.
. "$(dirname "$0")/../lib.sh"

# save MODE: a program of ends.c into $IMAGE.
save() {
	rm -f "$SCRATCH/ready"*
	start "$BUILD/tests/faults/ends" "$1" "$SCRATCH/ready"
	wait_until "test -s '$SCRATCH/ready'" || bail "$1 does not come up"
	PID=$(cat "$SCRATCH/ready")
	timeout -s KILL 60 "$CRIU_LITE" checkpoint -t "$PID" -o "$IMAGE" || bail "$1: no image"
	# The parent of one of them has to go before its pid is free.
	kill -KILL "$(cat "$SCRATCH/.pid")" 2>/dev/null
	gone "$PID"
}

# status COMMAND…: of a restore in the foreground by that command.
status() {
	timeout -s KILL 60 "$@" "$CRIU_LITE" restore "$IMAGE" </dev/null >"$SCRATCH/log" 2>&1
	echo $?
}

save threads
is 'it ends while its threads are let go' "$(status env)" 7
is 'again' "$(status env)" 7
is 'its end is seen although the caller ignores SIGCHLD' \
	"$(status /bin/sh -c 'trap "" CHLD; exec "$@"' sh)" 7
save leader
is 'a first thread that is gone keeps nobody from learning of the end' "$(status env)" 5
save signal
is 'one whose end nobody was told of' "$(status env)" 9

# Standard descriptors that are closed: nothing else takes their numbers.
for number in 0 1 2; do
	save hangup
	ok "without descriptor $number: restore" timeout -s KILL 60 /bin/sh -c "exec \"\$@\" $number>&-" \
		sh "$CRIU_LITE" restore "$IMAGE" --detach --pidfile "$SCRATCH/pid"
	PID=$(cat "$SCRATCH/pid")
	timeout -s KILL 60 "$CRIU_LITE" -vv checkpoint -t "$PID" -o "$IMAGE" --stats <&- >&- 2>&-
	is "without descriptors: checkpoint" $? 0
	ok 'without descriptors: the image is whole' "$CRIU_LITE" verify "$IMAGE"
done

# nohup
timeout -s KILL 60 /bin/sh -c 'trap "" HUP; echo $$ >"$0"; exec "$@"' "$SCRATCH/pid" \
	"$CRIU_LITE" restore "$IMAGE" --stdio null </dev/null >"$SCRATCH/log" 2>&1 &
wait_until "test \"\$(tr '\0' ' ' </proc/$PID/cmdline)\" = '$BUILD/tests/faults/ends hangup $SCRATCH/ready '"
sleep 0.2
kill -HUP "$(cat "$SCRATCH/pid")"
sleep 0.2
ok 'a hangup that is ignored is not passed on' test ! -e "$SCRATCH/ready.hup"
kill -KILL "$PID"
wait 2>/dev/null

# A failed restore does not remove what it has not made.
mknod "$SCRATCH/null" c 1 3
CRIU_LITE_FAULT=go "$CRIU_LITE" restore "$IMAGE" --detach --pidfile "$SCRATCH/null" 2>"$SCRATCH/log"
is 'a failed restore: status' $? 1
ok 'a failed restore: a device stays' test -c "$SCRATCH/null"
done_testing
