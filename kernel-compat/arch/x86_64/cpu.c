/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel-compat/arch/cpu.h"

#include <cpuid.h>
#include <stdio.h>
#include <string.h>

#include "kernel-compat/features.h"

/* Order of arch_cpu.words. */
enum word {
	LEAF_1_EDX, LEAF_1_ECX, LEAF_7_EBX, LEAF_7_ECX, LEAF_7_EDX, LEAF_7_1_EAX, LEAF_7_1_EDX,
	LEAF_EXTENDED_EDX, LEAF_EXTENDED_ECX, LEAF_XSAVE_EAX,
};

enum {
	CPUID_XSAVE = 0xd,
	CPUID_EXTENDED = 0x80000001,
	OSXSAVE = 27,
	XSTATE_XCR0 = 464,	/* where the kernel writes it into the area */
	XSTATE_PRESENT = 512,	/* XSTATE_BV */
	FIRST_EXTENDED = 2,
};

/* Instructions that programs look for in CPUID. What only the kernel or hypervisors use, and what
 * only tells how fast something is, is not here. */
static const struct feature_bit {
	uint8_t word, bit;
	const char *name;
} feature_bits[] = {
	{ LEAF_1_EDX, 0, "fpu" },
	{ LEAF_1_EDX, 4, "tsc" },
	{ LEAF_1_EDX, 8, "cx8" },
	{ LEAF_1_EDX, 15, "cmov" },
	{ LEAF_1_EDX, 23, "mmx" },
	{ LEAF_1_EDX, 24, "fxsr" },
	{ LEAF_1_EDX, 25, "sse" },
	{ LEAF_1_EDX, 26, "sse2" },
	{ LEAF_1_ECX, 0, "sse3" },
	{ LEAF_1_ECX, 1, "pclmulqdq" },
	{ LEAF_1_ECX, 9, "ssse3" },
	{ LEAF_1_ECX, 12, "fma" },
	{ LEAF_1_ECX, 13, "cx16" },
	{ LEAF_1_ECX, 19, "sse4_1" },
	{ LEAF_1_ECX, 20, "sse4_2" },
	{ LEAF_1_ECX, 22, "movbe" },
	{ LEAF_1_ECX, 23, "popcnt" },
	{ LEAF_1_ECX, 25, "aes" },
	{ LEAF_1_ECX, OSXSAVE, "xsave" },
	{ LEAF_1_ECX, 28, "avx" },
	{ LEAF_1_ECX, 29, "f16c" },
	{ LEAF_1_ECX, 30, "rdrand" },
	{ LEAF_7_EBX, 0, "fsgsbase" },
	{ LEAF_7_EBX, 3, "bmi1" },
	{ LEAF_7_EBX, 5, "avx2" },
	{ LEAF_7_EBX, 8, "bmi2" },
	{ LEAF_7_EBX, 11, "rtm" },
	{ LEAF_7_EBX, 16, "avx512f" },
	{ LEAF_7_EBX, 17, "avx512dq" },
	{ LEAF_7_EBX, 18, "rdseed" },
	{ LEAF_7_EBX, 19, "adx" },
	{ LEAF_7_EBX, 21, "avx512ifma" },
	{ LEAF_7_EBX, 23, "clflushopt" },
	{ LEAF_7_EBX, 24, "clwb" },
	{ LEAF_7_EBX, 26, "avx512pf" },
	{ LEAF_7_EBX, 27, "avx512er" },
	{ LEAF_7_EBX, 28, "avx512cd" },
	{ LEAF_7_EBX, 29, "sha" },
	{ LEAF_7_EBX, 30, "avx512bw" },
	{ LEAF_7_EBX, 31, "avx512vl" },
	{ LEAF_7_ECX, 1, "avx512_vbmi" },
	{ LEAF_7_ECX, 4, "ospke" },
	{ LEAF_7_ECX, 5, "waitpkg" },
	{ LEAF_7_ECX, 6, "avx512_vbmi2" },
	{ LEAF_7_ECX, 8, "gfni" },
	{ LEAF_7_ECX, 9, "vaes" },
	{ LEAF_7_ECX, 10, "vpclmulqdq" },
	{ LEAF_7_ECX, 11, "avx512_vnni" },
	{ LEAF_7_ECX, 12, "avx512_bitalg" },
	{ LEAF_7_ECX, 14, "avx512_vpopcntdq" },
	{ LEAF_7_ECX, 22, "rdpid" },
	{ LEAF_7_ECX, 27, "movdiri" },
	{ LEAF_7_ECX, 28, "movdir64b" },
	{ LEAF_7_EDX, 2, "avx512_4vnniw" },
	{ LEAF_7_EDX, 3, "avx512_4fmaps" },
	{ LEAF_7_EDX, 5, "uintr" },
	{ LEAF_7_EDX, 8, "avx512_vp2intersect" },
	{ LEAF_7_EDX, 14, "serialize" },
	{ LEAF_7_EDX, 16, "tsxldtrk" },
	{ LEAF_7_EDX, 22, "amx_bf16" },
	{ LEAF_7_EDX, 23, "avx512_fp16" },
	{ LEAF_7_EDX, 24, "amx_tile" },
	{ LEAF_7_EDX, 25, "amx_int8" },
	{ LEAF_7_1_EAX, 0, "sha512" },
	{ LEAF_7_1_EAX, 1, "sm3" },
	{ LEAF_7_1_EAX, 2, "sm4" },
	{ LEAF_7_1_EAX, 3, "raoint" },
	{ LEAF_7_1_EAX, 4, "avx_vnni" },
	{ LEAF_7_1_EAX, 5, "avx512_bf16" },
	{ LEAF_7_1_EAX, 7, "cmpccxadd" },
	{ LEAF_7_1_EAX, 21, "amx_fp16" },
	{ LEAF_7_1_EAX, 23, "avx_ifma" },
	{ LEAF_7_1_EDX, 4, "avx_vnni_int8" },
	{ LEAF_7_1_EDX, 5, "avx_ne_convert" },
	{ LEAF_7_1_EDX, 8, "amx_complex" },
	{ LEAF_7_1_EDX, 10, "avx_vnni_int16" },
	{ LEAF_7_1_EDX, 19, "avx10" },
	{ LEAF_7_1_EDX, 21, "apx_f" },
	{ LEAF_EXTENDED_EDX, 11, "syscall" },
	{ LEAF_EXTENDED_EDX, 22, "mmxext" },
	{ LEAF_EXTENDED_EDX, 27, "rdtscp" },
	{ LEAF_EXTENDED_EDX, 30, "3dnowext" },
	{ LEAF_EXTENDED_EDX, 31, "3dnow" },
	{ LEAF_EXTENDED_ECX, 0, "lahf_lm" },
	{ LEAF_EXTENDED_ECX, 5, "lzcnt" },
	{ LEAF_EXTENDED_ECX, 6, "sse4a" },
	{ LEAF_EXTENDED_ECX, 7, "misalignsse" },
	{ LEAF_EXTENDED_ECX, 8, "3dnowprefetch" },
	{ LEAF_EXTENDED_ECX, 11, "xop" },
	{ LEAF_EXTENDED_ECX, 16, "fma4" },
	{ LEAF_EXTENDED_ECX, 21, "tbm" },
	{ LEAF_EXTENDED_ECX, 29, "mwaitx" },
	{ LEAF_XSAVE_EAX, 0, "xsaveopt" },
	{ LEAF_XSAVE_EAX, 1, "xsavec" },
	{ LEAF_XSAVE_EAX, 2, "xgetbv1" },
};

static const char *const component_names[] = {
	"x87", "sse", "avx", "mpx bounds", "mpx config", "avx512 masks", "avx512 upper halves",
	"avx512 high registers", "pt", "pkru", "pasid", "cet user", "cet kernel", "hdc", "uintr", "lbr",
	"hwp", "amx tile config", "amx tile data", "apx registers",
};

enum {
	FEATURE_BITS = sizeof(feature_bits) / sizeof(feature_bits[0]),
	COMPONENT_NAMES = sizeof(component_names) / sizeof(component_names[0]),
	NAME_SIZE = 32,
};

static void read_words(struct arch_cpu *cpu)
{
	uint32_t a, b, c, d, *w = cpu->words;

	if (__get_cpuid(1, &a, &b, &c, &d)) {
		w[LEAF_1_EDX] = d;
		w[LEAF_1_ECX] = c;
	}
	if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
		uint32_t subleaves = a;

		w[LEAF_7_EBX] = b;
		w[LEAF_7_ECX] = c;
		w[LEAF_7_EDX] = d;
		if (subleaves && __get_cpuid_count(7, 1, &a, &b, &c, &d)) {
			w[LEAF_7_1_EAX] = a;
			w[LEAF_7_1_EDX] = d;
		}
	}
	if (__get_cpuid(CPUID_EXTENDED, &a, &b, &c, &d)) {
		w[LEAF_EXTENDED_EDX] = d;
		w[LEAF_EXTENDED_ECX] = c;
	}
}

/* Keeps the bits that have a name and are not to be hidden (features.h). */
static void keep_known(struct arch_cpu *cpu)
{
	uint32_t known[ARCH_CPU_WORDS] = { 0 };
	int i;

	for (i = 0; i < FEATURE_BITS; i++)
		known[feature_bits[i].word] |= 1u << feature_bits[i].bit;
	for (i = 0; i < FEATURE_BITS; i++) {
		char name[NAME_SIZE];

		snprintf(name, sizeof(name), "cpu-%s", feature_bits[i].name);
		if (feature_hidden(name))
			known[feature_bits[i].word] &= ~(1u << feature_bits[i].bit);
	}
	for (i = 0; i < ARCH_CPU_WORDS; i++)
		cpu->words[i] &= known[i];
}

static void read_layout(struct arch_cpu *cpu)
{
	uint32_t a, b, c, d;
	int i;

	__cpuid_count(CPUID_XSAVE, 0, a, b, c, d);
	cpu->state_size = b;
	__asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
	cpu->components = (uint64_t)d << 32 | a;
	__cpuid_count(CPUID_XSAVE, 1, a, b, c, d);
	cpu->words[LEAF_XSAVE_EAX] = a;
	for (i = FIRST_EXTENDED; i < ARCH_CPU_COMPONENTS; i++) {
		if (!(cpu->components >> i & 1))
			continue;
		__cpuid_count(CPUID_XSAVE, i, a, b, c, d);
		cpu->layout[i].size = a;
		cpu->layout[i].offset = b;
	}
}

void arch_cpu_read(struct arch_cpu *ret)
{
	memset(ret, 0, sizeof(*ret));
	read_words(ret);
	if (ret->words[LEAF_1_ECX] >> OSXSAVE & 1)
		read_layout(ret);
	keep_known(ret);
}

static int add_name(char *names, size_t size, int count, const char *name)
{
	size_t length = strlen(names);

	snprintf(names + length, size - length, "%s%s", count ? ", " : "", name);
	return count + 1;
}

int arch_cpu_missing(const struct arch_cpu *wanted, const struct arch_cpu *here, char *names,
		     size_t size)
{
	uint64_t components = wanted->components & ~here->components;
	int i, count = 0;

	names[0] = 0;
	for (i = 0; i < FEATURE_BITS; i++) {
		const struct feature_bit *f = &feature_bits[i];

		if (wanted->words[f->word] & ~here->words[f->word] & 1u << f->bit)
			count = add_name(names, size, count, f->name);
	}
	for (i = 0; i < ARCH_CPU_COMPONENTS; i++) {
		char text[32];

		if (!(components >> i & 1))
			continue;
		snprintf(text, sizeof(text), "state of %s",
			 i < COMPONENT_NAMES ? component_names[i] : "an unknown component");
		count = add_name(names, size, count, text);
	}
	return count;
}

bool arch_xstate_on_demand(const void *state, size_t size)
{
	uint64_t present = 0;

	if (size >= ARCH_XSTATE_FIXED)
		memcpy(&present, (const char *)state + XSTATE_PRESENT, sizeof(present));
	return present & ARCH_XSTATE_ON_DEMAND;
}

int arch_xstate_convert(const struct arch_cpu *from, const void *state, size_t size,
			const struct arch_cpu *to, void *ret)
{
	char *area = ret;
	uint64_t present;
	int i;

	if (size < ARCH_XSTATE_FIXED || to->state_size < ARCH_XSTATE_FIXED)
		return -1;
	memcpy(&present, (const char *)state + XSTATE_PRESENT, sizeof(present));
	if (present & ~to->components)
		return -1;
	memset(area, 0, to->state_size);
	memcpy(area, state, XSTATE_XCR0);
	memcpy(area + XSTATE_XCR0, &to->components, sizeof(to->components));
	memcpy(area + XSTATE_PRESENT, &present, sizeof(present));
	for (i = FIRST_EXTENDED; i < ARCH_CPU_COMPONENTS; i++) {
		uint32_t bytes = to->layout[i].size, offset = from->layout[i].offset;

		if (!(present >> i & 1))
			continue;
		if (from->layout[i].size != bytes || offset > size || bytes > size - offset ||
		    to->layout[i].offset > to->state_size ||
		    bytes > to->state_size - to->layout[i].offset)
			return -1;
		memcpy(area + to->layout[i].offset, (const char *)state + offset, bytes);
	}
	return 0;
}
