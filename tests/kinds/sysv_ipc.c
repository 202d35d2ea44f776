/* SPDX-License-Identifier: GPL-2.0-or-later */
/* System V semaphores and message queues keep ids, keys, owners, values, messages and waiters. */
/* test: own=ipc */
/* test: kinds=sysv-sem,sysv-msg */
#include "testing.h"

#include <signal.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/wait.h>

enum { SEM_KEY = 0x5e3a, MSG_KEY = 0x3509, MESSAGES = 300 };

struct message {
	long type;
	char text[8192];
};

union semun {
	int value;
	struct semid_ds *ds;
	unsigned short *values;
};

static int sems, private_sem, queue, empty_queue, unused_queue;

static void send(int id, long type, const void *text, size_t size)
{
	struct message m = { .type = type };

	memcpy(m.text, text, size);
	test_check(msgsnd(id, &m, size, IPC_NOWAIT) == 0, "msgsnd of %zu bytes", size);
}

static void expect_message(int id, long wanted, long type, const void *text, size_t size)
{
	struct message m;
	ssize_t r = msgrcv(id, &m, sizeof(m.text), wanted, IPC_NOWAIT);

	test_check(r == (ssize_t)size && m.type == type && !memcmp(m.text, text, size),
		   "message of %zd bytes and type %ld instead of %zu and %ld", r, m.type, size, type);
}

/* Waits for the semaphore at zero, takes a message, answers with one. */
static pid_t start_waiter(void)
{
	struct sembuf take = { .sem_num = 2, .sem_op = -1 };
	pid_t pid = fork();
	struct message m;

	test_must(pid >= 0);
	if (pid)
		return pid;
	test_check(semop(sems, &take, 1) == 0, "semop of the waiter");
	test_check(msgrcv(empty_queue, &m, sizeof(m.text), 5, 0) == 3, "msgrcv of the waiter");
	send(empty_queue, 6, m.text, 3);
	_exit(0);
}

static bool sleeps_in(pid_t pid, long number)
{
	char path[64];
	long got = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	file = fopen(path, "r");
	if (file) {
		if (fscanf(file, "%ld", &got) != 1)
			got = -1;
		fclose(file);
	}
	return got == number;
}

static void check_perm(const char *what, const struct ipc_perm *perm, key_t key, unsigned mode)
{
	test_check(perm->__key == key, "%s: key %#x, was %#x", what, perm->__key, key);
	test_check((perm->mode & 0777) == mode && perm->uid == 1 && perm->gid == 2 &&
		   perm->cuid == geteuid() && perm->cgid == getegid(),
		   "%s: mode %o, owner %u:%u, creator %u:%u", what, perm->mode & 0777, perm->uid,
		   perm->gid, perm->cuid, perm->cgid);
}

int main(int argc, char **argv)
{
	unsigned short values[3] = { 7, 32767, 0 };
	struct msqid_ds msg;
	struct semid_ds sem;
	struct message got;
	char text[40];
	pid_t waiter;
	int status;

	test_init(argc, argv);
	/* Holes in the numbers, so that ids do not come back by chance. */
	for (int i = 0; i < 3; i++) {
		test_must(semctl(semget(IPC_PRIVATE, 1, 0600), 0, IPC_RMID) == 0);
		test_must(msgctl(msgget(IPC_PRIVATE, 0600), IPC_RMID, NULL) == 0);
	}
	test_must((sems = semget(SEM_KEY, 3, IPC_CREAT | IPC_EXCL | 0640)) >= 0);
	test_must((private_sem = semget(IPC_PRIVATE, 1, 0600)) >= 0);
	test_must((queue = msgget(MSG_KEY, IPC_CREAT | IPC_EXCL | 0620)) >= 0);
	test_must((empty_queue = msgget(IPC_PRIVATE, 0600)) >= 0);
	test_must((unused_queue = msgget(IPC_PRIVATE, 0600)) >= 0);
	test_must(semctl(sems, 0, SETALL, (union semun){ .values = values }) == 0);
	test_must(semctl(private_sem, 0, SETVAL, (union semun){ .value = 3 }) == 0);
	sem = (struct semid_ds){ .sem_perm = { .uid = 1, .gid = 2, .mode = 0640 } };
	test_must(semctl(sems, 0, IPC_SET, (union semun){ .ds = &sem }) == 0);
	msg = (struct msqid_ds){ .msg_perm = { .uid = 1, .gid = 2, .mode = 0620 },
				 .msg_qbytes = 16000 };
	test_must(msgctl(queue, IPC_SET, &msg) == 0);
	for (int i = 0; i < MESSAGES; i++) {
		snprintf(text, sizeof(text), "message %d", i);
		send(queue, 1 + i % 3, text, strlen(text));
	}
	send(queue, 9, "", 0);
	waiter = start_waiter();
	test_wait_until(sleeps_in(waiter, SYS_semop) || sleeps_in(waiter, SYS_semtimedop),
			"the child does not wait");

	test_checkpoint_here();

	test_check(semget(SEM_KEY, 3, 0) == sems, "the semaphores have another id");
	test_check(msgget(MSG_KEY, 0) == queue, "the queue has another id");
	test_must(semctl(sems, 0, IPC_STAT, (union semun){ .ds = &sem }) == 0);
	test_must(msgctl(queue, IPC_STAT, &msg) == 0);
	check_perm("semaphores", &sem.sem_perm, SEM_KEY, 0640);
	check_perm("queue", &msg.msg_perm, MSG_KEY, 0620);
	test_check(msg.msg_qbytes == 16000 && msg.msg_qnum == MESSAGES + 1,
		   "%lu messages, limit of %lu bytes", msg.msg_qnum, msg.msg_qbytes);
	memset(values, 0, sizeof(values));
	test_must(semctl(sems, 0, GETALL, (union semun){ .values = values }) == 0);
	test_check(values[0] == 7 && values[1] == 32767 && values[2] == 0, "values %u %u %u",
		   values[0], values[1], values[2]);
	test_check(semctl(private_sem, 0, GETVAL) == 3, "the private semaphore is %d",
		   semctl(private_sem, 0, GETVAL));
	expect_message(queue, 9, 9, "", 0);
	for (int i = 0; i < MESSAGES; i++) {
		snprintf(text, sizeof(text), "message %d", i);
		expect_message(queue, 0, 1 + i % 3, text, strlen(text));
	}
	test_check(msgrcv(queue, &got, 1, 0, IPC_NOWAIT) == -1 && errno == ENOMSG, "one more message");
	test_check(msgctl(unused_queue, IPC_STAT, &msg) == 0 && msg.msg_qnum == 0,
		   "the queue that was never used");

	test_wait_until(sleeps_in(waiter, SYS_semop) || sleeps_in(waiter, SYS_semtimedop),
			"the child does not wait any more");
	test_must(semctl(sems, 2, SETVAL, (union semun){ .value = 1 }) == 0);
	test_wait_until(sleeps_in(waiter, SYS_msgrcv), "the child did not get the semaphore");
	send(empty_queue, 5, "abc", 3);
	test_must(waitpid(waiter, &status, 0) == waiter && status == 0);
	expect_message(empty_queue, 6, 6, "abc", 3);
	test_must(semctl(sems, 0, IPC_RMID) == 0 && semctl(private_sem, 0, IPC_RMID) == 0);
	test_must(msgctl(queue, IPC_RMID, NULL) == 0 && msgctl(empty_queue, IPC_RMID, NULL) == 0);
	test_must(msgctl(unused_queue, IPC_RMID, NULL) == 0);
	test_pass();
}
