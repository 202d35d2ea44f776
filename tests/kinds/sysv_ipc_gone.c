/* SPDX-License-Identifier: GPL-2.0-or-later */
/* System V semaphores and message queues that are gone are made again with all they had. */
/* test: own=ipc */
/* test: modes=restore,snapshot,twice */
/* test: between=ipcrm --all=sem --all=msg */
#include "sysv_ipc.c"
