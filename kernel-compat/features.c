/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel-compat/features.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernel-compat/probes.h"

const struct feature features_table[] = {
	/* privileges */
	{ "cap-sys-admin", "pages shared by fork, programs with seccomp filters",
	  "such programs are refused", "", probe_cap_sys_admin },
	{ "cap-sys-ptrace", "holding tasks of other users", "only the caller's own programs", "",
	  probe_cap_sys_ptrace },
	{ "cap-sys-resource", "raising resource limits",
	  "limits above ours cannot be restored", "", probe_cap_sys_resource },
	{ "cap-net-admin", "TCP connections", "connections are refused", "", probe_cap_net_admin },

	/* processes */
	{ "process-vm", "reading and writing memory", NULL, "3.2", probe_process_vm },
	{ "kcmp", "finding what descriptors share", NULL, "3.5", probe_kcmp },
	{ "kcmp-epoll", "files behind epoll items", "an epoll is refused", "4.13", probe_kcmp_epoll },
	{ "pidfd-getfd", "taking descriptors over", NULL, "5.6", probe_pidfd_getfd },
	{ "clone3-set-tid", "the same pids after a restore", NULL, "5.5", probe_clone3_set_tid },
	{ "close-range", "puppets without our descriptors", NULL, "5.9", probe_close_range },
	{ "prctl-mm-map", "heap, stack and argument addresses", NULL, "3.18",
	  probe_prctl_mm_map },
	{ "restart-block", "interrupted poll, futex and nanosleep wait for the rest of their time",
	  "after a restore they wait for all of it again; EINTR if interrupted before", "6.1",
	  probe_restart_block },
	{ "timer-restore-ids", "POSIX timers with their ids",
	  "timers are made and deleted until the id comes up", "6.15", probe_timer_restore_ids },

	/* memory */
	{ "map-files", "shared memory, deleted files that are mapped", NULL, "4.3",
	  probe_map_files },
	{ "pagemap-pfn", "pages shared by fork", "such pages are saved once for each task", "2.6.25",
	  probe_pagemap_pfn },
	{ "pagemap-scan", "finding pages in use", "pagemap, which takes longer", "6.7",
	  probe_pagemap_scan },
	{ "userfaultfd", "fast filling of memory", "writes through /proc/PID/mem", "4.3",
	  probe_userfaultfd },
	{ "userfaultfd-wp-async", "tracking of written pages", "soft-dirty", "6.7",
	  probe_userfaultfd_wp_async },
	{ "soft-dirty", "tracking of written pages where userfaultfd cannot",
	  "each page counts as written", "3.11", probe_soft_dirty },

	/* descriptors */
	{ "fdinfo-ino", "telling descriptors apart without asking each", "one stat(2) for each",
	  "5.14", probe_fdinfo_ino },
	{ "fdinfo-eventfd-semaphore", "eventfd made with EFD_SEMAPHORE",
	  "it is found out by taking one and giving it back", "6.5", probe_fdinfo_eventfd_semaphore },
	{ "unix-diag", "peers and queues of Unix sockets", "such sockets are refused", "3.3",
	  probe_unix_diag },
	{ "inet-diag", "TCP and UDP sockets", "such sockets are refused", "2.6.14",
	  probe_inet_diag },
	{ "tcp-repair", "TCP connections", "connections are refused", "3.5", probe_tcp_repair },
	{ "sock-destroy", "ports of connections that have just ended",
	  "such a port must time out first", "4.5", probe_sock_destroy },
	{ "packet-lock", "TCP connections that lead out of the tree, networks of containers",
	  "connections are refused, unless they are to be closed", "5.12", probe_packet_lock },
	{ "private-mount", "Unix sockets whose file was deleted", "a directory in /tmp", "5.2",
	  probe_private_mount },
	{ "pty-peer", "pseudo-terminals", "pseudo-terminals are refused", "4.13", probe_pty_peer },

	/* System V IPC */
	{ "ipc-next-id", "semaphores and queues with their ids", "they are refused", "3.8",
	  probe_ipc_next_id },
	{ "msg-copy", "messages waiting in System V queues", "such queues are refused", "3.8",
	  probe_msg_copy },

	/* control groups */
	{ "cgroup2-freezer", "freezing a container at once", "tasks are stopped one by one", "5.2",
	  probe_cgroup2_freezer },
};

const size_t features_count = sizeof(features_table) / sizeof(features_table[0]);

bool feature_hidden(const char *name)
{
	const char *at = getenv("CRIU_LITE_WITHOUT");
	size_t length = strlen(name);

	while (at && *at) {
		size_t word = strcspn(at, ",");

		if (word == length && !strncmp(at, name, length))
			return true;
		at += word;
		at += *at == ',';
	}
	return false;
}

int feature_probe(const struct feature *feature)
{
	return feature_hidden(feature->name) ? ENOSYS : feature->probe();
}

bool feature_works(const char *name)
{
	for (size_t i = 0; i < features_count; i++)
		if (!strcmp(features_table[i].name, name))
			return feature_probe(&features_table[i]) == 0;
	return false;
}
