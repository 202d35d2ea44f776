/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc_fuzz.h"

#include "proc/maps.h"

static void check_list(struct vma_list *list, size_t size)
{
	struct vma *vma;

	array_for(vma, &list->vmas) {
		must(vma->start < vma->end && vma->path != NULL && strlen(vma->path) < size);
		must(vma == list->vmas.items || vma[-1].end <= vma->start);
		must(vma_list_find(list, vma->start) == vma);
		must(vma_list_find(list, vma->end - 1) == vma);
	}
	vma_list_release(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct vma_list maps, smaps;
	size_t areas;

	if (accepted(proc_parse_maps((const char *)data, size, &maps, &err), &err)) {
		areas = maps.vmas.count;
		check_list(&maps, size);
		/* smaps is maps with lines in between. */
		must(accepted(proc_parse_smaps((const char *)data, size, &smaps, &err), &err));
		must(smaps.vmas.count == areas);
		check_list(&smaps, size);
	} else if (accepted(proc_parse_smaps((const char *)data, size, &smaps, &err), &err)) {
		check_list(&smaps, size);
	}
	return 0;
}
