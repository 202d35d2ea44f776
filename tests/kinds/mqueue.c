/* SPDX-License-Identifier: GPL-2.0-or-later */
/* POSIX message queues keep limits, messages in order, notification, and who waits. */
/* test: own=ipc */
#include "testing.h"

#include <mqueue.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { VALUE = 0x7a51e };

static volatile sig_atomic_t notified;
static volatile int notified_value;

static void on_message(int signal, siginfo_t *info, void *context)
{
	notified++;
	notified_value = info->si_code == SI_MESGQ ? info->si_value.sival_int : -1;
}

static mqd_t make(const char *name, int flags, long messages, long size)
{
	struct mq_attr attr = { .mq_maxmsg = messages, .mq_msgsize = size };
	mqd_t q = mq_open(name, flags | O_CREAT | O_EXCL, 0640, &attr);

	test_check(q >= 0, "mq_open of %s", name);
	return q;
}

static void put(mqd_t q, const char *text, unsigned priority)
{
	test_check(mq_send(q, text, strlen(text), priority) == 0, "mq_send of '%s'", text);
}

static void expect(mqd_t q, const char *text, unsigned priority)
{
	const struct timespec past = { 0 };
	char got[256];
	unsigned p = ~0u;
	ssize_t size = mq_timedreceive(q, got, sizeof(got), &p, &past);

	test_check(size == (ssize_t)strlen(text) && !memcmp(got, text, size) && p == priority,
		   "'%.*s' of priority %u instead of '%s' of %u", (int)(size > 0 ? size : 0), got, p,
		   text, priority);
}

static void expect_empty(mqd_t q)
{
	struct mq_attr attr;

	test_must(mq_getattr(q, &attr) == 0);
	test_check(attr.mq_curmsgs == 0, "%ld messages too many", attr.mq_curmsgs);
}

static void ask(mqd_t q)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };

	event.sigev_value.sival_int = VALUE;
	test_must(mq_notify(q, &event) == 0);
}

static void expect_notification(mqd_t q, const char *what)
{
	int before = notified;

	put(q, "news", 1);
	test_wait_until(notified == before + 1, "%s: no signal", what);
	test_check(notified_value == VALUE, "%s: the signal bears %#x", what, notified_value);
}

/* Waits for a message and passes it on. */
static pid_t start_waiter(mqd_t from, mqd_t to)
{
	pid_t pid = fork();
	char text[256];

	test_must(pid >= 0);
	if (pid)
		return pid;
	test_check(mq_receive(from, text, sizeof(text), NULL) == 4, "the waiter's message");
	test_must(mq_send(to, text, 4, 3) == 0);
	_exit(0);
}

int main(int argc, char **argv)
{
	const struct sigaction action = { .sa_sigaction = on_message, .sa_flags = SA_SIGINFO };
	mqd_t named, writer, unlinked, full, watched, idle, wait;
	struct mq_attr attr;
	struct stat st;
	pid_t waiter;
	int status;

	test_init(argc, argv);
	test_must(sigaction(SIGUSR1, &action, NULL) == 0);
	named = make("/criu-lite-test", O_RDONLY, 8, 200);
	test_must((writer = mq_open("/criu-lite-test", O_WRONLY | O_NONBLOCK)) >= 0);
	unlinked = make("/criu-lite-gone", O_RDWR, 4, 256);
	test_must(mq_unlink("/criu-lite-gone") == 0);
	full = make("/criu-lite-full", O_RDWR, 3, 256);
	watched = make("/criu-lite-watched", O_RDWR, 1, 256);
	idle = make("/criu-lite-idle", O_RDWR, 2, 256);
	wait = make("/criu-lite-wait", O_RDWR, 2, 256);
	test_must(fchown(idle, 3, 4) == 0 && fchmod(idle, 0604) == 0);

	put(writer, "low", 0);
	put(writer, "first high", 9);
	put(writer, "second high", 9);
	put(writer, "low again", 0);
	put(writer, "", 5);
	put(unlinked, "in an unlinked queue", 2);
	put(full, "1", 7);
	put(full, "2", 7);
	put(full, "3", 7);
	/* Asked for while messages wait: told of the first one after they are gone. */
	put(watched, "old news", 1);
	ask(watched);
	ask(idle);
	waiter = start_waiter(wait, unlinked);
	test_sleep_ms(20);

	test_checkpoint_here();

	test_check(notified == 0, "a signal came");
	test_must(mq_getattr(named, &attr) == 0);
	test_check(attr.mq_maxmsg == 8 && attr.mq_msgsize == 200 && attr.mq_curmsgs == 5,
		   "limits of %ld messages of %ld bytes, %ld wait", attr.mq_maxmsg, attr.mq_msgsize,
		   attr.mq_curmsgs);
	test_check((fcntl(writer, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == (O_WRONLY | O_NONBLOCK),
		   "the writer's flags are %#o", fcntl(writer, F_GETFL));
	expect(named, "first high", 9);
	expect(named, "second high", 9);
	expect(named, "", 5);
	expect(named, "low", 0);
	expect(named, "low again", 0);
	expect_empty(named);
	expect(unlinked, "in an unlinked queue", 2);
	test_check(mq_open("/criu-lite-gone", O_RDWR) == -1 && errno == ENOENT,
		   "the unlinked queue has a name");
	expect(full, "1", 7);
	expect(full, "2", 7);
	expect(full, "3", 7);
	expect_empty(full);
	expect(watched, "old news", 1);
	expect_notification(watched, "asked for with messages waiting");
	test_must(fstat(idle, &st) == 0);
	test_check(st.st_uid == 3 && st.st_gid == 4 && (st.st_mode & 0777) == 0604,
		   "owner %u:%u, mode %o", st.st_uid, st.st_gid, st.st_mode & 0777);
	expect_notification(idle, "asked for with nothing waiting");
	put(wait, "ping", 0);
	test_must(waitpid(waiter, &status, 0) == waiter && status == 0);
	expect(unlinked, "ping", 3);
	test_must(mq_unlink("/criu-lite-test") == 0 && mq_unlink("/criu-lite-full") == 0);
	test_must(mq_unlink("/criu-lite-watched") == 0 && mq_unlink("/criu-lite-idle") == 0);
	test_must(mq_unlink("/criu-lite-wait") == 0);
	test_pass();
}
