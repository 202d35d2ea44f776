/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KERNEL_PROBES_H
#define CL_KERNEL_PROBES_H

/* The probes of kernel-compat/features.c; see struct feature there. */

/* probe_task.c */
int probe_cap_sys_admin(void);
int probe_cap_sys_ptrace(void);
int probe_cap_sys_resource(void);
int probe_cap_net_admin(void);
int probe_process_vm(void);
int probe_kcmp(void);
int probe_kcmp_epoll(void);
int probe_pidfd_getfd(void);
int probe_clone3_set_tid(void);
int probe_close_range(void);
int probe_prctl_mm_map(void);
int probe_restart_block(void);
int probe_timer_restore_ids(void);

/* probe_memory.c */
int probe_map_files(void);
int probe_pagemap_pfn(void);
int probe_pagemap_scan(void);
int probe_userfaultfd(void);
int probe_userfaultfd_wp_async(void);
int probe_soft_dirty(void);

/* probe_file.c */
int probe_fdinfo_ino(void);
int probe_fdinfo_eventfd_semaphore(void);
int probe_unix_diag(void);
int probe_inet_diag(void);
int probe_tcp_repair(void);
int probe_sock_destroy(void);
int probe_private_mount(void);
int probe_pty_peer(void);
int probe_ipc_next_id(void);
int probe_msg_copy(void);
int probe_cgroup2_freezer(void);

/* probe_network.c */
int probe_packet_lock(void);

#endif
