#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# No input makes a parser crash, overrun, leak or hang: each fuzz target runs for FUZZ_SECONDS.
set -u

cd "$(dirname "$0")/.."
build=${BUILD:-build}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
number=0 failed=0
for target in "$build"/fuzz/tests/fuzz/*; do
	name=$(basename "$target")
	[ -f "$target" ] && [ -x "$target" ] && [ -f "tests/fuzz/$name.c" ] || continue
	number=$((number + 1))
	seeds=tests/fuzz/corpus/$name
	mkdir "$scratch/$name"
	[ -d "$seeds" ] || seeds=
	if "$target" -max_total_time="${FUZZ_SECONDS:-5}" -timeout=10 -rss_limit_mb=1024 \
		-verbosity=0 -artifact_prefix="$build/fuzz/$name-" "$scratch/$name" $seeds \
		</dev/null >"$scratch/log" 2>&1; then
		echo "ok $number - $name"
	else
		echo "not ok $number - $name"
		failed=1
		{ grep -m1 -A14 ERROR "$scratch/log"; tail -n 4 "$scratch/log"; } |
			sed 's/^/# /' >&2
	fi
done
[ $number = 0 ] && echo "1..0 # SKIP no fuzz targets" || echo "1..$number"
exit $failed
