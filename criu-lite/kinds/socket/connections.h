/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_CONNECTIONS_H
#define CL_KINDS_CONNECTIONS_H

#include "kinds/dump.h"
#include "kinds/restore.h"

/*
 * The packet lock around a tree. One that has a network namespace of its own is locked as a whole,
 * else only its TCP connections with peers outside of the tree are; without any nothing is done.
 */

/* With every task held: locks the network of a tree that has one of its own. */
int connections_lock_network(struct dump *d, struct error *err);
/* With its descriptors known: locks the others' connections. ERROR_BLOCKED where that cannot be. */
int connections_lock(struct dump *d, struct error *err);
/* With a tree that runs and has a network of its own: keeps new connections out of it, d->gate. */
int connections_refuse_new(struct dump *d, struct error *err);
/* After the dump was refused because connections wait to be accepted: holds new ones off, so that
 * the program, which runs again, can take those. A no-op in other cases, if *l is on, and for a
 * tree with a network of its own. */
int connections_hold_new(const struct dump *d, struct network_lock *l, struct error *err);
/* Packets flow again. The kernel is slow to close what this leaves open. */
void connections_unlock_leave_open(struct dump *d);
void connections_unlock(struct dump *d);
/* The tree has gone elsewhere: what the kernel still sends for its closed sockets, to nobody, would
 * keep its network namespace, and what it is called on the machine, for minutes. */
void connections_hasten_end(const struct dump *d);
/* The tree will be ended: a lock stays behind for a restore, so that nothing answers the peers
 * meanwhile; its name is that of the image. The guard removes it if we die before
 * guard_will_end(). */
int connections_keep_locked(struct dump *d, struct error *err);
/* The tree runs on after all. */
void connections_forget(struct dump *d);

/* In the tree's network, before any socket of the image is there: r->lock. It lasts as long as the
 * guard, which ends what is behind it first. */
int connections_lock_restored(struct restore *r, struct error *err);
/* With all sockets there and every task held: packets flow again, as to the image's lock, too. */
int connections_unlock_restored(struct restore *r, struct error *err);

#endif
