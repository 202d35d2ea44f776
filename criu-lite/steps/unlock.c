/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/unlock.h"

#include "network/lock.h"
#include "steps/load.h"

static int remove_lock(const Image *image, bool *ret_was, struct error *err)
{
	char name[LOCK_NAME];
	int removed;

	network_lock_name(image->id.data, image->id.len, name);
	removed = network_lock_remove(name, NULL, err);
	*ret_was = removed > 0;
	return removed < 0 ? -1 : 0;
}

int unlock(int input, bool *ret_was, struct error *err)
{
	struct restore r = { .only_look = true, .service = { -1, -1 } };
	Image *image = NULL;
	int failed;

	*ret_was = false;
	failed = stream_reader_open(&r.in, input, 1, err) || load_header(&r, &image, err) ||
		 remove_lock(image, ret_was, err);
	stream_reader_free(r.in);
	if (image)
		image__free_unpacked(image, NULL);
	return failed ? -1 : 0;
}
