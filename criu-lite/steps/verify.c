/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/verify.h"

#include "kinds/files.h"
#include "kinds/memory.h"
#include "kinds/ns/namespaces.h"
#include "steps/load.h"
#include "steps/rounds.h"
#include "steps/tree_restore.h"

extern const struct kind registers_kind;

/* Every task has what a restore cannot do without; the rows check the rest when they are put. */
static int verify_tasks(const struct restore *r, const Tree *tree, struct verify_report *report,
			struct error *err)
{
	size_t i, k;

	for (i = 0; i < r->tasks.count; i++) {
		const struct restore_task *t = r->tasks.items[i];

		report->processes++;
		for (k = tree->tasks[i]->leader_gone; !t->zombie && k < t->threads.count; k++) {
			report->threads++;
			if (!restore_thread_state(t->threads.items[k], &registers_kind))
				return error_set(err, ERROR_IMAGE, 0, "thread %d has no registers",
						 t->threads.items[k]->tid);
		}
	}
	return 0;
}

static int read_all(struct restore *r, Image **image, Tree **tree, struct verify_report *report,
		    struct error *err)
{
	int more;

	if (load_header(r, image, err) || restore_files_new(r, STDIO_NULL, NULL, err) ||
	    load_up_to_pages(r, tree, err))
		return -1;
	while ((more = rounds_look(r, tree, err)) > 0)
		;
	if (more < 0)
		return -1;
	if (namespaces_load(r, err) || namespaces_check(r, err) ||
	    verify_tasks(r, *tree, report, err) || tree_verify(r, err) ||
	    restore_files_check(r->files, err))
		return -1;
	return memory_verify(r, err) || load_up_to_task_pages(r, err) || memory_verify(r, err) ||
			       load_seal(r, err) || namespaces_check(r, err) ?
		       -1 :
		       0;
}

int verify(int input, int jobs, struct verify_report *report, struct error *err)
{
	struct restore r = { .only_look = true, .service = { -1, -1 } };
	Image *image = NULL;
	Tree *tree = NULL;
	int result;

	*report = (struct verify_report){ 0 };
	result = stream_reader_open(&r.in, input, jobs, err) ||
				 read_all(&r, &image, &tree, report, err) ?
			 -1 :
			 0;
	stream_reader_free(r.in);
	restore_files_free(r.files);
	memory_restore_free(&r);
	load_free_tasks(&r);
	if (tree)
		tree__free_unpacked(tree, NULL);
	if (image)
		image__free_unpacked(image, NULL);
	return result;
}
