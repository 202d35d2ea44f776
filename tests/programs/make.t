#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A parallel make with compilers that come and go is saved at any instant and builds the same.
. "$(dirname "$0")/../lib.sh"
need make gcc

mkdir "$SCRATCH/first" "$SCRATCH/second"
for i in $(seq 40); do
	printf '%s\n' '#include <stdio.h>' '#include <stdlib.h>' '#include <string.h>' \
		"int f$i(int n) { char b[32]; snprintf(b, sizeof(b), \"%d\", n * $i);" \
		'return strlen(b) + atoi(b); }' >"$SCRATCH/f$i.c"
done
{
	for i in $(seq 40); do echo "int f$i(int n);"; done
	echo '#include <stdio.h>'
	echo 'int main(void) { int s = 0;'
	for i in $(seq 40); do echo "s += f$i($i);"; done
	echo 'printf("%d\n", s); return 0; }'
} >"$SCRATCH/main.c"
cat >"$SCRATCH/Makefile" <<'EOF'
VPATH = ..
sources := $(notdir $(wildcard ../*.c))
program: $(sources:.c=.o)
	until test -e ../finish; do sleep 0.02; done
	gcc -o $@ $(sort $^)
%.o: %.c
	gcc -O2 -c -o $@ $<
EOF

start make -j2 -f ../Makefile -C "$SCRATCH/first"
built() {
	ls "$SCRATCH/first" | grep -c '\.o$'
}
goes_on() {
	wait_until "[ \$(built) -gt $before ] || [ $before = 41 ]"
}
for i in $(seq $CYCLES); do
	sleep 0.0$((RANDOM % 10))
	before=$(built)
	ok "checkpoint $i, with $before built" checkpoint "$PID" || bail 'cannot go on'
	ok "restore $i" restore || bail 'cannot go on'
	ok "it builds on" goes_on || bail 'cannot go on'
done
: >"$SCRATCH/finish"
ok 'make ends' gone "$PID"
is 'and has complained of nothing' "$(grep -hvE '^gcc|^until|^make: (Entering|Leaving)' "$SCRATCH"/output.*)" ''
make -s -j2 -f ../Makefile -C "$SCRATCH/second" >/dev/null
ok 'the objects are those of a build in one go' diff -r "$SCRATCH/first" "$SCRATCH/second"
done_testing
