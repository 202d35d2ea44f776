/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/sysvipc: the three tables, old and forged rows, and objects of our own. */
#include "proc_testing.h"

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include "proc/sysvipc.h"

/* Real tables are wider: how many blanks stand between columns does not matter. */
#define SHM_HEAD                                                                          \
	"       key      shmid perms                  size  cpid  lpid nattch   uid   gid "   \
	" cuid  cgid      atime      dtime      ctime         rss        swap\n"
#define SEM_HEAD                                                                          \
	"       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n"
#define MSG_HEAD                                                                          \
	"       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid "   \
	" cgid      stime      rtime      ctime\n"

static void shm_rows(void **state)
{
	static const char text[] =
		SHM_HEAD
		"        42          3  1666                  8192  4711     0      2  1000  1001  "
		"1002  1003 1700000000          0 1700000001       4096         12\n"
		"-2147483648 2147483647  3600  18446744073709551615     1     2      0     0     0 "
		"    0     0          0          0          1          0         0 9\n";
	_cleanup_error_ struct error err = ERROR_INIT;
	struct sysvipc_shms shms;
	struct sysvipc_shm *shm;

	assert_accepted(proc_parse_shm, text, &shms, &err);
	assert_int_equal(shms.items.count, 2);
	shm = shms.items.items;
	assert_true(shm[0].perm.key == 42 && shm[0].perm.id == 3 && shm[0].perm.mode == 01666);
	assert_true(shm[0].size == 8192 && shm[0].cpid == 4711 && shm[0].lpid == 0);
	assert_true(shm[0].attached == 2 && shm[0].perm.uid == 1000 && shm[0].perm.gid == 1001);
	assert_true(shm[0].perm.cuid == 1002 && shm[0].perm.cgid == 1003);
	assert_true(shm[0].atime == 1700000000 && shm[0].dtime == 0 && shm[0].ctime == 1700000001);
	assert_true(shm[0].rss == 4096 && shm[0].swap == 12);
	assert_true(shm[1].perm.key == INT32_MIN && shm[1].size == UINT64_MAX);
	array_release(&shms.items);
}

static void sem_and_msg_rows(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct sysvipc_sems sems;
	struct sysvipc_msgs msgs;

	assert_accepted(proc_parse_sem,
			SEM_HEAD "  0   1   600    250     1     2     3     4     5     6\n",
			&sems, &err);
	assert_int_equal(sems.items.count, 1);
	assert_true(sems.items.items[0].count == 250 && sems.items.items[0].perm.cgid == 4);
	assert_true(sems.items.items[0].otime == 5 && sems.items.items[0].ctime == 6);
	array_release(&sems.items);
	assert_accepted(proc_parse_msg,
			MSG_HEAD "  7   0   644   100   3   8   9   1   2   3   4   5   6   7\n",
			&msgs, &err);
	assert_int_equal(msgs.items.count, 1);
	assert_true(msgs.items.items[0].bytes == 100 && msgs.items.items[0].count == 3);
	assert_true(msgs.items.items[0].lspid == 8 && msgs.items.items[0].lrpid == 9);
	assert_true(msgs.items.items[0].perm.uid == 1 && msgs.items.items[0].ctime == 7);
	array_release(&msgs.items);
}

static void refused(void **state)
{
	static const char *const texts[] = {
		"", "garbage\n", "42 3 1666 8192 1 1 1 1 1 1 1 1 1 1 1 1\n", SHM_HEAD "\n",
		SHM_HEAD "1 2 3\n",
		SHM_HEAD "42 3 1668 8192 1 1 1 1 1 1 1 1 1 1 1 1\n",
		SHM_HEAD "42 3 1666 8192 1 1 1 1 1 1 1 1 1 1 1\n",
		SHM_HEAD "42 3 1666 8192 1 1 1 1 1 1 1 1 1 1 1 1x\n",
		SHM_HEAD "4200000000 3 1666 8192 1 1 1 1 1 1 1 1 1 1 1 1\n",
		SHM_HEAD "42 3 1666 8192 1 1 1 -1 1 1 1 1 1 1 1 1\n",
		SHM_HEAD "42 3 1666 8192 1 1 1 1 1 1 1 1 1 1 1 1",
	};
	_cleanup_error_ struct error err = ERROR_INIT;
	struct sysvipc_shms shms;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_refused(proc_parse_shm, texts[i], &shms, &err, "sysvipc/shm");
		assert_null(shms.items.items);
	}
}

static void own(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_fd_ int proc_dir = open_dir("/proc");
	int shm_id = shmget(IPC_PRIVATE, 5000, 0640), sem_id = semget(IPC_PRIVATE, 3, 0604);
	int msg_id = msgget(IPC_PRIVATE, 0606);
	struct {
		long type;
		char text[5];
	} message = { 1, "12345" };
	struct sysvipc_shms shms;
	struct sysvipc_sems sems;
	struct sysvipc_msgs msgs;
	struct sysvipc_shm *shm;
	struct sysvipc_sem *sem;
	struct sysvipc_msg *msg;
	unsigned seen = 0;

	assert_true(shm_id >= 0 && sem_id >= 0 && msg_id >= 0);
	assert_int_equal(msgsnd(msg_id, &message, 5, 0), 0);
	assert_parsed(proc_read_shm(proc_dir, &shms, &err), &err);
	assert_parsed(proc_read_sem(proc_dir, &sems, &err), &err);
	assert_parsed(proc_read_msg(proc_dir, &msgs, &err), &err);
	shmctl(shm_id, IPC_RMID, NULL);
	semctl(sem_id, 0, IPC_RMID);
	msgctl(msg_id, IPC_RMID, NULL);
	array_for(shm, &shms.items)
		if (shm->perm.id == shm_id)
			seen |= shm->size == 5000 && shm->perm.mode == 0640 &&
				shm->cpid == getpid();
	array_for(sem, &sems.items)
		if (sem->perm.id == sem_id)
			seen |= (sem->count == 3 && sem->perm.mode == 0604) << 1;
	array_for(msg, &msgs.items)
		if (msg->perm.id == msg_id)
			seen |= (msg->bytes == 5 && msg->count == 1 && msg->lspid == getpid()) << 2;
	assert_int_equal(seen, 7);
	array_release(&shms.items);
	array_release(&sems.items);
	array_release(&msgs.items);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shm_rows),
		cmocka_unit_test(sem_and_msg_rows),
		cmocka_unit_test(refused),
		cmocka_unit_test(own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
