#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A restore names the file that is not what it was at the checkpoint, and leaves nothing behind.
. "$(dirname "$0")/../lib.sh"

counter=$BUILD/tests/kinds/counter
program=$SCRATCH/program
cp "$counter" "$program"
mkdir "$SCRATCH/run"

# refused NAME TEXT: the image is not restored, and the message has this text.
refused() {
	local output status=0

	output=$("$CRIU_LITE" restore "$IMAGE" --detach 2>&1) || status=$?
	ok "$1: refused" test "$status" != 0
	ok "$1: the file is named" grep -q "$2" <<<"$output" || diag "$output"
	ok "$1: no process is left" gone "$PID"
}

start "$program" "$SCRATCH/run"
wait_until "test -e '$SCRATCH/run/ready'" || bail "the program is not ready"
ok "checkpoint" checkpoint "$PID" || bail "cannot go on"
touch -r "$program" "$SCRATCH/time"

printf x >>"$program"
refused "a program that has grown" "$program has [0-9]* bytes"
truncate -s -1 "$program"
refused "a program that was written to" "$program was written to"
mv "$program" "$program.away"
refused "a program that is gone" "$program"
mkdir "$program"
refused "a directory in its place" "$program is another type of file"
rmdir "$program"
mv "$program.away" "$program"
touch -r "$SCRATCH/time" "$program"
ok "restore with the file as it was" restore || bail "cannot go on"
touch "$SCRATCH/run/go"
wait_until "test -e '$SCRATCH/run/result'"
is "the program is right" "$(cat "$SCRATCH/run/result")" PASS
done_testing
