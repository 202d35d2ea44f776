/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_BASE_ARRAY_H
#define CL_BASE_ARRAY_H

#include <stddef.h>
#include <stdlib.h>

/*
 * A growing array inside any struct: three members declared by ARRAY_OF(type), e.g.
 *
 *     struct maps { ARRAY_OF(struct vma) vmas; };
 *     struct vma *v = array_add(&maps->vmas);      // zeroed new element, NULL without memory
 *     array_for(v, &maps->vmas) …
 *     array_release(&maps->vmas);
 *
 * Elements move when the array grows: keep indices, not pointers, across array_add().
 */
#define ARRAY_OF(type)                 \
	struct {                       \
		type *items;           \
		size_t count, capacity; \
	}

/* Grows *items when count has reached *capacity; returns the zeroed new last element or NULL. */
void *array_add_sized(void *items_p, size_t *count, size_t *capacity, size_t item_size);

#define array_add(array)                                                                     \
	((__typeof__((array)->items))array_add_sized(&(array)->items, &(array)->count,       \
						     &(array)->capacity, sizeof(*(array)->items)))
/* An empty array has no memory, and an offset to NULL, even 0, is undefined. */
#define array_for(item, array)                                                           \
	for ((item) = (array)->items; (item) && (item) < (array)->items + (array)->count; \
	     (item)++)
#define array_release(array)                              \
	do {                                              \
		free((array)->items);                     \
		(array)->items = NULL;                    \
		(array)->count = (array)->capacity = 0;   \
	} while (0)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
