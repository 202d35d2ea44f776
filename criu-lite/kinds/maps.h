/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_MAPS_H
#define CL_KINDS_MAPS_H

#include "images/maps.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"
#include "memory/map_edit.h"

/* Between the Maps message, what /proc shows, and the areas that memory/ works on. */

extern const struct kind maps_kind;

/* What the kernel maps by itself: moved into place, not made. */
bool vma_is_special(const struct vma *vma);
/* The area of an ordinary vma; object is the id of what it maps, 0: nothing. */
struct map_area area_of_vma(const struct vma *vma, uint32_t object);
/* Writes the Maps message of a task. areas: those of its ordinary vmas, in the same order. */
int maps_write(struct dump_task *task, const struct map_areas *areas, uint32_t exe,
	       struct error *err);

/* The areas that a message asks for, the special ones left out, everything checked: order,
 * alignment, flags, ids. ERROR_IMAGE. */
int maps_areas(const Maps *m, uint32_t objects, struct map_areas *ret, struct error *err);

#endif
