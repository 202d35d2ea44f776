#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: kinds=runtime
# A container of runc is saved by its name, and is one of runc again where it comes back.
. "$(dirname "$0")/../lib.sh"
need runc busybox

ID=criu-lite-runc-$$
BUNDLE=$SCRATCH/bundle
RUNC="runc --root $SCRATCH/state"
TARGET=runc@$SCRATCH/state:$ID
trap '$RUNC delete --force $ID >/dev/null 2>&1; rm -rf "$SCRATCH"' EXIT

mkdir -p "$BUNDLE/rootfs/bin" "$BUNDLE/rootfs/proc" "$BUNDLE/rootfs/dev" "$BUNDLE/rootfs/sys"
cp "$(command -v busybox)" "$BUNDLE/rootfs/bin/busybox"
for applet in sh sleep true ps cat; do
	ln -s busybox "$BUNDLE/rootfs/bin/$applet"
done
(cd "$BUNDLE" && runc spec)
python3 - "$BUNDLE/config.json" "$ID" <<'END'
import json, sys
with open(sys.argv[1]) as file:
    config = json.load(file)
config["process"].update(terminal=False, args=["sh", "-c", "sleep 1000 & wait"])
config["linux"]["cgroupsPath"] = "/" + sys.argv[2]
config["linux"]["resources"].update(memory={"limit": 64 << 20}, pids={"limit": 40},
                                    cpu={"quota": 50000, "period": 100000, "shares": 512})
config["linux"]["namespaces"].append({"type": "cgroup"})
with open(sys.argv[1], "w") as file:
    json.dump(config, file)
END

status() {
	$RUNC state $ID 2>/dev/null | sed -n 's/.*"status": "\(.*\)".*/\1/p'
}

first() {
	$RUNC state $ID | sed -n 's/.*"pid": \([0-9]*\),.*/\1/p'
}

save() {
	"$CRIU_LITE" checkpoint --container "$TARGET" -o "$IMAGE" "$@"
}

# All that is set of its cgroups, and what it sees of them.
looks() {
	local directory name

	cat "/proc/$(first)/cgroup"
	$RUNC exec $ID cat /proc/1/cgroup
	for directory in $(awk '/ - cgroup2? / { print $5 }' /proc/self/mountinfo); do
		for name in pids.max memory.limit_in_bytes memory.max cpu.max cpu.cfs_quota_us \
			cpu.shares devices.list; do
			[ ! -e "$directory/$ID/$name" ] || echo "$name $(cat "$directory/$ID/$name")"
		done
	done
}

# The directories of its cgroups that are there.
cgroups() {
	awk '/ - cgroup2? / { print $5 }' /proc/self/mountinfo |
		while read -r directory; do
			[ ! -d "$directory/$ID" ] || echo "$directory/$ID"
		done
}

ok 'one that is not there' fails 4 'No such file' "$CRIU_LITE" check --container "$TARGET"
ok 'an unknown runtime' fails 2 'known are: runc' "$CRIU_LITE" check --container x:y
$RUNC --log "$SCRATCH/log" create --bundle "$BUNDLE" $ID </dev/null >/dev/null 2>&1 ||
	skip_all "runc cannot make containers here: $(tail -n 1 "$SCRATCH/log")"
ok 'one that was not started' fails 4 'not started' "$CRIU_LITE" check --container "$TARGET"
$RUNC start $ID
wait_until "$RUNC exec $ID ps | grep -q 'sleep 1000'" || bail 'it does not run'
before=$(looks)

$RUNC exec -d $ID sleep 500 </dev/null >/dev/null 2>&1
wait_until "$RUNC exec $ID ps | grep -q 'sleep 50[0]'"
ok 'who came by runc exec is in the way' fails 3 'sleep: entered the container from outside' \
	save --leave-running
$RUNC exec $ID sh -c 'kill $(ps | grep "sleep 50[0]" | while read pid rest; do echo $pid; done)'
wait_until "! $RUNC exec $ID ps | grep -q 'sleep 500'"
ok 'it can be saved' "$CRIU_LITE" check --container "$TARGET" || bail 'in vain'
ok 'a snapshot' save --leave-running
is 'it runs on' "$(status)" running

ok 'it is saved' save
is 'runc knows that it has ended' "$(status)" stopped
ok 'the state of an ended one is replaced' "$CRIU_LITE" restore "$IMAGE" --detach
is 'it runs' "$(status)" running
is 'in its cgroups' "$(looks)" "$before"
ok 'there cannot be two' fails 3 'is there already' "$CRIU_LITE" restore "$IMAGE" --detach
is 'which does not harm the first' "$(status)" running

$RUNC pause $ID
ok 'it is saved while paused' save
$RUNC delete $ID
is 'nothing is there of it' "$($RUNC list -q)$(cgroups)" ''
for step in prepare finish; do
	ok "the restore fails after $step" \
		fails 1 '' env CRIU_LITE_FAULT=$step:after "$CRIU_LITE" restore "$IMAGE" --detach
	ok 'and leaves nothing behind' wait_until "[ -z \"\$($RUNC list -q)\$(cgroups)\" ]"
	is 'no state either' "$(ls "$SCRATCH/state")" ''
done
mv "$BUNDLE/config.json" "$SCRATCH/config.json"
ok 'it comes back' "$CRIU_LITE" restore "$IMAGE" --detach
is 'still paused' "$(status)" paused
ok 'runc resume' $RUNC resume $ID
is 'with the configuration that it had' "$(cat "$BUNDLE/config.json")" "$(cat "$SCRATCH/config.json")"
ok 'runc list' [ "$($RUNC list -q)" = $ID ]
ok 'runc exec' $RUNC exec $ID true
is 'in its cgroups' "$(looks)" "$before"
is 'who sees its state' "$(stat -c %a "$SCRATCH/state/$ID" "$SCRATCH/state/$ID/state.json" |
	xargs)" '711 600'
ok 'runc kill' $RUNC kill $ID KILL
ok 'it ends' wait_until "[ \"\$(status)\" = stopped ]"
ok 'runc delete' $RUNC delete $ID
is 'nothing is there of it' "$($RUNC list -q)$(cgroups)" ''

done_testing
