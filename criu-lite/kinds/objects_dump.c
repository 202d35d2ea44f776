/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects of a tree that is dumped: each inode once. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "kinds/memory_rounds.h"
#include "kinds/objects.h"

extern const struct kind sysv_shm_kind;

enum { BUCKETS = 512 };

/* The inode numbers of System V segments are their ids, and those of other objects of the same
 * file system may be the same. */
struct object_key {
	uint64_t device, inode;
	bool sysv;
};

struct object_node {
	struct object_node *next;
	struct object_key key;
	struct dump_object *object;
};

struct dump_objects {
	struct dump *run;
	ARRAY_OF(struct dump_object *) objects;
	struct object_node *by_inode[BUCKETS];
	/* By what /proc/PID/maps says: its device is that of the superblock, which stat(2) may see
	 * differently. */
	struct object_node *by_maps[BUCKETS];
};

static struct object_node **bucket(struct object_node **table, const struct object_key *key)
{
	return &table[(key->inode ^ key->inode >> 9 ^ key->device * 31) % BUCKETS];
}

static struct dump_object *find(struct object_node **table, const struct object_key *key)
{
	const struct object_node *node;

	for (node = *bucket(table, key); node; node = node->next)
		if (node->key.device == key->device && node->key.inode == key->inode &&
		    node->key.sysv == key->sysv)
			return node->object;
	return NULL;
}

static int remember(struct object_node **table, const struct object_key *key,
		    struct dump_object *object, struct error *err)
{
	struct object_node **head = bucket(table, key), *node = malloc(sizeof(*node));

	if (!node)
		return error_set(err, ERROR_FAILED, ENOMEM, "objects");
	*node = (struct object_node){ *head, *key, object };
	*head = node;
	return 0;
}

static void forget_all(struct object_node **table)
{
	size_t i;

	for (i = 0; i < BUCKETS; i++) {
		while (table[i]) {
			struct object_node *next = table[i]->next;

			free(table[i]);
			table[i] = next;
		}
	}
}

struct dump_objects *dump_objects_new(struct dump *run)
{
	struct dump_objects *d = calloc(1, sizeof(*d));

	if (d)
		d->run = run;
	return d;
}

void dump_objects_free(struct dump_objects *d)
{
	struct dump_object **o;

	if (!d)
		return;
	array_for(o, &d->objects) {
		fd_close(&(*o)->fd);
		free(*o);
	}
	array_release(&d->objects);
	forget_all(d->by_inode);
	forget_all(d->by_maps);
	free(d);
}

struct dump *dump_objects_run(struct dump_objects *d)
{
	return d->run;
}

struct dump_object *dump_objects_at(struct dump_objects *d, size_t index)
{
	return index < d->objects.count ? d->objects.items[index] : NULL;
}

static struct dump_object *add_object(struct dump_objects *d, const struct stat *st,
				      const struct kind *kind, struct error *err)
{
	struct dump_object *o = calloc(1, sizeof(*o)), **slot = array_add(&d->objects);

	if (!o || !slot) {
		free(o);
		d->objects.count -= slot != NULL;
		error_set(err, ERROR_FAILED, ENOMEM, "objects");
		return NULL;
	}
	*o = (struct dump_object){
		.id = d->objects.count,
		.kind = kind,
		.dev = st->st_dev,
		.ino = st->st_ino,
		.fd = -1,
	};
	return *slot = o;
}

struct dump_object *dump_objects_add(struct dump_objects *d, const struct kind *kind,
				     const struct stat *st, struct error *err)
{
	const struct object_key key = { .device = st->st_dev, .inode = st->st_ino };
	struct dump_object *o = add_object(d, st, kind, err);

	return o && (!key.inode || !remember(d->by_inode, &key, o, err)) ? o : NULL;
}

struct dump_object *dump_objects_get(struct dump_objects *d, const struct object_look *look,
				     struct error *err)
{
	const struct kind *kind = objects_recognise(look);
	struct object_key key = { look->st.st_dev, look->st.st_ino, kind == &sysv_shm_kind };
	struct dump_object *o;
	char name[256];

	if (!kind) {
		error_set(err, ERROR_BLOCKED, 0,
			  "process %d: %s: this kind of file cannot be saved", look->pid,
			  object_look_name(look, name, sizeof(name)));
		return NULL;
	}
	o = find(d->by_inode, &key);
	if (o)
		return o;
	o = add_object(d, &look->st, kind, err);
	if (!o || remember(d->by_inode, &key, o, err))
		return NULL;
	if (kind->object->dump(d, o, look, err)) {
		error_wrap(err, "process %d: %s", look->pid,
			   object_look_name(look, name, sizeof(name)));
		return NULL;
	}
	return o;
}

struct dump_object *dump_objects_of_vma(struct dump_objects *d, struct dump_task *task,
					const struct vma *vma, struct error *err)
{
	struct object_key key = {
		.device = (uint64_t)vma->dev_major << 32 | vma->dev_minor,
		.inode = vma->inode,
		.sysv = vma->deleted && !strncmp(vma->path, "/SYSV", 5),
	};
	struct dump_object *o = find(d->by_maps, &key);
	struct object_look look;

	if (o)
		return o;
	if (object_look_vma(&look, task->pid, task->proc_fd, vma)) {
		error_set(err, ERROR_TARGET, errno, "process %d: memory %lx-%lx (%s): cannot look",
			  task->pid, (unsigned long)vma->start, (unsigned long)vma->end, vma->path);
		return NULL;
	}
	o = dump_objects_get(d, &look, err);
	return o && !remember(d->by_maps, &key, o, err) ? o : NULL;
}

struct dump_object *dump_objects_of_fd(struct dump_objects *d, const struct fd_look *fd,
				       struct error *err)
{
	static const char suffix[] = " (deleted)";
	size_t length = strlen(fd->link), tail = sizeof(suffix) - 1;
	_cleanup_free_ char *path = NULL;
	struct object_look look;

	object_look_fd(&look, fd);
	if (length > tail && !strcmp(fd->link + length - tail, suffix)) {
		path = strndup(fd->link, length - tail);
		if (!path) {
			error_set(err, ERROR_FAILED, ENOMEM, "objects");
			return NULL;
		}
		look.path = path;
		look.deleted = true;
	}
	return dump_objects_get(d, &look, err);
}

int dump_object_message(struct dump_objects *d, struct dump_object *o,
			const ProtobufCMessage *message, struct error *err)
{
	if (d->run->rounds)
		o->likeness = memory_rounds_likeness(message);
	return stream_write(d->run->out, o->kind->record, RECORD_CRITICAL, message, err);
}

int dump_object_content(struct dump_object *o, const struct object_look *look, struct error *err)
{
	o->fd = object_look_open(look, O_RDONLY);
	if (o->fd < 0)
		return error_set(err, ERROR_TARGET, errno, "cannot open it");
	o->has_content = true;
	o->size = look->st.st_size;
	return 0;
}
