/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc/sysvipc.h"

#include <errno.h>

/* A table is columns of numbers below one line of headings. */
struct column {
	uint16_t offset;
	uint8_t type;
};
enum column_type { COLUMN_INT, COLUMN_U32, COLUMN_OCTAL, COLUMN_U64, COLUMN_I64 };

struct table {
	const char *file, *first_heading;
	size_t row_size;
	const struct column *columns;
	size_t column_count;
};

#define COLUMN(kind, member, type) { offsetof(struct sysvipc_##kind, member), COLUMN_##type }
#define PERM_COLUMNS(kind)                                                       \
	COLUMN(kind, perm.key, INT), COLUMN(kind, perm.id, INT), COLUMN(kind, perm.mode, OCTAL)
#define OWNER_COLUMNS(kind)                                                      \
	COLUMN(kind, perm.uid, U32), COLUMN(kind, perm.gid, U32),                \
	COLUMN(kind, perm.cuid, U32), COLUMN(kind, perm.cgid, U32)

static const struct column shm_columns[] = {
	PERM_COLUMNS(shm),	   COLUMN(shm, size, U64),   COLUMN(shm, cpid, INT),
	COLUMN(shm, lpid, INT),	   COLUMN(shm, attached, U64), OWNER_COLUMNS(shm),
	COLUMN(shm, atime, I64),   COLUMN(shm, dtime, I64),  COLUMN(shm, ctime, I64),
	COLUMN(shm, rss, U64),	   COLUMN(shm, swap, U64),
};
static const struct column sem_columns[] = {
	PERM_COLUMNS(sem),	 COLUMN(sem, count, U32), OWNER_COLUMNS(sem),
	COLUMN(sem, otime, I64), COLUMN(sem, ctime, I64),
};
static const struct column msg_columns[] = {
	PERM_COLUMNS(msg),	 COLUMN(msg, bytes, U64), COLUMN(msg, count, U64),
	COLUMN(msg, lspid, INT), COLUMN(msg, lrpid, INT), OWNER_COLUMNS(msg),
	COLUMN(msg, stime, I64), COLUMN(msg, rtime, I64), COLUMN(msg, ctime, I64),
};

#define TABLE(kind)                                                               \
	{ "sysvipc/" #kind, "key", sizeof(struct sysvipc_##kind), kind##_columns, \
	  ARRAY_SIZE(kind##_columns) }
static const struct table shm_table = TABLE(shm), sem_table = TABLE(sem), msg_table = TABLE(msg);

static bool scan_column(struct scan *s, const struct column *column, void *row)
{
	void *at = (char *)row + column->offset;

	switch ((enum column_type)column->type) {
	case COLUMN_INT:
		return scan_int(s, at);
	case COLUMN_U32:
		return scan_u32(s, at);
	case COLUMN_OCTAL:
		return scan_octal32(s, at);
	case COLUMN_U64:
		return scan_u64(s, at);
	case COLUMN_I64:
		return scan_i64(s, at);
	}
	return false;
}

/* Further columns of a newer kernel are passed over. */
static bool scan_row(struct scan *s, const struct table *table, void *row)
{
	scan_blanks(s);
	for (size_t i = 0; i < table->column_count; i++)
		if ((i && !scan_blanks(s)) || !scan_column(s, &table->columns[i], row))
			return false;
	return scan_at_end(s) || scan_blanks(s);
}

/* The three arrays differ in their type alone: ARRAY_OF begins with the same three members. */
struct rows {
	void *items;
	size_t count, capacity;
};

static int parse_rows(const struct table *table, const char *text, size_t size, struct rows *rows,
		      struct error *err)
{
	struct proc_text t;
	struct scan line;

	if (proc_text_open(&t, table->file, text, size, err))
		return -1;
	if (!proc_text_next(&t, &line))
		return error_set(err, ERROR_FAILED, 0, "%s is empty", table->file);
	scan_blanks(&line);
	if (!scan_text(&line, table->first_heading))
		return proc_text_error(&t, "no headings", err);
	while (proc_text_next(&t, &line)) {
		void *row = array_add_sized(&rows->items, &rows->count, &rows->capacity,
					    table->row_size);

		if (!row)
			return error_set(err, ERROR_FAILED, ENOMEM, "%s", table->file);
		if (!scan_row(&line, table, row))
			return proc_text_error(&t, "bad row", err);
	}
	return 0;
}

static int parse_table(const struct table *table, const char *text, size_t size, struct rows *ret,
		       struct error *err)
{
	struct rows rows = { 0 };

	if (parse_rows(table, text, size, &rows, err)) {
		free(rows.items);
		return -1;
	}
	*ret = rows;
	return 0;
}

static int read_table(int proc_dir, const struct table *table, struct rows *ret,
		      struct error *err)
{
	_cleanup_buffer_ struct buffer buf = { 0 };

	if (proc_read_text(proc_dir, table->file, &buf, err))
		return -1;
	return parse_table(table, buf.data, buf.size, ret, err) ? proc_blame(proc_dir, err) : 0;
}

#define TAKE_ROWS(ret, rows)                        \
	do {                                        \
		(ret)->items.items = (rows).items;  \
		(ret)->items.count = (rows).count;  \
		(ret)->items.capacity = (rows).capacity; \
	} while (0)

int proc_parse_shm(const char *text, size_t size, struct sysvipc_shms *ret, struct error *err)
{
	struct rows rows = { 0 };
	int failed = parse_table(&shm_table, text, size, &rows, err);

	TAKE_ROWS(ret, rows);
	return failed;
}

int proc_read_shm(int proc_dir, struct sysvipc_shms *ret, struct error *err)
{
	struct rows rows = { 0 };
	int failed = read_table(proc_dir, &shm_table, &rows, err);

	TAKE_ROWS(ret, rows);
	return failed;
}

int proc_parse_sem(const char *text, size_t size, struct sysvipc_sems *ret, struct error *err)
{
	struct rows rows = { 0 };
	int failed = parse_table(&sem_table, text, size, &rows, err);

	TAKE_ROWS(ret, rows);
	return failed;
}

int proc_read_sem(int proc_dir, struct sysvipc_sems *ret, struct error *err)
{
	struct rows rows = { 0 };
	int failed = read_table(proc_dir, &sem_table, &rows, err);

	TAKE_ROWS(ret, rows);
	return failed;
}

int proc_parse_msg(const char *text, size_t size, struct sysvipc_msgs *ret, struct error *err)
{
	struct rows rows = { 0 };
	int failed = parse_table(&msg_table, text, size, &rows, err);

	TAKE_ROWS(ret, rows);
	return failed;
}

int proc_read_msg(int proc_dir, struct sysvipc_msgs *ret, struct error *err)
{
	struct rows rows = { 0 };
	int failed = read_table(proc_dir, &msg_table, &rows, err);

	TAKE_ROWS(ret, rows);
	return failed;
}
