/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc/maps.h"

#include <errno.h>
#include <sys/mman.h>

static const struct {
	const char *name;
	enum vma_kind kind;
} bracket_names[] = {
	{ "[heap]", VMA_HEAP },
	{ "[stack]", VMA_STACK },
	{ "[vdso]", VMA_VDSO },
	{ "[vvar]", VMA_VVAR },
	{ "[vvar_vclock]", VMA_VVAR_VCLOCK },
	{ "[vsyscall]", VMA_VSYSCALL },
	{ "[uprobes]", VMA_UPROBES },
};

static const struct {
	char letters[3];
	uint64_t flag;
} flag_names[] = {
	{ "rd", VMA_RD }, { "wr", VMA_WR }, { "ex", VMA_EX }, { "sh", VMA_SH }, { "mr", VMA_MR },
	{ "mw", VMA_MW }, { "me", VMA_ME }, { "ms", VMA_MS }, { "gd", VMA_GD }, { "pf", VMA_PF },
	{ "dw", VMA_DW }, { "lo", VMA_LO }, { "io", VMA_IO }, { "sr", VMA_SR }, { "rr", VMA_RR },
	{ "dc", VMA_DC }, { "de", VMA_DE }, { "lf", VMA_LF }, { "ac", VMA_AC }, { "nr", VMA_NR },
	{ "ht", VMA_HT }, { "sf", VMA_SF }, { "nl", VMA_NL }, { "ar", VMA_AR }, { "wf", VMA_WF },
	{ "dd", VMA_DD }, { "sd", VMA_SD }, { "mm", VMA_MM }, { "hg", VMA_HG }, { "nh", VMA_NH },
	{ "mg", VMA_MG }, { "um", VMA_UM }, { "uw", VMA_UW }, { "ui", VMA_UI }, { "ss", VMA_SS },
	{ "sl", VMA_SL }, { "dp", VMA_DP }, { "mt", VMA_MT }, { "bt", VMA_BT }, { "mp", VMA_MP },
	{ "gu", VMA_GU },
};

static bool scan_permission(struct scan *s, char letter, bool *set)
{
	*set = scan_char(s, letter);
	return *set || scan_char(s, '-');
}

static bool scan_permissions(struct scan *s, struct vma *vma)
{
	bool read, write, exec;

	if (!scan_permission(s, 'r', &read) || !scan_permission(s, 'w', &write) ||
	    !scan_permission(s, 'x', &exec))
		return false;
	vma->prot = (read ? PROT_READ : 0) | (write ? PROT_WRITE : 0) | (exec ? PROT_EXEC : 0);
	vma->shared = scan_char(s, 's');
	return vma->shared || scan_char(s, 'p');
}

/* "start-end perms offset major:minor inode" */
static bool scan_columns(struct scan *s, struct vma *vma)
{
	return scan_hex64(s, &vma->start) && scan_char(s, '-') && scan_hex64(s, &vma->end) &&
	       scan_char(s, ' ') && scan_permissions(s, vma) && scan_char(s, ' ') &&
	       scan_hex64(s, &vma->offset) && scan_char(s, ' ') &&
	       scan_hex32(s, &vma->dev_major) && scan_char(s, ':') &&
	       scan_hex32(s, &vma->dev_minor) && scan_char(s, ' ') && scan_u64(s, &vma->inode);
}

/* Takes the brackets and the prefix off "[prefix:NAME]". */
static bool scan_named(struct scan *s, const char *prefix)
{
	struct scan name = *s;

	if (!scan_text(&name, prefix) || scan_at_end(&name) || name.end[-1] != ']')
		return false;
	name.end--;
	*s = name;
	return true;
}

static enum vma_kind scan_kind(struct scan *name)
{
	if (*name->at != '[' || name->end[-1] != ']')
		return VMA_FILE;
	for (size_t i = 0; i < ARRAY_SIZE(bracket_names); i++)
		if (scan_is(name, bracket_names[i].name))
			return bracket_names[i].kind;
	if (scan_named(name, "[anon:"))
		return VMA_ANON_NAMED;
	if (scan_named(name, "[anon_shmem:"))
		return VMA_ANON_SHMEM;
	return VMA_SPECIAL;
}

static bool take_name(struct vma_list *list, struct vma *vma, struct scan name)
{
	static const char deleted[] = " (deleted)";
	const size_t suffix = sizeof(deleted) - 1;
	char *path;
	size_t size;

	vma->path = "";
	if (scan_at_end(&name))
		return true;
	vma->kind = scan_kind(&name);
	if (vma->kind == VMA_FILE && scan_left(&name) > suffix &&
	    memcmp(name.end - suffix, deleted, suffix) == 0) {
		vma->deleted = true;
		name.end -= suffix;
	}
	size = scan_left(&name);
	/* Text segments of one file follow each other: share its name. */
	if (vma > list->vmas.items && !vma[-1].unescaped && strlen(vma[-1].path) == size &&
	    memcmp(vma[-1].path, name.at, size) == 0) {
		vma->path = vma[-1].path;
		return true;
	}
	path = string_arena_add(&list->names, name.at, size);
	if (!path)
		return false;
	vma->path = path;
	path[proc_unescape_octal(path, size, '\n')] = '\0';
	vma->unescaped = strlen(path) != size;
	return true;
}

static int parse_area(struct proc_text *t, struct scan *line, struct vma_list *list,
		      struct error *err)
{
	struct vma *vma = array_add(&list->vmas);

	if (!vma)
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", t->file);
	if (!scan_columns(line, vma))
		return proc_text_error(t, "not an area", err);
	if (vma->start >= vma->end || (vma->start | vma->end) & 0xfff)
		return proc_text_error(t, "impossible addresses", err);
	if (vma > list->vmas.items && vma[-1].end > vma->start)
		return proc_text_error(t, "areas out of order", err);
	if (!scan_blanks(line) && !scan_at_end(line))
		return proc_text_error(t, "not an area", err);
	if (!take_name(list, vma, *line))
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", t->file);
	return 0;
}

/* A flag without a name of ours. Old kernels have none for MLOCK_ONFAULT, and show "??" in its place:
 * flags come in the order of their bits. */
static uint64_t unnamed_flag(const struct scan *word, uint64_t before)
{
	return scan_is(word, "??") && before & VMA_LO && before < VMA_AC ? VMA_LF : VMA_OTHER_FLAG;
}

static bool scan_flags(struct scan *s, uint64_t *flags)
{
	struct scan word;

	*flags = 0;
	for (; scan_word(s, &word); scan_blanks(s)) {
		size_t i = 0;

		while (i < ARRAY_SIZE(flag_names) && !scan_is(&word, flag_names[i].letters))
			i++;
		*flags |= i < ARRAY_SIZE(flag_names) ? flag_names[i].flag :
						       unnamed_flag(&word, *flags);
	}
	return scan_at_end(s);
}

/* Where a counter in kB goes; NULL for one that nobody asks for. */
static uint64_t *counter_member(struct vma *vma, const struct scan *key)
{
	if (scan_is(key, "KernelPageSize"))
		return &vma->page_size;
	if (scan_is(key, "Rss"))
		return &vma->rss;
	if (scan_is(key, "AnonHugePages"))
		return &vma->anon_huge;
	if (scan_is(key, "Swap"))
		return &vma->swap;
	if (scan_is(key, "Locked"))
		return &vma->locked;
	return NULL;
}

/* One "Key: value" line below an area. */
static bool scan_counter(struct scan *s, struct vma *vma)
{
	uint64_t *counter;
	struct scan key;

	if (!scan_until(s, ':', &key))
		return false;
	scan_blanks(s);
	if (scan_is(&key, "VmFlags"))
		return scan_flags(s, &vma->flags);
	if (scan_is(&key, "ProtectionKey"))
		return scan_int(s, &vma->pkey) && scan_at_end(s);
	counter = counter_member(vma, &key);
	return !counter || (scan_kb(s, counter) && scan_at_end(s));
}

static int parse_list(const char *file, const char *text, size_t size, struct vma_list *ret,
		      bool smaps, struct error *err)
{
	_cleanup_vma_list_ struct vma_list list = { .has_smaps = smaps };
	struct proc_text t;
	struct scan line;

	*ret = (struct vma_list){ 0 };
	if (proc_text_open(&t, file, text, size, err))
		return -1;
	while (proc_text_next(&t, &line)) {
		/* Counters start with a capital, addresses with a small hexadecimal digit. */
		if (smaps && !scan_at_end(&line) && *line.at >= 'A' && *line.at <= 'Z') {
			if (!list.vmas.count)
				return proc_text_error(&t, "counter without an area", err);
			if (!scan_counter(&line, &list.vmas.items[list.vmas.count - 1]))
				return proc_text_error(&t, "bad counter", err);
		} else if (parse_area(&t, &line, &list, err)) {
			return -1;
		}
	}
	*ret = list;
	list = (struct vma_list){ 0 };
	return 0;
}

int proc_parse_maps(const char *text, size_t size, struct vma_list *ret, struct error *err)
{
	return parse_list("maps", text, size, ret, false, err);
}

int proc_parse_smaps(const char *text, size_t size, struct vma_list *ret, struct error *err)
{
	return parse_list("smaps", text, size, ret, true, err);
}

static int read_list(int pid_dir, const char *file, struct vma_list *ret, bool smaps,
		     struct error *err)
{
	_cleanup_buffer_ struct buffer buf = { 0 };

	*ret = (struct vma_list){ 0 };
	if (proc_read_text(pid_dir, file, &buf, err))
		return -1;
	return parse_list(file, buf.data, buf.size, ret, smaps, err) ? proc_blame(pid_dir, err) : 0;
}

int proc_read_maps(int pid_dir, struct vma_list *ret, struct error *err)
{
	return read_list(pid_dir, "maps", ret, false, err);
}

int proc_read_smaps(int pid_dir, struct vma_list *ret, struct error *err)
{
	return read_list(pid_dir, "smaps", ret, true, err);
}

struct vma *vma_list_find(const struct vma_list *list, uint64_t address)
{
	size_t low = 0, high = list->vmas.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		struct vma *vma = &list->vmas.items[middle];

		if (address >= vma->end)
			low = middle + 1;
		else if (address < vma->start)
			high = middle;
		else
			return vma;
	}
	return NULL;
}

void vma_list_release(struct vma_list *list)
{
	array_release(&list->vmas);
	string_arena_release(&list->names);
}
