#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# No input makes a parser crash, overrun, leak or hang: each fuzz target runs for FUZZ_SECONDS,
# starting from the inputs in tests/fuzz/corpus/NAME.
set -u

cd "$(dirname "$0")/.."
build=${BUILD:-build}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# run_target NAME: leaves NAME.log and, on success, NAME.passed in the scratch directory.
run_target() {
	local seeds=tests/fuzz/corpus/$1

	[ -d "$seeds" ] || seeds=
	mkdir "$scratch/$1"
	"$build/fuzz/tests/fuzz/$1" -max_total_time="${FUZZ_SECONDS:-5}" -timeout=10 \
		-rss_limit_mb=1024 -verbosity=0 -artifact_prefix="$build/fuzz/$1-" \
		"$scratch/$1" $seeds </dev/null >"$scratch/$1.log" 2>&1 && : >"$scratch/$1.passed"
}

names=
for source in tests/fuzz/*.c; do
	name=$(basename "$source" .c)
	names="$names $name"
	while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
	run_target "$name" 2>/dev/null &
done
wait

number=0 failed=0
for name in $names; do
	number=$((number + 1))
	if [ -e "$scratch/$name.passed" ]; then
		echo "ok $number - $name"
	else
		echo "not ok $number - $name"
		failed=1
		{
			echo "$name:"
			grep -m1 -A14 ERROR "$scratch/$name.log"
			tail -n 4 "$scratch/$name.log"
		} | sed 's/^/# /' >&2
	fi
done
[ $number = 0 ] && echo "1..0 # SKIP no fuzz targets" || echo "1..$number"
exit $failed
