/* SPDX-License-Identifier: GPL-2.0-or-later */
/* AMX tiles survive a tracer that dies in the middle of a batch, with data or only configured. */
#include "call_case.h"

#include <cpuid.h>

enum { REQUEST_STATE_PERMISSION = 0x1023, TILE_DATA = 18, ROWS = 8, ROW_SIZE = 64 };

/* Loads or only configures a tile, sleeps, and looks; 0 when all is as before. */
static long sleep_with_tiles(bool with_data)
{
	static uint8_t config[64] __attribute__((aligned(64))), config_after[64];
	static uint8_t data[ROWS * ROW_SIZE], data_after[ROWS * ROW_SIZE];
	long result = SYS_nanosleep, load = with_data;

	if (syscall(SYS_arch_prctl, REQUEST_STATE_PERMISSION, TILE_DATA))
		return -1;
	config[0] = 1;
	config[16] = ROW_SIZE;
	config[48] = ROWS;
	for (size_t i = 0; with_data && i < sizeof(data); i++)
		data[i] = i * 7 + 1;
	__asm__ volatile("ldtilecfg %[config]\n"
			 "mov $64, %%ecx\n"
			 "test %[load], %[load]\n"
			 "jz 1f\n"
			 "tileloadd (%[data],%%rcx,1), %%tmm0\n"
			 "1: syscall\n"
			 "mov $64, %%ecx\n"
			 "tilestored %%tmm0, (%[after],%%rcx,1)\n"
			 "sttilecfg %[config_after]\n"
			 "tilerelease\n"
			 : "+a"(result), [config_after] "=m"(config_after)
			 : [config] "m"(config), [load] "r"(load), [data] "r"(data),
			   [after] "r"(data_after), "D"(&timeout), "S"(0)
			 : "rcx", "r11", "memory", "cc");
	if (memcmp(config, config_after, sizeof(config)) || memcmp(data, data_after, sizeof(data)))
		errno = EILSEQ;
	else if (result)
		errno = -result;
	else
		return 0;
	return -1;
}

static long sleep_with_data(void)
{
	return sleep_with_tiles(true);
}

static long sleep_with_config(void)
{
	return sleep_with_tiles(false);
}

static bool have_tiles(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && d >> 24 & 1;
}

static void survive(const struct call *call)
{
	struct told *told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct child c;
	pid_t tracer;

	if (!have_tiles())
		skip();
	assert_ptr_not_equal(told, MAP_FAILED);
	start(&c, call, told);
	usleep(BEFORE_MS * 1000);
	tracer = fork();
	if (!tracer)
		die_with(&c, 0);
	assert_int_equal(waitpid(tracer, NULL, 0), tracer);
	finish(&c);
	if (told->error)
		fail_msg("%s: %s", call->name, strerror(told->error));
	munmap(told, sizeof(*told));
}

static void data_survives(void **state)
{
	survive(&(struct call){ .name = "tile data", .run = sleep_with_data });
}

static void config_survives(void **state)
{
	survive(&(struct call){ .name = "tile configuration", .run = sleep_with_config });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_survives),
		cmocka_unit_test(config_survives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
