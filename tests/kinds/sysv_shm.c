/* SPDX-License-Identifier: GPL-2.0-or-later */
/* System V segments keep id, key, owner, content and attachments, also those marked for removal. */
/* test: own=ipc */
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>

#include "testing.h"

enum { PAGE = 4096, PAGES = 20, UNEVEN = PAGES * PAGE - 1000 };

static int keyed, removed, bare;
static char *at_keyed, *again, *at_removed, *part;
static struct shmid_ds before;

static char *attach(int id, int flags)
{
	char *at = shmat(id, NULL, flags);

	test_must(at != (void *)-1);
	return at;
}

static void make(void)
{
	key_t key = 0x5eed0000 | (getpid() & 0xffff);
	struct shmid_ds ds;

	keyed = shmget(key, UNEVEN, IPC_CREAT | IPC_EXCL | 0640);
	test_must(keyed >= 0);
	at_keyed = attach(keyed, 0);
	for (int i = 0; i < PAGES; i++)
		if (i % 3)
			at_keyed[i * PAGE] = i;
	again = attach(keyed, SHM_RDONLY);
	test_must(!shmctl(keyed, IPC_STAT, &ds));
	ds.shm_perm.uid = 3;
	ds.shm_perm.gid = 4;
	test_must(!shmctl(keyed, IPC_SET, &ds));

	removed = shmget(IPC_PRIVATE, PAGES * PAGE, IPC_CREAT | 0600);
	test_must(removed >= 0);
	at_removed = attach(removed, 0);
	memset(at_removed, 'r', PAGES * PAGE);
	/* What is left of a third attachment: a middle piece, read-only. */
	part = attach(removed, 0);
	test_must(!munmap(part, 5 * PAGE) && !munmap(part + 8 * PAGE, 12 * PAGE));
	part += 5 * PAGE;
	test_must(!mprotect(part, PAGE, PROT_READ));
	test_must(!shmctl(removed, IPC_RMID, NULL));

	bare = shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600);
	test_must(bare >= 0);
	*attach(bare, 0) = 'b';
}

static void check(int member)
{
	struct shmid_ds now;

	test_check(!shmctl(keyed, IPC_STAT, &now), "member %d: the segment has lost its id",
		   member);
	test_check(now.shm_perm.__key == before.shm_perm.__key &&
			   now.shm_segsz == before.shm_segsz &&
			   now.shm_perm.mode == before.shm_perm.mode &&
			   now.shm_perm.uid == before.shm_perm.uid &&
			   now.shm_perm.gid == before.shm_perm.gid &&
			   now.shm_perm.cuid == before.shm_perm.cuid,
		   "member %d: key %#x, %zu bytes, mode %o, owner %d:%d, creator %d", member,
		   now.shm_perm.__key, now.shm_segsz, now.shm_perm.mode, now.shm_perm.uid,
		   now.shm_perm.gid, now.shm_perm.cuid);
	test_check(now.shm_nattch == before.shm_nattch, "member %d: %lu attachments, were %lu",
		   member, now.shm_nattch, before.shm_nattch);
	for (int i = 0; i < PAGES; i++)
		test_check(at_keyed[i * PAGE] == (i % 3 ? i : 0) &&
				   again[i * PAGE] == at_keyed[i * PAGE],
			   "member %d: page %d holds %d and %d", member, i, at_keyed[i * PAGE],
			   again[i * PAGE]);
	test_check(at_removed[7 * PAGE] == 'r' && part[0] == 'r', "member %d: removed segment",
		   member);
	test_check(!shmctl(removed, IPC_STAT, &now) && now.shm_perm.mode & SHM_DEST,
		   "member %d: the segment is not marked any more", member);
}

int main(int argc, char **argv)
{
	struct shmid_ds ds;
	int status;
	pid_t child;

	test_init(argc, argv);
	make();
	child = fork();
	test_must(child >= 0);
	/* From here on there are twice as many attachments. */
	test_must(!shmctl(keyed, IPC_STAT, &before));
	if (!child) {
		at_removed[1] = 'c';
		test_wait_for_go();
		test_wait_until(at_removed[0] == 'P', "the child does not see its parent's byte");
		check(1);
		at_removed[0] = 'C';
		test_wait_until(at_removed[0] == 'E', "the child is not let go");
		_exit(0);
	}
	test_wait_until(at_removed[1] == 'c', "no child");

	test_checkpoint_here();

	check(0);
	test_check(mprotect(again, PAGE, PROT_READ | PROT_WRITE) == -1, "read-only for ever");
	part[2 * PAGE] = 'p';
	test_check(at_removed[7 * PAGE] == 'p', "the piece is of another segment");
	at_removed[7 * PAGE] = 'r';
	at_removed[0] = 'P';
	test_wait_until(at_removed[0] == 'C', "the parent does not see its child's byte");
	at_removed[0] = 'E';
	test_must(waitpid(child, &status, 0) == child && status == 0);
	/* With the last attachment it goes. */
	test_must(!shmdt(at_removed) && !munmap(part, 3 * PAGE));
	test_check(shmctl(removed, IPC_STAT, &ds) == -1, "the removed segment stays");
	test_must(!shmctl(keyed, IPC_RMID, NULL) && !shmctl(bare, IPC_RMID, NULL));
	test_pass();
}
