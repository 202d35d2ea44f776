/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/report.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>

enum { NS_PER_US = 1000 };

static void print_times(const struct step_time *times, size_t count)
{
	uint64_t total = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		fprintf(stderr, "  %-12s %9.3f ms\n", times[i].name,
			(double)times[i].ns / NS_PER_US / 1000);
		total += times[i].ns;
	}
	fprintf(stderr, "  %-12s %9.3f ms\n", "total", (double)total / NS_PER_US / 1000);
}

void report_checkpoint(const struct checkpoint_report *report)
{
	fprintf(stderr, "%zu processes, %zu threads\n", report->processes, report->threads);
	print_times(report->times, report->steps);
	fprintf(stderr, "  %-12s %9.3f ms\n", "frozen", (double)report->frozen_ns / NS_PER_US / 1000);
	fprintf(stderr, "  %-12s %9" PRIu64 " bytes of state, %" PRIu64 " written\n", "image",
		report->bytes_in, report->bytes_out);
}

void report_restore(const struct restore_report *report)
{
	fprintf(stderr, "%zu processes, %zu threads, root %d\n", report->processes, report->threads,
		report->root_pid);
	print_times(report->times, report->steps);
}

int default_jobs(void)
{
	cpu_set_t allowed;

	return sched_getaffinity(0, sizeof(allowed), &allowed) ? 1 : CPU_COUNT(&allowed);
}
