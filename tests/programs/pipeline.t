#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A shell pipeline loses, repeats and changes no byte.
. "$(dirname "$0")/../lib.sh"

# Counts until it is told to stop, so the pipes between the programs are full at any time.
produce='use strict; my $n = 0; $| = 1;
while (! -e "$ARGV[0]/stop") { print ++$n, "\n" for 1 .. 1000 }
open my $f, ">", "$ARGV[0]/last" or die; print $f $n; close $f'
# The same filters see the numbers once more, at one go.
filter='sed "s/7/seven/g" | tr 0-4 a-e | gzip -1 | gunzip'
start /bin/sh -c "perl -e '$produce' '$SCRATCH' | $filter | tee '$SCRATCH/copy' |
	sha256sum >'$SCRATCH/sum'; echo \$? >'$SCRATCH/status'"
wait_until "[ -s '$SCRATCH/copy' ]" || bail "the pipeline does not start"

grows() {
	local size
	size=$(stat -c %s "$SCRATCH/copy")
	wait_until "[ \$(stat -c %s '$SCRATCH/copy') -gt $((size + 1000000)) ]"
}
cycles 'bytes flow' grows
snapshots 'bytes flow' grows

: >"$SCRATCH/stop"
ok 'the pipeline ends' wait_until "[ -s '$SCRATCH/status' ]"
is 'with success' "$(cat "$SCRATCH/status")" 0
last=$(cat "$SCRATCH/last")
is "what came out of $last numbers" "$(cat "$SCRATCH/sum")" \
	"$(seq 1 "$last" | sh -c "$filter" | sha256sum)"
is 'the copy is the same' "$(sha256sum <"$SCRATCH/copy")" "$(cat "$SCRATCH/sum")"
done_testing
