/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a processor lacks is named, and extended state moves between layouts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "steps/cpu.h"
#include "tracee/tracee.h"

enum { PRESENT = 512, XCR0 = 464 };

static void this_one_lacks_nothing(void **state)
{
	_cleanup_error_ struct error err = { 0 };
	struct restore r = { 0 };
	Cpu *m = cpu_describe();

	assert_non_null(m);
	assert_int_equal(cpu_check(&r, m, &err), 0);
	assert_memory_equal(&r.cpu, &r.saved_cpu, sizeof(r.cpu));
	/* Every processor of this architecture: fpu, sse2; a 64-bit kernel saves them. */
	assert_true(r.cpu.words[0] & 1 && r.cpu.words[0] >> 26 & 1);
	assert_int_equal(r.cpu.components & 3, 3);
	cpu__free_unpacked(m, NULL);
}

static void what_is_missing_is_named(void **state)
{
	_cleanup_error_ struct error err = { 0 };
	struct restore r = { 0 };
	Cpu *m = cpu_describe();

	/* One that is extinct and one that nobody has yet. */
	m->features[7] |= 1u << 31;
	m->components |= 1ull << 62;
	assert_int_equal(cpu_check(&r, m, &err), -1);
	assert_int_equal(err.kind, ERROR_BLOCKED);
	assert_non_null(strstr(err.message, "3dnow, state of an unknown component"));
	cpu__free_unpacked(m, NULL);
}

static void forged_descriptions_are_refused(void **state)
{
	_cleanup_error_ struct error err = { 0 };
	struct restore r = { 0 };
	Cpu *m = cpu_describe();

	assert_int_equal(cpu_check(&r, NULL, &err), -1);
	error_clear(&err);
	m->n_features--;
	assert_int_equal(cpu_check(&r, m, &err), -1);
	assert_int_equal(err.kind, ERROR_IMAGE);
	error_clear(&err);
	m->n_features++;
	if (m->n_layout) {
		m->layout[0]->number = ARCH_CPU_COMPONENTS;
		assert_int_equal(cpu_check(&r, m, &err), -1);
		assert_int_equal(err.kind, ERROR_IMAGE);
	}
	cpu__free_unpacked(m, NULL);
}

/* The extended state of a process that has made some. */
static void make_state(struct tracee *t)
{
	_cleanup_error_ struct error err = { 0 };
	pid_t pid = fork();

	if (!pid) {
		if (__builtin_cpu_supports("avx"))
			__asm__ volatile("vpcmpeqd %%xmm7, %%xmm7, %%xmm7\n"
					 "vinsertf128 $1, %%xmm7, %%ymm7, %%ymm7" ::
						 : "xmm7");
		for (;;)
			__asm__ volatile("pause");
	}
	usleep(20000);
	if (tracee_seize(t, pid, pid, 0, &err) || tracee_interrupt(t, &err) ||
	    tracee_wait_stopped(t, 20000, &err) || tracee_save(t, &err))
		fail_msg("%s", err.message);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, __WALL);
}

/* Every component where no processor has it. */
static void shuffle(const struct arch_cpu *from, struct arch_cpu *to)
{
	uint32_t at = ARCH_XSTATE_FIXED + 64;
	int i;

	*to = *from;
	for (i = ARCH_CPU_COMPONENTS; i-- > 0;) {
		to->layout[i].offset = at;
		at += to->layout[i].size;
	}
	to->state_size = at;
}

static void state_moves_between_layouts(void **state)
{
	static char moved[ARCH_XSTATE_MAX], back[ARCH_XSTATE_MAX];
	struct arch_cpu here, there;
	struct tracee t = { 0 };

	make_state(&t);
	arch_cpu_read(&here);
	assert_int_equal(here.state_size, t.xstate_size);
	assert_int_equal(arch_xstate_convert(&here, t.xstate, t.xstate_size, &here, back), 0);
	assert_memory_equal(back, t.xstate, t.xstate_size);

	shuffle(&here, &there);
	assert_true(there.state_size <= sizeof(moved));
	assert_int_equal(arch_xstate_convert(&here, t.xstate, t.xstate_size, &there, moved), 0);
	if (__builtin_cpu_supports("avx"))
		assert_memory_equal(moved + there.layout[2].offset + 7 * 16,
				    "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
				    16);
	assert_int_equal(arch_xstate_convert(&there, moved, there.state_size, &here, back), 0);
	assert_memory_equal(back, t.xstate, t.xstate_size);
	tracee_release(&t);
}

static void state_that_does_not_fit_is_refused(void **state)
{
	static char area[ARCH_XSTATE_MAX], ret[ARCH_XSTATE_MAX];
	const uint64_t avx = 1 << 2;
	struct arch_cpu from = { .components = 7, .state_size = 832 }, to;

	from.layout[2].offset = 576;
	from.layout[2].size = 256;
	to = from;
	memcpy(area + PRESENT, &avx, sizeof(avx));
	assert_int_equal(arch_xstate_convert(&from, area, 832, &to, ret), 0);
	assert_int_equal(arch_xstate_convert(&from, area, 831, &to, ret), -1);
	assert_int_equal(arch_xstate_convert(&from, area, 575, &to, ret), -1);
	from.layout[2].offset = 0xffffffff;
	assert_int_equal(arch_xstate_convert(&from, area, 832, &to, ret), -1);
	from.layout[2] = to.layout[2];
	to.layout[2].size = 128;
	assert_int_equal(arch_xstate_convert(&from, area, 832, &to, ret), -1);
	to.layout[2].size = 256;
	to.components = 3;
	assert_int_equal(arch_xstate_convert(&from, area, 832, &to, ret), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(this_one_lacks_nothing),
		cmocka_unit_test(what_is_missing_is_named),
		cmocka_unit_test(forged_descriptions_are_refused),
		cmocka_unit_test(state_moves_between_layouts),
		cmocka_unit_test(state_that_does_not_fit_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
