/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc/auxv.h"

#include <elf.h>
#include <errno.h>

int proc_parse_auxv(const void *data, size_t size, struct proc_auxv *ret, struct error *err)
{
	_cleanup_proc_auxv_ struct proc_auxv auxv = { 0 };
	size_t count = size / sizeof(struct auxv_entry);
	const char *at = data;

	*ret = (struct proc_auxv){ 0 };
	for (size_t i = 0; i < count; i++) {
		struct auxv_entry *entry = array_add(&auxv.entries);

		if (!entry)
			return error_set(err, ERROR_FAILED, ENOMEM, "auxv");
		memcpy(entry, at + i * sizeof(*entry), sizeof(*entry));
		if (entry->type > UINT32_MAX)
			return error_set(err, ERROR_FAILED, 0,
					 "auxv entry %zu is not of a 64-bit program", i);
		if (entry->type == AT_NULL)
			break;
	}
	if (size && (!auxv.entries.count ||
		     auxv.entries.items[auxv.entries.count - 1].type != AT_NULL))
		return error_set(err, ERROR_FAILED, 0, "auxv has no end within %zu bytes", size);
	*ret = auxv;
	auxv = (struct proc_auxv){ 0 };
	return 0;
}

int proc_read_auxv(int pid_dir, struct proc_auxv *ret, struct error *err)
{
	_cleanup_buffer_ struct buffer buf = { 0 };

	*ret = (struct proc_auxv){ 0 };
	if (proc_read_text(pid_dir, "auxv", &buf, err))
		return -1;
	return proc_parse_auxv(buf.data, buf.size, ret, err) ? proc_blame(pid_dir, err) : 0;
}

bool proc_auxv_find(const struct proc_auxv *auxv, uint64_t type, uint64_t *ret)
{
	const struct auxv_entry *entry;

	array_for(entry, &auxv->entries) {
		if (entry->type == type) {
			*ret = entry->value;
			return true;
		}
	}
	return false;
}

void proc_auxv_release(struct proc_auxv *auxv)
{
	array_release(&auxv->entries);
}
