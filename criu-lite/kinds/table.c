/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every kind that criu-lite saves, in the order in which state is put back. One row a line.
 * Process and thread kinds: what needs privilege before what gives it up. Seccomp filters are not
 * asked while we hold a thread, so that they come before the credentials.
 */
#include "kinds/kind.h"

/* The tree as a whole. The limits of IPC are written where /proc is still that of the machine. */
extern const struct kind namespaces_kind;
extern const struct kind user_namespace_kind;
extern const struct kind uts_namespace_kind;
extern const struct kind clocks_kind;
extern const struct kind ipc_namespace_kind;
extern const struct kind cgroup_kind;
extern const struct kind net_links_kind;
extern const struct kind net_sysctls_kind;
extern const struct kind nftables_kind;
extern const struct kind net_addresses_kind;
extern const struct kind net_nexthops_kind;
extern const struct kind net_routes_kind;
extern const struct kind net_rules_kind;
extern const struct kind net_neighbours_kind;
extern const struct kind mounts_kind;
extern const struct kind runtime_kind;

/* Objects: inodes that mappings and descriptors share. */
extern const struct kind file_kind;
extern const struct kind deleted_file_kind;
extern const struct kind memfd_kind;
extern const struct kind shared_anonymous_kind;
extern const struct kind sysv_shm_kind;
extern const struct kind sysv_sem_kind;
extern const struct kind sysv_msg_kind;
extern const struct kind mqueue_unopened_kind;
extern const struct kind tmpfs_kind;
extern const struct kind tmpfs_file_kind;

/* Open file descriptions. */
extern const struct kind external_kind;
extern const struct kind procfile_kind;
extern const struct kind namespace_file_kind;
extern const struct kind path_kind;
extern const struct kind mqueue_kind;
extern const struct kind regular_kind;
extern const struct kind directory_kind;
extern const struct kind device_kind;
extern const struct kind pipe_kind;
extern const struct kind unix_socket_kind;
extern const struct kind tcp_socket_kind;
extern const struct kind netlink_socket_kind;
extern const struct kind raw_socket_kind;
extern const struct kind packet_socket_kind;
extern const struct kind udp_socket_kind;
extern const struct kind eventfd_kind;
extern const struct kind timerfd_kind;
extern const struct kind signalfd_kind;
extern const struct kind epoll_kind;
extern const struct kind inotify_kind;
extern const struct kind pidfd_kind;
extern const struct kind pty_master_kind;
extern const struct kind terminal_kind;

/* What a tree has as a whole. */
extern const struct kind held_packets_kind;

/* Processes and threads. */
extern const struct kind maps_kind;
extern const struct kind mm_kind;
extern const struct kind descriptors_kind;
extern const struct kind signal_handlers_kind;
extern const struct kind pending_signals_shared_kind;
extern const struct kind pending_signals_kind;
extern const struct kind interval_timers_kind;
extern const struct kind posix_timers_kind;
extern const struct kind limits_kind;
extern const struct kind controlling_terminal_kind;
extern const struct kind filesystem_kind;
extern const struct kind oom_score_adj_kind;
extern const struct kind core_filter_kind;
extern const struct kind child_subreaper_kind;
extern const struct kind membarrier_kind;
extern const struct kind name_kind;
extern const struct kind personality_kind;
extern const struct kind scheduler_kind;
extern const struct kind numa_policy_kind;
extern const struct kind processor_kind;
extern const struct kind state_permission_kind;
extern const struct kind altstack_kind;
extern const struct kind robust_list_kind;
extern const struct kind clear_child_tid_kind;
extern const struct kind file_locks_kind;
extern const struct kind seccomp_kind;
extern const struct kind credentials_kind;
extern const struct kind parent_death_signal_kind;
extern const struct kind dumpable_kind;
extern const struct kind syscall_dispatch_kind;
extern const struct kind rseq_kind;
extern const struct kind registers_kind;

const struct kind *const kinds_table[] = {
	/* The tree as a whole. */
	&namespaces_kind,
	&user_namespace_kind,
	&uts_namespace_kind,
	&clocks_kind,
	&ipc_namespace_kind,
	&cgroup_kind,
	&net_links_kind,
	&net_sysctls_kind,
	&nftables_kind,
	&net_addresses_kind,
	&net_nexthops_kind,
	&net_routes_kind,
	&net_rules_kind,
	&net_neighbours_kind,
	/* Rows before this one find the machine's /proc/sys, writable. */
	&mounts_kind,
	&runtime_kind,

	/* Objects. */
	&file_kind,
	&deleted_file_kind,
	&memfd_kind,
	&shared_anonymous_kind,
	&sysv_shm_kind,
	&sysv_sem_kind,
	&sysv_msg_kind,
	&mqueue_unopened_kind,
	&tmpfs_kind,
	&tmpfs_file_kind,

	/* Open file descriptions. */
	&external_kind,
	&procfile_kind,
	&namespace_file_kind,
	&path_kind,
	&mqueue_kind,
	&regular_kind,
	&directory_kind,
	&device_kind,
	&pipe_kind,
	&unix_socket_kind,
	&tcp_socket_kind,
	&netlink_socket_kind,
	&raw_socket_kind,
	&packet_socket_kind,
	&udp_socket_kind,
	&eventfd_kind,
	&timerfd_kind,
	&signalfd_kind,
	&epoll_kind,
	&inotify_kind,
	&pidfd_kind,
	&pty_master_kind,
	&terminal_kind,

	/* Processes and threads. */
	&maps_kind,
	&mm_kind,
	&descriptors_kind,
	&signal_handlers_kind,
	&pending_signals_shared_kind,
	&pending_signals_kind,
	&interval_timers_kind,
	&posix_timers_kind,
	&limits_kind,
	&controlling_terminal_kind,
	&filesystem_kind,
	&oom_score_adj_kind,
	&core_filter_kind,
	&child_subreaper_kind,
	&membarrier_kind,
	&name_kind,
	&personality_kind,
	&scheduler_kind,
	&numa_policy_kind,
	&processor_kind,
	&state_permission_kind,
	&altstack_kind,
	&robust_list_kind,
	&clear_child_tid_kind,
	&file_locks_kind,
	&seccomp_kind,
	&credentials_kind,
	&parent_death_signal_kind,
	&dumpable_kind,
	&syscall_dispatch_kind,
	&rseq_kind,
	&registers_kind,

	/* What the tree has as a whole. */
	&held_packets_kind,

	NULL,
};
