/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ids, groups, capabilities and securebits are each thread's own and stay exactly as they are. */
/* build: -pthread */
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

#include "testing.h"

enum { GROUPS = 300, TEXT = 4096 };

/* All that the kernel says of them, in the words of /proc. */
static void read_state(char text[TEXT])
{
	static const char *const lines[] = { "Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:" };
	FILE *file = fopen("/proc/thread-self/status", "re");
	char line[TEXT];
	size_t used = 0;

	test_must(file);
	while (fgets(line, sizeof(line), file))
		for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
			if (!strncmp(line, lines[i], strlen(lines[i])) &&
			    used + strlen(line) < TEXT)
				used += snprintf(text + used, TEXT - used, "%s", line);
	fclose(file);
	snprintf(text + used, TEXT - used, "securebits %#x\n", prctl(PR_GET_SECUREBITS));
}

static __thread char before[TEXT];

static void check(void)
{
	char after[TEXT];

	read_state(after);
	test_check(!strcmp(before, after), "is:\n%swas:\n%s", after, before);
}

static void set_capabilities(uint64_t permitted, uint64_t effective, uint64_t inheritable)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ effective, permitted, inheritable },
		{ effective >> 32, permitted >> 32, inheritable >> 32 },
	};

	test_must(!syscall(SYS_capset, &header, data));
}

/* A server that has given up root but for two capabilities, one of which its children get. */
static void make_server(void)
{
	uint64_t bind = 1 << CAP_NET_BIND_SERVICE, nice = 1 << CAP_SYS_NICE;

	test_must(!prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN) && !prctl(PR_CAPBSET_DROP, CAP_MKNOD));
	test_must(!prctl(PR_SET_KEEPCAPS, 1) && !setgroups(0, NULL) && !setresgid(33, 33, 33) &&
		  !setresuid(33, 33, 33));
	set_capabilities(bind | nice, bind, bind | 1 << CAP_KILL);
	test_must(!prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0));
	test_must(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	read_state(before);
}

/* Root whose number means nothing. */
static void make_bare_root(void)
{
	test_must(!prctl(PR_SET_SECUREBITS,
			 SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
				 SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS));
	set_capabilities(0, 0, 0);
	read_state(before);
}

/* Can get back to root, as set-user-ID programs can. */
static void make_suspended(void)
{
	gid_t groups[GROUPS];

	for (int i = 0; i < GROUPS; i++)
		groups[i] = 70000 + 3 * i;
	test_must(!setgroups(GROUPS, groups) && !setresgid(10, 20, 30) && !setresuid(41, 42, 0));
	read_state(before);
}

static void check_suspended(void)
{
	check();
	test_must(!setresuid(0, 0, 0));
	test_must(!setgroups(0, NULL));
}

/* Root for all but the file system, as file servers do. */
static void make_file_server(void)
{
	setfsgid(1001);
	setfsuid(1000);
	read_state(before);
}

static bool ready;

static void *run(void *arg)
{
	test_must(!syscall(SYS_setgroups, 0, NULL) && !syscall(SYS_setresuid, 7, 8, 9));
	read_state(before);
	__atomic_store_n(&ready, true, __ATOMIC_SEQ_CST);
	test_wait_for_go();
	check();
	return NULL;
}

int main(int argc, char **argv)
{
	pid_t children[4];
	pthread_t thread;

	test_init(argc, argv);
	children[0] = test_child("server", make_server, check);
	children[1] = test_child("bare-root", make_bare_root, check);
	children[2] = test_child("suspended", make_suspended, check_suspended);
	children[3] = test_child("file-server", make_file_server, check);
	test_must(!pthread_create(&thread, NULL, run, NULL));
	test_wait_until(__atomic_load_n(&ready, __ATOMIC_SEQ_CST), "no thread");
	read_state(before);

	test_checkpoint_here();

	check();
	test_must(!pthread_join(thread, NULL));
	for (int i = 0; i < 4; i++)
		test_child_ends(children[i]);
	test_pass();
}
