/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads, children and processes, by the children file and by parents, and the syscall file. */
#include "proc_testing.h"

#include <pthread.h>
#include <sys/syscall.h>

#include "proc/stat.h"
#include "proc/syscall.h"
#include "proc/tasks.h"

static void children_text(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_pid_list_ struct pid_list list = { 0 };

	assert_accepted(proc_parse_children, "", &list, &err);
	assert_int_equal(list.pids.count, 0);
	assert_accepted(proc_parse_children, "12 4194304 ", &list, &err);
	assert_accepted(proc_parse_children, "14", &list, &err);
	assert_int_equal(list.pids.count, 3);
	assert_true(pid_list_has(&list, 4194304) && pid_list_has(&list, 14));
	assert_false(pid_list_has(&list, 13));
	assert_refused(proc_parse_children, "12 x", &list, &err, "byte 3");
	assert_refused(proc_parse_children, "12,13", &list, &err, "children");
	assert_refused(proc_parse_children, "99999999999", &list, &err, "byte 0");
}

struct forker {
	pthread_barrier_t barrier;
	pid_t tid, child;
};

static void *fork_and_wait(void *data)
{
	struct forker *forker = data;

	forker->tid = gettid();
	forker->child = fork();
	if (forker->child == 0)
		for (;;)
			pause();
	pthread_barrier_wait(&forker->barrier);
	pthread_barrier_wait(&forker->barrier);
	return NULL;
}

/* One child of each of two threads, the second a zombie. */
static void threads_and_children(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_pid_list_ struct pid_list tasks = { 0 }, children = { 0 }, by_parent = { 0 },
					   all = { 0 };
	_cleanup_fd_ int pid_dir = open_dir("/proc/self"), proc_dir = open_dir("/proc");
	_cleanup_fd_ int child_dir = -1;
	pid_t child = sleeping_child(&child_dir);
	struct forker forker = { 0 };
	pthread_t thread;

	pthread_barrier_init(&forker.barrier, NULL, 2);
	assert_int_equal(pthread_create(&thread, NULL, fork_and_wait, &forker), 0);
	pthread_barrier_wait(&forker.barrier);
	make_zombie(forker.child);
	assert_parsed(proc_list_tasks(pid_dir, &tasks, &err), &err);
	assert_parsed(proc_children(pid_dir, &children, &err), &err);
	assert_parsed(proc_children_by_parent(proc_dir, getpid(), &by_parent, &err), &err);
	assert_parsed(proc_list_processes(proc_dir, &all, &err), &err);
	pthread_barrier_wait(&forker.barrier);
	pthread_join(thread, NULL);

	assert_int_equal(tasks.pids.count, 2);
	assert_int_equal(tasks.pids.items[0], getpid());
	assert_int_equal(tasks.pids.items[1], forker.tid);
	assert_int_equal(children.pids.count, 2);
	assert_true(pid_list_has(&children, child) && pid_list_has(&children, forker.child));
	assert_int_equal(by_parent.pids.count, 2);
	assert_true(pid_list_has(&by_parent, child) && pid_list_has(&by_parent, forker.child));
	assert_true(pid_list_has(&all, getpid()) && pid_list_has(&all, child));
	assert_false(pid_list_has(&all, forker.tid));

	make_zombie(child);
	pid_list_release(&tasks);
	assert_parsed(proc_list_tasks(child_dir, &tasks, &err), &err);
	assert_int_equal(tasks.pids.count, 1);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(waitpid(forker.child, NULL, 0), forker.child);
	assert_fails(proc_list_tasks(child_dir, &tasks, &err), &err, ERROR_DIED, "gone");
	assert_fails(proc_children(child_dir, &children, &err), &err, ERROR_DIED, "gone");
}

static void syscall_text(void **state)
{
	static const char *const refused[] = {
		"", "\n", "walking\n", "1\n", "1 0x1 0x2 0x3 0x4 0x5 0x6 0x7\n", "-1 0x1\n",
		"1 0x1 0x2 0x3 0x4 0x5 0x6 0x7 0x8 0x9\n", "1 1 2 3 4 5 6 7 8\n",
		"running 0x1\n", "-1 0x10000000000000000 0x1\n",
	};
	_cleanup_error_ struct error err = ERROR_INIT;
	struct proc_syscall call;

	assert_accepted(proc_parse_syscall, "running\n", &call, &err);
	assert_int_equal(call.state, PROC_SYSCALL_RUNNING);
	assert_accepted(proc_parse_syscall, "-1 0x7ffd 0x55\n", &call, &err);
	assert_true(call.state == PROC_SYSCALL_NONE && call.sp == 0x7ffd && call.pc == 0x55);
	assert_accepted(proc_parse_syscall,
			"0 0x3 0x7f 0x20000 0x0 0xffffffffffffffff 0x6 0x7 0x8\n", &call, &err);
	assert_true(call.state == PROC_SYSCALL_BLOCKED && call.number == 0 && call.args[0] == 3);
	assert_true(call.args[4] == UINT64_MAX && call.args[5] == 6);
	assert_true(call.sp == 7 && call.pc == 8);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		assert_refused(proc_parse_syscall, refused[i], &call, &err, "syscall");
}

/* A child that reads from a pipe which never says anything. */
static void blocked_call(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct proc_syscall call = { 0 };
	_cleanup_fd_ int pid_dir = -1;
	char path[32], byte;
	int pipe_fds[2];
	pid_t pid;

	assert_int_equal(pipe(pipe_fds), 0);
	pid = fork();
	if (pid == 0)
		_exit(read(pipe_fds[0], &byte, 1) != 0);
	snprintf(path, sizeof(path), "/proc/%d", pid);
	pid_dir = open_dir(path);
	for (int i = 0; i < 2000 && call.state != PROC_SYSCALL_BLOCKED; i++) {
		assert_parsed(proc_read_syscall(pid_dir, &call, &err), &err);
		usleep(1000);
	}
	assert_int_equal(call.state, PROC_SYSCALL_BLOCKED);
	assert_int_equal(call.number, SYS_read);
	assert_true(call.args[0] == (uint64_t)pipe_fds[0] && call.args[2] == 1);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	make_zombie(pid);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(children_text),
		cmocka_unit_test(threads_and_children),
		cmocka_unit_test(syscall_text),
		cmocka_unit_test(blocked_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
