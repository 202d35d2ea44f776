/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whatever a Maps message says, the areas made of it are in order and possible. */
#include "proc_fuzz.h"

#include "kinds/maps.h"

enum { OBJECTS = 3, PAGE = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Maps *m = maps__unpack(NULL, size, data);
	struct error err = ERROR_INIT;
	struct map_areas areas = { 0 };
	const struct map_area *a;
	uint64_t end = PAGE;

	if (!m)
		return 0;
	if (accepted(maps_areas(m, OBJECTS, &areas, &err), &err)) {
		must(areas.areas.count <= m->n_vmas);
		array_for(a, &areas.areas) {
			must(a->start >= end && a->end > a->start && a->end <= arch_task_size());
			must(a->start % PAGE == 0 && a->end % PAGE == 0 && a->offset % PAGE == 0);
			must(a->object <= OBJECTS && !(a->flags & ~(uint32_t)AREA_FLAGS_KNOWN));
			must(a->object || !(a->flags & AREA_SHARED));
			end = a->end;
		}
	}
	map_areas_release(&areas);
	maps__free_unpacked(m, NULL);
	return 0;
}
