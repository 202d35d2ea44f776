/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_CMD_REPORT_H
#define CL_CMD_REPORT_H

#include "steps/checkpoint.h"
#include "steps/restore.h"

/* What --stats prints, on standard error: standard output may be the image. */
void report_checkpoint(const struct checkpoint_report *report);
void report_restore(const struct restore_report *report);
/* Processors that this process may use. */
int default_jobs(void);

#endif
