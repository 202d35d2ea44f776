/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_IMAGES_POOL_H
#define CL_IMAGES_POOL_H

/*
 * Threads that work off a queue of tasks. The owner counts as worker 0 and helps; workers 1 … are
 * threads, which start only with pool_start() and receive no signals. The owner is the only one
 * that puts tasks in. Tasks belong to their owner and are not touched after they have run.
 */

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>

struct pool_task {
	void (*run)(struct pool_task *task, unsigned worker);
	struct pool_task *next;
};

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	struct pool_task *head, **tail;
	pthread_t *ids;
	unsigned jobs, threads, running;
	bool stop;
	/* Where threads may run: where the owner might when it made the pool. */
	cpu_set_t processors;
	bool has_processors;
};

/* A pool of jobs workers (at least 1), the owner among them; jobs is what it was given. */
void pool_init(struct pool *p, unsigned jobs);
/* Starts the threads. Where some cannot be started the others and the owner do the work. */
void pool_start(struct pool *p);
void pool_put(struct pool *p, struct pool_task *task);
/* Runs one queued task in the calling thread; false when there was none. */
bool pool_help(struct pool *p);
/* Waits until a running task has ended; returns at once when none runs. */
void pool_wait_one(struct pool *p);
/* Helps until all tasks have ended. */
void pool_finish(struct pool *p);
/* Forgets what is queued and waits for what runs. */
void pool_cancel(struct pool *p);
/* Cancels, and ends the threads. */
void pool_release(struct pool *p);

#endif
