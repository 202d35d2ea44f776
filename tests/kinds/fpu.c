/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All extended registers keep their values: x87, MXCSR, SSE, AVX, AVX-512, AMX, in every thread. */
#include <cpuid.h>
#include <linux/futex.h>
#include <pthread.h>

#include "testing.h"

#ifndef ARCH_REQ_XCOMP_PERM
#define ARCH_REQ_XCOMP_PERM 0x1023
#endif
#define XFEATURE_TILE_DATA 18

enum { LEVELS = 4, THREADS = 2 * LEVELS, AREA = 16384, AREA_HEADER = 512, FIRST_EXTENDED = 2 };
enum level { LEVEL_SSE, LEVEL_AVX, LEVEL_AVX512, LEVEL_AMX };

/* What one thread loads, and its registers as XSAVE stores them before and after the wait. */
struct thread {
	pthread_t thread;
	enum level level;
	bool spins;	/* waits in user mode, not in a system call */
	uint32_t mxcsr;
	uint16_t control;
	uint64_t masks[8];
	uint8_t values[32 * 64] __attribute__((aligned(64)));
	uint8_t tile_config[64] __attribute__((aligned(64)));
	uint8_t before[AREA] __attribute__((aligned(64)));
	uint8_t after[AREA] __attribute__((aligned(64)));
	int loaded;
};

static struct thread threads[THREADS];
static int futex_word;

/* Loads; XSAVE; waits; XSAVE again. One piece, so that nothing else touches a register.
 * rbx the values, rdi the futex word, r12 and r13 the save areas, r14 whether it spins, r15 tells
 * that the registers are loaded. */
#define LOAD_X87                                    \
	"fninit\n fldcw %[control]\n ldmxcsr %[mxcsr]\n" \
	"fld1\n fldpi\n fldl2e\n fldlg2\n fldln2\n fld1\n fchs\n"
#define WAIT                                                                     \
	"mov $-1, %%eax\n mov $-1, %%edx\n xsave64 (%%r12)\n"                    \
	"movl $1, (%%r15)\n"                                                     \
	"1: test %%r14, %%r14\n jnz 2f\n"                                        \
	"mov $202, %%eax\n mov $128, %%esi\n xor %%edx, %%edx\n xor %%r10d, %%r10d\n syscall\n" \
	"2: pause\n cmpl $0, (%%rdi)\n je 1b\n"                                  \
	"mov $-1, %%eax\n mov $-1, %%edx\n xsave64 (%%r13)\n"                    \
	"fninit\n ldmxcsr %[standard]\n cld\n"
#define EACH_16(op, reg, size)                                                                 \
	op " 0*" size "(%%rbx), %%" reg "0\n" op " 1*" size "(%%rbx), %%" reg "1\n"            \
	op " 2*" size "(%%rbx), %%" reg "2\n" op " 3*" size "(%%rbx), %%" reg "3\n"            \
	op " 4*" size "(%%rbx), %%" reg "4\n" op " 5*" size "(%%rbx), %%" reg "5\n"            \
	op " 6*" size "(%%rbx), %%" reg "6\n" op " 7*" size "(%%rbx), %%" reg "7\n"            \
	op " 8*" size "(%%rbx), %%" reg "8\n" op " 9*" size "(%%rbx), %%" reg "9\n"            \
	op " 10*" size "(%%rbx), %%" reg "10\n" op " 11*" size "(%%rbx), %%" reg "11\n"        \
	op " 12*" size "(%%rbx), %%" reg "12\n" op " 13*" size "(%%rbx), %%" reg "13\n"        \
	op " 14*" size "(%%rbx), %%" reg "14\n" op " 15*" size "(%%rbx), %%" reg "15\n"
#define ALSO_16(op)                                                                            \
	op " 16*64(%%rbx), %%zmm16\n" op " 17*64(%%rbx), %%zmm17\n" op " 18*64(%%rbx), %%zmm18\n" \
	op " 19*64(%%rbx), %%zmm19\n" op " 20*64(%%rbx), %%zmm20\n" op " 21*64(%%rbx), %%zmm21\n" \
	op " 22*64(%%rbx), %%zmm22\n" op " 23*64(%%rbx), %%zmm23\n" op " 24*64(%%rbx), %%zmm24\n" \
	op " 25*64(%%rbx), %%zmm25\n" op " 26*64(%%rbx), %%zmm26\n" op " 27*64(%%rbx), %%zmm27\n" \
	op " 28*64(%%rbx), %%zmm28\n" op " 29*64(%%rbx), %%zmm29\n" op " 30*64(%%rbx), %%zmm30\n" \
	op " 31*64(%%rbx), %%zmm31\n"
#define LOAD_MASKS                                                                                 \
	"kmovq 8(%%rdx), %%k1\n kmovq 16(%%rdx), %%k2\n kmovq 24(%%rdx), %%k3\n"                   \
	"kmovq 32(%%rdx), %%k4\n kmovq 40(%%rdx), %%k5\n kmovq 48(%%rdx), %%k6\n kmovq "           \
	"56(%%rdx), %%k7\n"
#define LOAD_TILES                                                                             \
	"ldtilecfg (%%rcx)\n mov $64, %%eax\n"                                                 \
	"tileloadd (%%rbx,%%rax,1), %%tmm0\n tileloadd 64(%%rbx,%%rax,1), %%tmm1\n"            \
	"tileloadd 128(%%rbx,%%rax,1), %%tmm2\n tileloadd 192(%%rbx,%%rax,1), %%tmm3\n"        \
	"tileloadd 256(%%rbx,%%rax,1), %%tmm4\n tileloadd 320(%%rbx,%%rax,1), %%tmm5\n"        \
	"tileloadd 384(%%rbx,%%rax,1), %%tmm6\n tileloadd 448(%%rbx,%%rax,1), %%tmm7\n"
#define RUN(t, load, end)                                                                          \
	do {                                                                                       \
		static const uint32_t standard = 0x1f80;                                           \
		register uint8_t *first __asm__("r12") = (t)->before;                              \
		register uint8_t *second __asm__("r13") = (t)->after;                              \
		register long spin __asm__("r14") = (t)->spins;                                    \
		register int *told __asm__("r15") = &(t)->loaded;                                  \
		uint64_t *masks = (t)->masks;                                                      \
		uint8_t *tiles = (t)->tile_config;                                                 \
                                                                                                   \
		__asm__ volatile(load WAIT end                                                     \
				 : "+d"(masks), "+c"(tiles)                                        \
				 : "b"((t)->values), "D"(&futex_word), "r"(first), "r"(second),    \
				   "r"(spin), "r"(told), [control] "m"((t)->control),              \
				   [mxcsr] "m"((t)->mxcsr), [standard] "m"(standard)               \
				 : "rax", "rsi", "r8", "r9", "r10", "r11", "memory", "cc",         \
				   REGISTERS);                                                     \
	} while (0)
#define REGISTERS                                                                              \
	"xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
		"xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

static void run_sse(struct thread *t)
{
	RUN(t, LOAD_X87 EACH_16("movdqu", "xmm", "64"), "");
}

__attribute__((target("avx"))) static void run_avx(struct thread *t)
{
	RUN(t, LOAD_X87 EACH_16("vmovdqu", "ymm", "64"), "vzeroupper\n");
}

__attribute__((target("avx512f,avx512bw"))) static void run_avx512(struct thread *t)
{
	RUN(t, LOAD_X87 EACH_16("vmovdqu64", "zmm", "64") ALSO_16("vmovdqu64") LOAD_MASKS,
	    "vzeroupper\n");
}

__attribute__((target("avx512f,avx512bw,amx-tile"))) static void run_amx(struct thread *t)
{
	RUN(t,
	    LOAD_X87 EACH_16("vmovdqu64", "zmm", "64") ALSO_16("vmovdqu64") LOAD_MASKS LOAD_TILES,
	    "vzeroupper\n tilerelease\n");
}

static void *thread_main(void *argument)
{
	struct thread *t = argument;

	switch (t->level) {
	case LEVEL_SSE:
		run_sse(t);
		break;
	case LEVEL_AVX:
		run_avx(t);
		break;
	case LEVEL_AVX512:
		run_avx512(t);
		break;
	case LEVEL_AMX:
		run_amx(t);
		break;
	}
	return NULL;
}

static enum level highest_level(void)
{
	unsigned int a, b, c, d;

	if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && d >> 24 & 1 &&
	    !syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_TILE_DATA))
		return LEVEL_AMX;
	if (__builtin_cpu_supports("avx512bw"))
		return LEVEL_AVX512;
	return __builtin_cpu_supports("avx") ? LEVEL_AVX : LEVEL_SSE;
}

static void start_thread(struct thread *t, int seed)
{
	for (size_t i = 0; i < sizeof(t->values); i++)
		t->values[i] = i * 7 + seed * 31 + (i >> 8);
	for (int i = 0; i < 8; i++)
		t->masks[i] = 0x0123456789abcdefull * (seed * 8 + i + 1);
	t->tile_config[0] = 1;	/* palette; each tile 8 rows of 64 bytes */
	for (int i = 0; i < 8; i++) {
		t->tile_config[16 + 2 * i] = 64;
		t->tile_config[48 + i] = 8;
	}
	t->mxcsr = 0x1f80 | (seed & 3) << 13 | (seed & 1) << 15; /* rounding, flush to zero */
	t->control = 0x37f & ~(seed & 1 ? 0x300 : 0x100);		/* precision */
	test_must(!pthread_create(&t->thread, NULL, thread_main, t));
	test_wait_until(__atomic_load_n(&t->loaded, __ATOMIC_SEQ_CST), "thread %d does not come up",
			seed);
}

static uint64_t components(const uint8_t *area)
{
	uint64_t bits;

	memcpy(&bits, area + AREA_HEADER, sizeof(bits));
	return bits;
}

static void compare(const struct thread *t, int number, const char *what, size_t offset,
		    size_t size)
{
	for (size_t i = offset; i < offset + size; i++)
		test_check(t->before[i] == t->after[i],
			   "thread %d (level %d, %s): %s, byte %zu is %#x, was %#x", number,
			   t->level, t->spins ? "spinning" : "waiting", what, i, t->after[i],
			   t->before[i]);
}

static void check(const struct thread *t, int number)
{
	uint64_t were = components(t->before), are = components(t->after);
	char name[32];

	test_check(were == are, "thread %d: XSTATE_BV %#lx, was %#lx", number, are, were);
	test_check(t->before[0] == (t->control & 0xff), "thread %d never loaded its registers",
		   number);
	compare(t, number, "x87 and SSE", 0, 512 - 96);
	for (int i = FIRST_EXTENDED; i < 63; i++) {
		unsigned int size, offset, c, d;

		if (!(were >> i & 1))
			continue;
		__cpuid_count(0xd, i, size, offset, c, d);
		snprintf(name, sizeof(name), "component %d", i);
		compare(t, number, name, offset, size);
	}
}

int main(int argc, char **argv)
{
	enum level highest = highest_level();
	unsigned int a, b, c, d;
	int count = 0;

	test_init(argc, argv);
	__cpuid_count(0xd, 0, a, b, c, d);
	test_check(b <= AREA, "XSAVE stores %u bytes", b);
	for (int level = 0; level <= (int)highest; level++)
		for (int spins = 0; spins < 2; spins++, count++) {
			threads[count].level = level;
			threads[count].spins = spins;
			start_thread(&threads[count], count);
		}

	test_checkpoint_here();

	__atomic_store_n(&futex_word, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &futex_word, FUTEX_WAKE_PRIVATE, THREADS, NULL, NULL, 0);
	for (int i = 0; i < count; i++) {
		pthread_join(threads[i].thread, NULL);
		check(&threads[i], i);
	}
	test_pass();
}
