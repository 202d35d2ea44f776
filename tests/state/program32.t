#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A 32-bit program is refused by name, and runs on.
. "$(dirname "$0")/../lib.sh"

# ELF header, one segment, and code: 1: mov $29, %eax (pause); int $0x80; jmp 1b
program=$SCRATCH/pause32
{
	printf '\177ELF\1\1\1\0\0\0\0\0\0\0\0\0\2\0\3\0\1\0\0\0'
	printf '\124\200\4\10\64\0\0\0\0\0\0\0\0\0\0\0\64\0\40\0\1\0\0\0\0\0\0\0'
	printf '\1\0\0\0\0\0\0\0\0\200\4\10\0\200\4\10\135\0\0\0\135\0\0\0\5\0\0\0\0\20\0\0'
	printf '\270\35\0\0\0\315\200\353\367'
} >"$program"
chmod +x "$program"
start "$program"
exe() {
	readlink "/proc/$PID/exe"
}
wait_until '[ "$(exe)" = "$program" ]' 2 || skip_all "this kernel runs no 32-bit programs"
status=0
timeout -s KILL 60 "$CRIU_LITE" checkpoint -t "$PID" -o "$IMAGE" >"$SCRATCH/log" 2>&1 || status=$?
ok "the reason" grep "process $PID: program: 32-bit programs cannot be saved" "$SCRATCH/log" ||
	diag "$(cat "$SCRATCH/log")"
is "exit status" $status 3
ok "it runs on" grep '^State:.*sleeping' "/proc/$PID/status"
done_testing
