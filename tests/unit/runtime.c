/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test: kinds=runtime */
/* The state that runc keeps: read, refused, written, and used by runc itself. */
#include "proc_testing.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/runc.h"

static const char whole[] =
	"{\"id\":\"one\",\"init_process_pid\":12,\"init_process_start\":345,\"created\":\"x\","
	"\"config\":{\"rootfs\":\"/b/rootfs\",\"labels\":[\"a=b\",\"bundle=/b\"]},"
	"\"cgroup_paths\":{\"\":\"/cg/u/one\",\"cpu\":\"/cg/cpu,cpuacct/one\",\"pids\":\"\","
	"\"memory\":\"/cg/memory/one\"},"
	"\"namespace_paths\":{\"NEWNET\":\"/run/netns/x\",\"NEWPID\":\"/proc/12/ns/pid\"},"
	"\"unknown\":[1,2.5,null]}";

static int parse_state(struct runtime_container *c, const char *id, const char *text,
		       struct error *err)
{
	*c = (struct runtime_container){
		.runtime = runtime_by_name("runc"),
		.root = strdup("/run/runc"),
		.id = strdup(id),
	};
	return (c->runtime->parse)(c, text, strlen(text), err);
}

static void is_read(void **state)
{
	_cleanup_runtime_ struct runtime_container c = { 0 };
	_cleanup_error_ struct error err = ERROR_INIT;

	assert_int_equal(parse_state(&c, "one", whole, &err), 0);
	assert_int_equal(c.pid, 12);
	assert_int_equal(c.start_time, 345);
	assert_string_equal(c.bundle, "/b");
	assert_string_equal(c.rootfs, "/b/rootfs");
	assert_int_equal(c.cgroups.count, 3);
	assert_string_equal(c.cgroups.items[1].controllers, "cpu");
	assert_string_equal(c.cgroups.items[1].directory, "/cg/cpu,cpuacct/one");
	assert_int_equal(c.namespaces.count, 2);
	assert_string_equal(c.namespaces.items[1].type, "NEWPID");
}

/* `from` replaced by `to` in the whole state. */
static char *changed(const char *from, const char *to)
{
	const char *at = strstr(whole, from);
	char *text;

	assert_non_null(at);
	assert_true(asprintf(&text, "%.*s%s%s", (int)(at - whole), whole, to,
			     at + strlen(from)) > 0);
	return text;
}

static void is_refused(void **state)
{
	static const struct {
		const char *from, *to;
	} changes[] = {
		{ "{\"id\"", "" },
		{ "\"one\",", "\"two\"," },
		{ "\"one\",", "7," },
		{ ":12,", ":0," },
		{ ":12,", ":-1," },
		{ ":12,", ":4194305," },
		{ ":12,", ":99999999999999999999999," },
		{ ":12,", ":\"12\"," },
		{ ":345,", ":-5," },
		{ ":345,", ":1.5," },
		{ "\"/b/rootfs\"", "\"b/rootfs\"" },
		{ "\"/b/rootfs\"", "\"/b/../rootfs\"" },
		{ "\"/b/rootfs\"", "null" },
		{ "bundle=/b", "bundle=b" },
		{ "\"/cg/u/one\"", "\"/cg/u/..\"" },
		{ "\"/cg/u/one\"", "5" },
		{ "\"/cg/u/one\"", "\"relative\"" },
		{ "\"cgroup_paths\"", "\"other\"" },
		{ "\"namespace_paths\"", "\"other\"" },
		{ "\"/run/netns/x\"", "\"\"" },
		{ "\"/run/netns/x\"", "{}" },
		{ "\"created\":\"x\"", "\"id\":\"one\"" },
		{ "}", "" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(changes); i++) {
		_cleanup_free_ char *text = changed(changes[i].from, changes[i].to);
		_cleanup_runtime_ struct runtime_container c = { 0 };
		_cleanup_error_ struct error err = ERROR_INIT;

		if (!parse_state(&c, "one", text, &err))
			fail_msg("accepted: %s", text);
		assert_int_equal(err.kind, ERROR_TARGET);
		assert_non_null(err.message);
	}
}

static void names_are_checked(void **state)
{
	static const char *const names[] = { "", "runc", "runc:", ":x", "docker:x", "runc@x:y",
					     "runc:..", "runc:a/b", "runc@/x:.", "runc:a b" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_runtime_ struct runtime_container c = { 0 };
		_cleanup_error_ struct error err = ERROR_INIT;

		assert_int_equal(runtime_find(&c, names[i], &err), -1);
		assert_int_equal(err.kind, ERROR_USAGE);
	}
}

static void what_changes_is_changed(void **state)
{
	struct runtime_cgroup cgroups[] = {
		{ (char *)"cpuacct,cpu", (char *)"/other/cpu/two" },
		{ (char *)"", (char *)"/other/u/two" },
	};
	const struct runtime_place place = { 77, 888, "/there/rootfs", cgroups, 2, "" };
	_cleanup_runtime_ struct runtime_container c = { 0 }, again = { 0 };
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *text = NULL;

	assert_int_equal(parse_state(&c, "one", whole, &err), 0);
	text = runc_state_here(&c, &place, &err);
	assert_non_null(text);
	assert_non_null(strstr(text, "\"unknown\":[1,2.5,null]"));
	assert_int_equal(parse_state(&again, "one", text, &err), 0);
	assert_int_equal(again.pid, 77);
	assert_int_equal(again.start_time, 888);
	assert_string_equal(again.rootfs, "/there/rootfs");
	assert_string_equal(again.bundle, "/there");
	assert_int_equal(again.cgroups.count, 2);
	assert_string_equal(again.cgroups.items[0].directory, "/other/u/two");
	assert_string_equal(again.cgroups.items[1].directory, "/other/cpu/two");
	assert_string_equal(again.namespaces.items[0].path, "/run/netns/x");
	assert_string_equal(again.namespaces.items[1].path, "/proc/77/ns/pid");
}

/* ---- with runc itself ---- */

/* Runs a shell command with $1 … $4; returns its exit status. */
static int shell(const char *command, const char *a, const char *b, const char *c)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/sh", "sh", "-ec", command, "sh", a, b, c, NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) != pid)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static const char start_container[] =
	"command -v runc >/dev/null && command -v busybox >/dev/null || exit 77\n"
	"mkdir -p $1/bundle/rootfs/bin && cp $(command -v busybox) $1/bundle/rootfs/bin/sleep\n"
	"cp $1/bundle/rootfs/bin/sleep $1/bundle/rootfs/bin/true\n"
	"cd $1/bundle && runc spec\n"
	"sed -i 's/\"terminal\": true/\"terminal\": false/' config.json\n"
	"sed -i 's/\"sh\"/\"sleep\",\"1000\"/' config.json\n"
	"runc --root $1/a run -d $2 </dev/null >/dev/null 2>$1/log || exit 77\n";

static void is_moved_with_runc(void **state)
{
	char scratch[] = "/tmp/criu-lite-runtime-XXXXXX", id[64], name[128];
	_cleanup_runtime_ struct runtime_container c = { 0 }, there = { 0 };
	_cleanup_error_ struct error err = ERROR_INIT;
	struct runtime_place place = { .prefix = "" };
	struct stat st;
	int started;

	assert_non_null(mkdtemp(scratch));
	snprintf(id, sizeof(id), "criu-lite-test-%d", getpid());
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	started = shell(start_container, scratch, id, "");
	if (started == 77) {
		shell("rm -rf $1", scratch, "", "");
		skip();
	}
	assert_int_equal(started, 0);
	snprintf(name, sizeof(name), "runc@%s/a:%s", scratch, id);
	if (runtime_find(&c, name, &err))
		fail_msg("%s", err.message);
	assert_true(runtime_runs(&c));
	assert_non_null(c.config);
	/* Known in another directory of runc it is a container as any other, here no more. */
	place.pid = c.pid;
	place.start_time = c.start_time;
	place.cgroups = c.cgroups.items;
	place.cgroups_count = c.cgroups.count;
	assert_int_equal(runtime_free(&c, NULL, &err), -1);
	assert_int_equal(err.kind, ERROR_BLOCKED);
	error_clear(&err);
	free(c.root);
	assert_true(asprintf(&c.root, "%s/b", scratch) > 0);
	assert_int_equal(runtime_free(&c, NULL, &err), 0);
	assert_int_equal(runtime_write(&c, &place, &err), 0);
	snprintf(name, sizeof(name), "runc@%s/b:%s", scratch, id);
	assert_int_equal(runtime_find(&there, name, &err), 0);
	snprintf(name, sizeof(name), "%s/b", scratch);
	assert_true(!stat(name, &st) && (st.st_mode & 07777) == 0700);
	snprintf(name, sizeof(name), "%s/b/%s", scratch, id);
	assert_true(!stat(name, &st) && (st.st_mode & 07777) == 0711);
	snprintf(name, sizeof(name), "%s/b/%s/state.json", scratch, id);
	assert_true(!stat(name, &st) && (st.st_mode & 07777) == 0600);
	free(c.root);
	assert_true(asprintf(&c.root, "%s/a", scratch) > 0);
	assert_int_equal(runtime_forget(&c, &err), 0);
	assert_int_equal(shell("test -z \"$(runc --root $1/a list -q)\"", scratch, id, ""), 0);
	assert_int_equal(shell("test $(runc --root $1/b list -q) = $2\n"
			       "runc --root $1/b state $2 | grep -q '\"status\": \"running\"'\n"
			       "runc --root $1/b exec $2 true\n"
			       "runc --root $1/b pause $2\n"
			       "runc --root $1/b state $2 | grep -q '\"status\": \"paused\"'\n"
			       "runc --root $1/b resume $2\n"
			       "runc --root $1/b kill $2 KILL\n"
			       "for i in $(seq 200); do sleep 0.05\n"
			       "runc --root $1/b state $2 | grep -q stopped && break; done\n"
			       "runc --root $1/b delete $2\n"
			       "test -z \"$(runc --root $1/b list -q)\" -a ! -e $1/b/$2\n",
			       scratch, id, ""), 0);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	shell("rm -rf $1", scratch, "", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_read),
		cmocka_unit_test(is_refused),
		cmocka_unit_test(names_are_checked),
		cmocka_unit_test(what_changes_is_changed),
		cmocka_unit_test(is_moved_with_runc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
