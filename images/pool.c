/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "images/pool.h"

#include <signal.h>
#include <stdlib.h>

struct thread_start {
	struct pool *pool;
	unsigned worker;
};

void pool_init(struct pool *p, unsigned jobs)
{
	*p = (struct pool){ .jobs = jobs };
	p->has_processors = !sched_getaffinity(0, sizeof(p->processors), &p->processors);
	p->tail = &p->head;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->done, NULL);
}

/* Takes the first task out of the queue, with the lock held; NULL when there is none. */
static struct pool_task *take(struct pool *p)
{
	struct pool_task *task = p->head;

	if (!task)
		return NULL;
	p->head = task->next;
	if (!p->head)
		p->tail = &p->head;
	p->running++;
	return task;
}

static void run_unlocked(struct pool *p, struct pool_task *task, unsigned worker)
{
	pthread_mutex_unlock(&p->lock);
	task->run(task, worker);
	pthread_mutex_lock(&p->lock);
	p->running--;
	pthread_cond_signal(&p->done);
}

static void *worker_main(void *argument)
{
	struct thread_start start = *(struct thread_start *)argument;
	struct pool *p = start.pool;

	free(argument);
	if (p->has_processors)
		sched_setaffinity(0, sizeof(p->processors), &p->processors);
	pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		struct pool_task *task = take(p);

		if (task)
			run_unlocked(p, task, start.worker);
		else
			pthread_cond_wait(&p->work, &p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static bool start_thread(struct pool *p)
{
	struct thread_start *start = malloc(sizeof(*start));

	if (!start)
		return false;
	*start = (struct thread_start){ .pool = p, .worker = p->threads + 1 };
	if (pthread_create(&p->ids[p->threads], NULL, worker_main, start)) {
		free(start);
		return false;
	}
	p->threads++;
	return true;
}

void pool_start(struct pool *p)
{
	sigset_t all, before;

	if (p->ids || p->jobs <= 1)
		return;
	p->ids = calloc(p->jobs - 1, sizeof(*p->ids));
	if (!p->ids)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (p->threads < p->jobs - 1 && start_thread(p))
		;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void pool_put(struct pool *p, struct pool_task *task)
{
	task->next = NULL;
	pthread_mutex_lock(&p->lock);
	*p->tail = task;
	p->tail = &task->next;
	pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
}

bool pool_help(struct pool *p)
{
	struct pool_task *task;

	pthread_mutex_lock(&p->lock);
	task = take(p);
	if (task)
		run_unlocked(p, task, 0);
	pthread_mutex_unlock(&p->lock);
	return task;
}

void pool_wait_one(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	if (p->running)
		pthread_cond_wait(&p->done, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

void pool_finish(struct pool *p)
{
	while (pool_help(p))
		;
	pthread_mutex_lock(&p->lock);
	while (p->running)
		pthread_cond_wait(&p->done, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

void pool_cancel(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->head = NULL;
	p->tail = &p->head;
	while (p->running)
		pthread_cond_wait(&p->done, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

void pool_release(struct pool *p)
{
	pool_cancel(p);
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->threads; i++)
		pthread_join(p->ids[i], NULL);
	free(p->ids);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->done);
	pthread_mutex_destroy(&p->lock);
}
