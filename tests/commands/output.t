#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An image appears under its name when it is whole; until then nothing of it is there to see.
. "$(dirname "$0")/../lib.sh"

save() {
	"$CRIU_LITE" checkpoint -t $PID --leave-running -o "$@"
}

is 'help tells the options of a command' \
	"$("$CRIU_LITE" help checkpoint | grep -c -- --leave-running)" \
	"$("$CRIU_LITE" checkpoint --help | grep -c -- --leave-running)"

start sleep 1000
echo old >"$SCRATCH/there"
ln -s there "$SCRATCH/link"
ok 'a link is followed' save "$SCRATCH/link"
is 'and stays' "$(readlink "$SCRATCH/link")" there
ok 'the image is where it leads' "$CRIU_LITE" verify "$SCRATCH/there"
ln -s /proc/self/fd/1 "$SCRATCH/stdout"
save "$SCRATCH/stdout" >"$SCRATCH/redirected"
ok 'a link to standard output leads to its file' "$CRIU_LITE" verify "$SCRATCH/redirected"
is 'and stays, too' "$(readlink "$SCRATCH/stdout")" /proc/self/fd/1
mkfifo "$SCRATCH/fifo"
cat "$SCRATCH/fifo" >"$SCRATCH/copy" &
ok 'a FIFO is written to' save "$SCRATCH/fifo"
wait $!
ok 'and gets a whole image' "$CRIU_LITE" verify "$SCRATCH/copy"

mkdir "$SCRATCH/killed"
echo older >"$SCRATCH/killed/image"
for delay in 0.001 0.002 0.003 0.005 0.008; do
	"$CRIU_LITE" checkpoint -t $PID --leave-running -o "$SCRATCH/killed/image.$delay" \
		2>/dev/null &
	sleep $delay
	kill -KILL $! 2>/dev/null && wait $! 2>/dev/null
done
for delay in 0.001 0.002 0.003 0.005 0.008; do
	[ ! -e "$SCRATCH/killed/image.$delay" ] ||
		ok 'what has a name is whole' "$CRIU_LITE" verify "$SCRATCH/killed/image.$delay"
	rm -f "$SCRATCH/killed/image.$delay"
done
is 'a killed checkpoint leaves no file' "$(ls "$SCRATCH/killed")" image
CRIU_LITE_FAULT=seal save "$SCRATCH/killed/image" 2>/dev/null
is 'a failed one neither' "$(ls "$SCRATCH/killed")" image
ok 'the program runs' kill -0 $PID
done_testing
