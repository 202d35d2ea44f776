/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/rootfs_samples.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sysmacros.h>
#include <xxhash.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "migrate/link.h"
#include "migrate/rootfs_path.h"
#include "proc/maps.h"

enum {
	NEWEST = 32,		/* that are compared of each place … */
	RANDOM = 32,
	PROGRAMS = 64,
	SEEN_MAX = 20000,	/* … of so many that are looked at */
	DEPTH_MAX = 32,
	TASKS_MAX = 64,		/* whose programs are looked for */
	HASHED = 64 << 10,
	VOLUME = 12,		/* of each place that is not the root … */
	VOLUME_PATH_MAX = 200,	/* … with no longer path: all must fit into a message */
	OTHERS_MAX = 256,
	PLACES_MAX = 256,
};

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "samples of files");
}

/* ---- a file as it is ---- */

static int64_t ns_of(const struct statx_timestamp *t)
{
	return t->tv_sec * (int64_t)ROOTFS_NS_PER_S + t->tv_nsec;
}

/* What a cache says may be old. */
static int look_at(int fd, struct statx *ret)
{
	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, ret);
}

static void describe(const struct statx *st, MigrateSamples__Sample *s)
{
	s->mode = st->stx_mode;
	s->inode = st->stx_ino;
	s->size = S_ISREG(st->stx_mode) ? st->stx_size : 0;
	s->mtime_ns = ns_of(&st->stx_mtime);
	s->ctime_ns = ns_of(&st->stx_ctime);
	s->rdev = makedev(st->stx_rdev_major, st->stx_rdev_minor);
}

static bool is_device(uint32_t mode)
{
	return S_ISCHR(mode) || S_ISBLK(mode);
}

/* The same for both sides: a place that is no directory may be a copy. */
static bool is_same(const MigrateSamples__Sample *a, const MigrateSamples__Sample *b, bool copy)
{
	if (a->mode != b->mode || a->rdev != b->rdev)
		return false;
	if (is_device(a->mode))
		return true;
	return a->size == b->size &&
	       (copy || (a->inode == b->inode && a->mtime_ns == b->mtime_ns &&
			 a->ctime_ns == b->ctime_ns));
}

/* The place itself may be a file. */
static int open_sample(int place, const char *path, int flags)
{
	char itself[32];

	if (*path)
		return rootfs_open(place, path, flags);
	snprintf(itself, sizeof(itself), "/proc/self/fd/%d", place);
	return open(itself, flags | O_CLOEXEC | O_NONBLOCK);
}

/* Its beginning and its end. */
static int hash_file(int place, const char *path, uint64_t size, uint64_t *ret)
{
	_cleanup_fd_ int fd = open_sample(place, path, O_RDONLY);
	_cleanup_free_ char *data = malloc(2 * HASHED);
	size_t first = size < HASHED ? size : HASHED;
	size_t last = size - first < HASHED ? size - first : HASHED;

	if (fd < 0 || !data || pread_full(fd, data, first, 0) != (ssize_t)first ||
	    pread_full(fd, data + first, last, size - last) != (ssize_t)last)
		return -1;
	*ret = XXH3_64bits(data, first + last);
	return 0;
}

/* ---- source: choosing ---- */

struct choice {
	char *path;
	int64_t ctime_ns;
};

struct walk {
	struct choice newest[NEWEST], random[RANDOM];
	size_t newest_count, seen;
	uint64_t seed;
	bool failed;
};

static uint64_t next_random(struct walk *w)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return w->seed;
}

static void put(struct walk *w, struct choice *where, const char *path, int64_t ctime_ns)
{
	free(where->path);
	*where = (struct choice){ strdup(path), ctime_ns };
	w->failed |= !where->path;
}

static void consider(struct walk *w, const char *path, int64_t ctime_ns)
{
	struct choice *oldest = w->newest;
	uint64_t at = w->seen < RANDOM ? w->seen : next_random(w) % (w->seen + 1);
	size_t i;

	w->seen++;
	if (at < RANDOM)
		put(w, &w->random[at], path, ctime_ns);
	if (w->newest_count < NEWEST) {
		put(w, &w->newest[w->newest_count++], path, ctime_ns);
		return;
	}
	for (i = 1; i < NEWEST; i++)
		if (w->newest[i].ctime_ns < oldest->ctime_ns)
			oldest = &w->newest[i];
	if (ctime_ns > oldest->ctime_ns)
		put(w, oldest, path, ctime_ns);
}

/* Takes over the directory; `path` is where it is, and stays so. */
static void walk(struct walk *w, int fd, char *path, size_t length, int depth)
{
	_cleanup_dir_ DIR *dir = fdopendir(fd);
	struct dirent *entry;

	if (!dir)
		close(fd);
	while (dir && w->seen < SEEN_MAX && (entry = readdir(dir))) {
		size_t size = strlen(entry->d_name) + 1;
		struct stat st;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
		    length + size + 1 > PATH_MAX ||
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		snprintf(path + length, PATH_MAX - length, "%s%s", length ? "/" : "",
			 entry->d_name);
		consider(w, path, rootfs_ns(&st.st_ctim));
		if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
			int below = openat(dirfd(dir), entry->d_name,
					   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			if (below >= 0)
				walk(w, below, path, strlen(path), depth + 1);
		}
		path[length] = '\0';
	}
}

static void walk_release(struct walk *w)
{
	size_t i;

	for (i = 0; i < NEWEST; i++)
		free(w->newest[i].path);
	for (i = 0; i < RANDOM; i++)
		free(w->random[i].path);
}

/* ---- source: taking samples ---- */

static bool has_sample(const MigrateSamples__Place *place, const char *path)
{
	size_t i;

	for (i = 0; i < place->n_samples; i++)
		if (!strcmp(place->samples[i]->path, path))
			return true;
	return false;
}

static bool takes_another(const MigrateSamples__Place *place, const char *path)
{
	if (!place->root)
		return place->n_samples < VOLUME && strlen(path) <= VOLUME_PATH_MAX;
	return place->n_samples < 1 + NEWEST + RANDOM + PROGRAMS;
}

/* One that changes meanwhile, or lies beyond another mount, is not taken. */
static int take(MigrateSamples__Place *place, int root, const char *path, bool hash,
		struct error *err)
{
	_cleanup_fd_ int fd = open_sample(root, path, O_PATH);
	MigrateSamples__Sample *s;
	struct statx st;

	if (fd < 0 || look_at(fd, &st) || has_sample(place, path) || !takes_another(place, path))
		return 0;
	s = malloc(sizeof(*s));
	if (!s)
		return no_memory(err);
	migrate_samples__sample__init(s);
	place->samples[place->n_samples++] = s;
	describe(&st, s);
	s->path = strdup(path);
	if (!s->path)
		return no_memory(err);
	s->has_hash = hash && S_ISREG(st.stx_mode) && !hash_file(root, path, s->size, &s->hash);
	return 0;
}

static int take_chosen(MigrateSamples__Place *place, int root, struct error *err)
{
	struct walk w = { 0 };
	char path[PATH_MAX] = "";
	int top = rootfs_open(root, "", O_RDONLY | O_DIRECTORY), r = 0;
	size_t i;

	if (getrandom(&w.seed, sizeof(w.seed), 0) != sizeof(w.seed) || !w.seed)
		w.seed = 1;
	if (top >= 0)
		walk(&w, top, path, 0, 0);
	if (w.failed)
		r = no_memory(err);
	_Static_assert(NEWEST == RANDOM, "they take turns");
	for (i = 0; i < NEWEST && !r; i++)
		r = (w.newest[i].path && take(place, root, w.newest[i].path, true, err)) ||
				    (w.random[i].path &&
				     take(place, root, w.random[i].path, true, err)) ?
			    -1 :
			    0;
	walk_release(&w);
	return r;
}

/* Paths in maps are those that the process sees. */
static int take_programs(MigrateSamples__Place *place, int root, const struct pid_list *tree,
			 struct error *err)
{
	size_t i;

	for (i = 0; i < tree->pids.count && i < TASKS_MAX; i++) {
		_cleanup_error_ struct error ended = ERROR_INIT;
		_cleanup_vma_list_ struct vma_list maps = { 0 };
		_cleanup_fd_ int dir = proc_open(tree->pids.items[i]);
		const struct vma *v;

		if (dir < 0 || proc_read_maps(dir, &maps, &ended))
			continue;
		array_for(v, &maps.vmas)
			if (v->kind == VMA_FILE && !v->deleted && v->path && v->path[0] == '/' &&
			    !v->shared && take(place, root, v->path + 1, true, err))
				return -1;
	}
	return 0;
}

static int fill_place(MigrateSamples__Place *place, const struct mount_outside *outside,
		      const struct pid_list *tree, struct error *err)
{
	_cleanup_fd_ int root = open(outside->host_path, O_PATH | O_CLOEXEC);
	struct stat st;

	place->path = strdup(outside->path);
	place->host_path = strdup(outside->host_path);
	place->root = outside->root;
	place->samples = calloc(1 + NEWEST + RANDOM + PROGRAMS, sizeof(*place->samples));
	if (!place->path || !place->host_path || !place->samples)
		return no_memory(err);
	if (root < 0 || fstat(root, &st))
		return error_set(err, ERROR_TARGET, errno, "%s", outside->host_path);
	if (take(place, root, "", true, err))
		return -1;
	if (!S_ISDIR(st.st_mode))
		return 0;
	return (outside->root && take_programs(place, root, tree, err)) ||
			       take_chosen(place, root, err) ?
		       -1 :
		       0;
}

int samples_make(const struct mounts_outside *places, bool without_root,
		 const struct pid_list *tree, MigrateSamples **ret, struct error *err)
{
	const struct mount_outside *outside;
	MigrateSamples *m = malloc(sizeof(*m));

	if (!m)
		return no_memory(err);
	migrate_samples__init(m);
	m->places = calloc(PLACES_MAX, sizeof(*m->places));
	array_for(outside, &places->items) {
		MigrateSamples__Place *place;

		if (!m->places || m->n_places == PLACES_MAX || (without_root && outside->root))
			continue;
		place = malloc(sizeof(*place));
		if (!place)
			break;
		migrate_samples__place__init(place);
		m->places[m->n_places++] = place;
		if (fill_place(place, outside, tree, err)) {
			migrate_samples__free_unpacked(m, NULL);
			return -1;
		}
	}
	*ret = m;
	return 0;
}

/* ---- destination ---- */

static int add_other(MigrateSamplesSeen *seen, uint32_t place, uint32_t sample, const char *reason)
{
	MigrateSamplesSeen__Other *other;

	if (seen->n_others == OTHERS_MAX)
		return 0;
	other = malloc(sizeof(*other));
	if (!other)
		return -1;
	migrate_samples_seen__other__init(other);
	seen->others[seen->n_others++] = other;
	other->place = place;
	other->sample = sample;
	other->reason = strdup(reason);
	return other->reason ? 0 : -1;
}

/* NULL: it is the same here. */
static const char *difference(int place, const MigrateSamples__Sample *wanted)
{
	_cleanup_fd_ int fd = open_sample(place, wanted->path, O_PATH);
	MigrateSamples__Sample here = MIGRATE_SAMPLES__SAMPLE__INIT;
	bool copy = !*wanted->path && S_ISREG(wanted->mode);
	struct statx st;

	if (fd < 0 || look_at(fd, &st))
		return strerror(errno);
	describe(&st, &here);
	if (!is_same(wanted, &here, copy))
		return here.inode == wanted->inode && !copy ? "it is as it was at another time" :
							      "it is another file";
	if (wanted->has_hash && S_ISREG(here.mode) &&
	    (hash_file(place, wanted->path, here.size, &here.hash) || here.hash != wanted->hash))
		return "it has other contents";
	return NULL;
}

static int compare_place(const MigrateSamples__Place *place, uint32_t number, const char *here,
			 MigrateSamplesSeen *seen)
{
	_cleanup_fd_ int root = here[0] == '/' ? open(here, O_PATH | O_CLOEXEC) : -1;
	const char *reason;
	uint32_t i;

	if (root < 0)
		return add_other(seen, number, 0, strerror(errno));
	for (i = 0; i < place->n_samples; i++) {
		reason = difference(root, place->samples[i]);
		if (reason && add_other(seen, number, i, reason))
			return -1;
	}
	return 0;
}

int samples_compare(const MigrateSamples *m, samples_locate locate, void *context,
		    MigrateSamplesSeen **ret, struct error *err)
{
	MigrateSamplesSeen *seen = malloc(sizeof(*seen));
	bool failed = !seen;
	uint32_t i;

	if (seen) {
		migrate_samples_seen__init(seen);
		seen->others = calloc(OTHERS_MAX, sizeof(*seen->others));
		failed = !seen->others;
	}
	for (i = 0; i < m->n_places && !failed; i++) {
		_cleanup_free_ char *here = locate(context, m->places[i]);

		failed = !here || compare_place(m->places[i], i, here, seen);
	}
	if (!failed) {
		*ret = seen;
		return 0;
	}
	if (seen)
		migrate_samples_seen__free_unpacked(seen, NULL);
	return no_memory(err);
}

/* ---- source: what that means ---- */

static bool has_changed(const MigrateSamples__Place *place, const MigrateSamples__Sample *s)
{
	_cleanup_fd_ int root = open(place->host_path, O_PATH | O_CLOEXEC);
	_cleanup_fd_ int fd = root < 0 ? -1 : open_sample(root, s->path, O_PATH);
	MigrateSamples__Sample now = MIGRATE_SAMPLES__SAMPLE__INIT;
	struct statx st;

	if (fd < 0 || look_at(fd, &st))
		return true;
	describe(&st, &now);
	return !is_same(s, &now, false);
}

static int refuse(const MigrateSamples__Place *place, const char *path, char *reason,
		  struct error *err)
{
	link_make_printable(reason);
	error_set(err, ERROR_BLOCKED, 0,
		  "the destination does not have the files of %s%s%s: %s, there: %.200s",
		  place->root ? "the root file system " : "", place->host_path,
		  place->root ? "" : ", which the tree has mounted", path, reason);
	if (place->root)
		return error_hint(err, "--rootfs sync copies it there; or let both see the same, "
				       "and say where it is there with receive --root-map");
	return error_hint(err, "let both see the same, and say where it is there with receive "
			       "--external 'mnt[%s]=PATH'", place->path);
}

int samples_judge(const MigrateSamples *m, const MigrateSamplesSeen *seen, bool *ret_unsure,
		  struct error *err)
{
	size_t i;

	for (i = 0; i < seen->n_others; i++) {
		const MigrateSamplesSeen__Other *o = seen->others[i];
		const MigrateSamples__Place *place;
		const char *path;

		if (o->place >= m->n_places || o->sample >= m->places[o->place]->n_samples)
			return error_set(err, ERROR_PEER, 0,
					 "the destination answers about a file that was not asked");
		place = m->places[o->place];
		path = place->samples[o->sample]->path;
		if (!has_changed(place, place->samples[o->sample]))
			return refuse(place, *path ? path : "its top", o->reason, err);
	}
	*ret_unsure = seen->n_others > NEWEST;
	return 0;
}
