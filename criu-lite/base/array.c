/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/array.h"

#include <string.h>

void *array_add_sized(void *items_p, size_t *count, size_t *capacity, size_t item_size)
{
	char **items = items_p;

	if (*count == *capacity) {
		size_t wanted = *capacity ? *capacity * 2 : 8;
		char *moved = reallocarray(*items, wanted, item_size);

		if (!moved)
			return NULL;
		*items = moved;
		*capacity = wanted;
	}
	return memset(*items + item_size * (*count)++, 0, item_size);
}
