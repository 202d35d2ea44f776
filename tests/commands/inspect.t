#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# inspect shows processes, memory and descriptors with their peers, and every record as JSON.
. "$(dirname "$0")/../lib.sh"
need python3

cat >"$SCRATCH/subject.py" <<'END'
import os, socket, sys, time
a, b = socket.socketpair()
r, w = os.pipe()
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
name = os.open(sys.argv[1] + "/na\nme", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for fd, number in (a, 10), (b, 11), (r, 12), (w, 13), (listener, 14), (name, 15):
    os.dup2(fd if isinstance(fd, int) else fd.fileno(), number, inheritable=True)
if os.fork() == 0:
    os.setpgid(0, 0)
    os.closerange(3, 15)
    open(sys.argv[1] + "/ready", "w").close()
while True:
    time.sleep(0.01)
END
mkdir "$SCRATCH/work"
start python3 "$SCRATCH/subject.py" "$SCRATCH/work"
wait_until "test -e '$SCRATCH/work/ready'" || bail 'the subject does not come up'
child=$(tree $PID | tail -n 1)
"$CRIU_LITE" checkpoint -t $PID -o "$IMAGE" --leave-running || bail 'no image'
"$CRIU_LITE" inspect "$IMAGE" >"$SCRATCH/text" || bail 'inspect fails'

line() {
	grep -c -e "$1" "$SCRATCH/text"
}

is 'the root' "$(line "^  $PID python3 (session $PID, group $PID), [0-9]* areas of .* saved$")" 1
is 'its child, indented' "$(line "^    $child python3 (session $PID, group $child), ")" 1
is 'the tree ran on' "$(line '; the tree ran on$')" 1
pair=$(sed -n "/process $PID:/,/process $child:/s/^ *10  \(#[0-9]*\) .*/\1/p" "$SCRATCH/text")
is 'peers of a socket pair' "$(line "^ *11  .*unix_socket connected .*<-> $pair$")" 1
pipe=$(sed -n "/process $PID:/,/process $child:/s/^ *12  \(#[0-9]*\) .*/\1/p" "$SCRATCH/text")
is 'the other end of a pipe' "$(line "^ *13  .*pipe \[w\] <-> $pipe$")" 1
is 'a listener with its address' \
	"$(line '^ *14  .*tcp_socket listening, local 127.0.0.1:[0-9]*, backlog')" 1
is 'paths without control characters' "$(line "^ *15  .*/work/na.x0ame \[w append\]")" 2
is 'areas of memory' "$("$CRIU_LITE" inspect --maps "$IMAGE" |
	grep -c '^    [0-9a-f]*-[0-9a-f]* r-xp .*object [0-9]* at 0x')" \
	"$("$CRIU_LITE" inspect --maps "$IMAGE" | grep -c ' r-xp .* object')"

"$CRIU_LITE" inspect --json "$IMAGE" >"$SCRATCH/json" || bail 'inspect --json fails'
json() {
	python3 -c 'import json, sys
image = json.load(open(sys.argv[1]))
records = image["records"]
def named(name):
    return [r["message"] for r in records if r["name"] == name]
print(eval(sys.argv[2]))' "$SCRATCH/json" "$1"
}
is 'the header' "$(json 'named("image")[0]["root_pid"]')" $PID
is 'the tree' "$(json '[t["pid"] for t in named("tree")[0]["tasks"]]')" "[$PID, $child]"
is 'a table for each process' "$(json 'sorted(m["pid"] for m in named("descriptors"))')" \
	"[$PID, $child]"
is 'every message has its fields' \
	"$(json 'all("message" in r for r in records if r["name"] != "pages")')" True
is 'the same through a pipe' "$(cat "$IMAGE" | "$CRIU_LITE" inspect - | tail -n +3 | cksum)" \
	"$(tail -n +3 "$SCRATCH/text" | cksum)"

head -c 1000 "$IMAGE" >"$SCRATCH/cut"
"$CRIU_LITE" inspect "$SCRATCH/cut" >/dev/null 2>&1
is 'a damaged image has its exit status' $? 5
"$CRIU_LITE" inspect "$SCRATCH/nothing" >/dev/null 2>&1
is 'a missing one, too' $? 1
kill_tree $PID
done_testing
