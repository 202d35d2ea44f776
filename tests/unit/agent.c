/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A batch runs in a foreign process, reports its results and leaves no trace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "proc/maps.h"
#include "proc/status.h"
#include "tracee/agent.h"

struct held {
	pid_t pid;
	int result;		/* pipe: the child tells what it saw */
	struct tracee tracee;
	struct vma_list maps;
	struct agent_site site;
	struct gadget_cache gadgets;
	struct agent agent;
};

/* The child sleeps and then tells whether its sleep was whole and its vector registers kept. */
static void child(int result)
{
	struct timespec begin, end;
	double in[4] = { 1.5, 2.5, 3.5, 4.5 }, out[4];
	char verdict;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	__asm__ volatile("vmovupd %2, %%ymm9\n\t"
			 "mov $230, %%eax\n\t"	/* clock_nanosleep */
			 "mov $1, %%edi\n\t"
			 "xor %%esi, %%esi\n\t"
			 "mov %1, %%rdx\n\t"
			 "xor %%r10d, %%r10d\n\t"
			 "syscall\n\t"
			 "vmovupd %%ymm9, %0\n\t"
			 : "=m"(out)
			 : "r"(&(struct timespec){ .tv_nsec = 300000000 }), "m"(in)
			 : "rax", "rdi", "rsi", "rdx", "r10", "rcx", "r11", "memory");
	clock_gettime(CLOCK_MONOTONIC, &end);
	verdict = memcmp(in, out, sizeof(in)) ? 'V' : 'S';
	if ((end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000 >= 300 &&
	    verdict == 'S')
		verdict = 'G';
	_exit(write(result, &verdict, 1) != 1);
}

static void hold(struct held *h)
{
	_cleanup_error_ struct error err = { 0 };
	int ends[2];

	memset(h, 0, sizeof(*h));
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	h->pid = fork();
	if (!h->pid)
		child(ends[1]);
	close(ends[1]);
	h->result = ends[0];
	usleep(20000);
	if (tracee_seize(&h->tracee, h->pid, h->pid, 0, &err) ||
	    tracee_interrupt(&h->tracee, &err) || tracee_wait_stopped(&h->tracee, 20000, &err) ||
	    tracee_save(&h->tracee, &err))
		fail_msg("%s", err.message);
	_cleanup_fd_ int dir = proc_open(h->pid);
	if (proc_read_maps(dir, &h->maps, &err))
		fail_msg("%s", err.message);
	h->site = (struct agent_site){ .maps = &h->maps, .gadgets = &h->gadgets };
	if (agent_plan(&h->agent, &h->site, &err) ||
	    agent_install(&h->agent, &h->tracee, &h->site, &err))
		fail_msg("%s", err.message);
}

static void finish(struct held *h, char expected)
{
	char verdict = 0;
	int status;

	assert_int_equal(read(h->result, &verdict, 1), 1);
	assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
	assert_int_equal(status, 0);
	assert_int_equal(verdict, expected);
	close(h->result);
	agent_release(&h->agent);
	gadget_cache_release(&h->gadgets);
	vma_list_release(&h->maps);
	tracee_release(&h->tracee);
}

static void let_go(struct held *h)
{
	_cleanup_error_ struct error err = { 0 };

	if (agent_remove(&h->agent, &h->tracee, &err) || tracee_detach(&h->tracee, &err))
		fail_msg("%s", err.message);
}

static void runs_calls(void **state)
{
	_cleanup_error_ struct error err = { 0 };
	_cleanup_batch_ struct batch b = { 0 };
	struct held h;
	uint64_t path, buffer;
	int pid, file, got, closed;

	hold(&h);
	batch_start(&b, &h.agent);
	pid = batch_must(&b, SYS_getpid);
	path = batch_string(&b, "/proc/self/comm");
	buffer = batch_space(&b, 64);
	file = batch_must(&b, SYS_openat, AT_FDCWD, path, O_RDONLY);
	got = batch_must(&b, SYS_read, 0, buffer, 64);
	batch_from(&b, got, 0, file);
	closed = batch_must(&b, SYS_close);
	batch_from(&b, closed, 0, file);
	if (agent_run(&h.agent, &h.tracee, &b, &err))
		fail_msg("%s", err.message);
	assert_int_equal(batch_result(&b, pid), h.pid);
	assert_true(batch_result(&b, got) > 0);
	assert_memory_equal(batch_at(&b, buffer), "agent", 5);
	let_go(&h);
	finish(&h, 'G');
}

/* What a batch opens and closes can be had in between. */
static void pauses_in_a_batch(void **state)
{
	_cleanup_error_ struct error err = { 0 };
	_cleanup_batch_ struct batch b = { 0 };
	char path[64], link[64];
	struct held h;
	int pid, opened, pause;

	hold(&h);
	batch_start(&b, &h.agent);
	opened = batch_call(&b, SYS_eventfd2, 0, O_CLOEXEC);
	pause = agent_pause(&h.agent, &b);
	batch_from(&b, batch_must(&b, SYS_close), 0, opened);
	pid = batch_must(&b, SYS_getpid);
	if (agent_run_to_pause(&h.agent, &h.tracee, &b, pause, &err))
		fail_msg("%s", err.message);
	assert_int_equal(batch_result(&b, pid), 0);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", h.pid, (int)batch_result(&b, opened));
	assert_true(readlink(path, link, sizeof(link)) > 0);
	if (agent_run_on(&h.agent, &h.tracee, &b, &err))
		fail_msg("%s", err.message);
	assert_int_equal(batch_result(&b, pid), h.pid);
	assert_int_equal(readlink(path, link, sizeof(link)), -1);
	let_go(&h);
	finish(&h, 'G');
}

static void names_the_failed_call(void **state)
{
	_cleanup_error_ struct error err = { 0 };
	_cleanup_batch_ struct batch b = { 0 };
	struct held h;
	int skipped;

	hold(&h);
	batch_start(&b, &h.agent);
	batch_must(&b, SYS_close, 999);
	skipped = batch_call(&b, SYS_getpid);
	assert_int_equal(agent_run(&h.agent, &h.tracee, &b, &err), -1);
	assert_non_null(strstr(err.message, "close failed: Bad file descriptor"));
	assert_int_equal(err.os_error, EBADF);
	assert_int_equal(batch_result(&b, skipped), 0);
	let_go(&h);
	finish(&h, 'G');
}

static void leaves_the_maps_as_they_were(void **state)
{
	_cleanup_error_ struct error err = { 0 };
	struct vma_list after = { 0 };
	struct held h;

	hold(&h);
	let_go(&h);
	_cleanup_fd_ int dir = proc_open(h.pid);
	assert_int_equal(proc_read_maps(dir, &after, &err), 0);
	assert_int_equal(after.vmas.count, h.maps.vmas.count);
	vma_list_release(&after);
	finish(&h, 'G');
}

static void copies_a_process(void **state)
{
	_cleanup_error_ struct error err = { 0 };
	struct tracee twin = { 0 };
	struct held h;
	uint64_t stack_word = 0, twin_word = 1;
	int64_t reaped = 0;
	pid_t pid;

	hold(&h);
	if (agent_fork_twin(&h.agent, &h.tracee, &twin, &err))
		fail_msg("%s", err.message);
	pid = twin.tid;
	assert_int_equal(tracee_restore(&h.tracee, &err), 0);
	assert_int_equal(tracee_read(&h.tracee, arch_sp(&h.tracee.saved), &stack_word, 8, &err), 0);
	assert_int_equal(tracee_read(&twin, arch_sp(&h.tracee.saved), &twin_word, 8, &err), 0);
	assert_int_equal(stack_word, twin_word);
	tracee_kill(&twin);
	if (agent_remove(&h.agent, &h.tracee, &err) ||
	    agent_call_once(&h.tracee, &h.site, &reaped, &err, SYS_wait4,
			    (const uint64_t[6]){ pid, 0, __WALL }) ||
	    tracee_detach(&h.tracee, &err))
		fail_msg("%s", err.message);
	assert_int_equal(reaped, pid);
	finish(&h, 'G');
}

/* The tracer is a process of its own here, killed while the thread stands in the agent. */
static void survives_a_dead_tracer(void **state)
{
	int ends[2], target_out[2], status;
	pid_t target, tracer;
	char verdict = 0;

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(pipe(target_out), 0);
	tracer = fork();
	if (!tracer) {
		/* Whatever becomes of the test, nobody is left behind. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_cleanup_batch_ struct batch b = { 0 };
		struct error err = { 0 };
		struct held h;

		hold(&h);
		batch_start(&b, &h.agent);
		batch_must(&b, SYS_getpid);
		if (agent_run(&h.agent, &h.tracee, &b, &err))
			_exit(1);
		/* The child's verdict is handed on to the test while this process lives. */
		if (dup2(h.result, 100) < 0 ||
		    write(ends[1], &h.pid, sizeof(h.pid)) != sizeof(h.pid))
			_exit(1);
		pause();
	}
	assert_int_equal(read(ends[0], &target, sizeof(target)), sizeof(target));
	int pidfd = syscall(SYS_pidfd_open, tracer, 0);
	int result = syscall(SYS_pidfd_getfd, pidfd, 100, 0);
	assert_true(result >= 0);
	kill(tracer, SIGKILL);
	assert_int_equal(waitpid(tracer, &status, 0), tracer);
	assert_int_equal(read(result, &verdict, 1), 1);
	assert_int_equal(verdict, 'G');
	close(result);
	close(pidfd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_calls),
		cmocka_unit_test(pauses_in_a_batch),
		cmocka_unit_test(names_the_failed_call),
		cmocka_unit_test(leaves_the_maps_as_they_were),
		cmocka_unit_test(copies_a_process),
		cmocka_unit_test(survives_a_dead_tracer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
