/* SPDX-License-Identifier: GPL-2.0-or-later */
/* POSIX message queues that are gone are made again with all they had. */
/* test: own=ipc */
/* test: modes=restore,snapshot,twice */
/* test: between=mkdir -p mq && mount -t mqueue none mq && rm mq/criu-lite-* && umount mq */
#include "mqueue.c"
