#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The frozen time of a program that is ended does not count how long the kernel takes to free it.
. "$(dirname "$0")/../lib.sh"

start /usr/bin/python3 -c "
import sys, time
data = bytearray(b'x') * (256 << 20)
open(sys.argv[1], 'w').close()
time.sleep(1000)" "$SCRATCH/ready"
wait_until "test -e '$SCRATCH/ready'" || bail "the program does not come up"
ok 'checkpoint' "$CRIU_LITE" checkpoint -t "$PID" -o /dev/null --stats
cp "$SCRATCH/.ok" "$SCRATCH/stats"
# Of the steps from the freeze on, the last is when it is ended.
ok 'its end is not counted' awk '
	$1 == "freeze" { counts = 1 }
	$1 == "frozen" { frozen = $2 }
	$1 == "total" { counts = 0 }
	counts { sum += $2 }
	$1 == "release" { release = $2 }
	{ print }
	END { exit !(release > 1 && frozen > 0 && frozen < sum - release / 2) }' "$SCRATCH/stats"
done_testing
