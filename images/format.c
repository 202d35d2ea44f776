/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "images/format.h"

#include <elf.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/array.h"

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#elif defined(__riscv)
#define MACHINE EM_RISCV
#else
#error "images/format.c: name the ELF machine number of this architecture"
#endif

static const struct {
	uint16_t machine;
	const char *name;
} machines[] = {
	{ EM_X86_64, "x86_64" },
	{ EM_AARCH64, "aarch64" },
	{ EM_RISCV, "riscv" },
};

static const char *machine_name(uint16_t machine)
{
	for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
		if (machines[i].machine == machine)
			return machines[i].name;
	return "unknown";
}

/* libxxhash has this on x86 only and not in every build: it picks the widest vectors there are. */
XXH64_hash_t XXH3_64bits_dispatch(const void *data, size_t size) __attribute__((weak));

uint64_t format_hash(const void *data, size_t size)
{
	return XXH3_64bits_dispatch ? XXH3_64bits_dispatch(data, size) : XXH3_64bits(data, size);
}

uint64_t preamble_encode(uint8_t out[PREAMBLE_SIZE])
{
	uint64_t check;

	memset(out, 0, PREAMBLE_SIZE);
	memcpy(out, PREAMBLE_MAGIC, MAGIC_SIZE);
	put32(out + 8, FORMAT_VERSION);
	put32(out + 12, sysconf(_SC_PAGESIZE));
	put16(out + 16, MACHINE);
	check = format_hash(out, PREAMBLE_SIZE - 8);
	put64(out + PREAMBLE_SIZE - 8, check);
	return check;
}

int preamble_decode(const uint8_t in[PREAMBLE_SIZE], struct stream_info *ret, uint64_t *ret_check,
		    struct error *err)
{
	uint32_t page_size = sysconf(_SC_PAGESIZE);

	if (memcmp(in, PREAMBLE_MAGIC, MAGIC_SIZE))
		return error_set(err, ERROR_IMAGE, 0, "this is not a criu-lite image");
	*ret_check = get64(in + PREAMBLE_SIZE - 8);
	if (*ret_check != format_hash(in, PREAMBLE_SIZE - 8))
		return error_set(err, ERROR_IMAGE, 0, "image: the preamble is damaged");
	*ret = (struct stream_info){
		.version = get32(in + 8),
		.page_size = get32(in + 12),
		.machine = get16(in + 16),
		.architecture = machine_name(get16(in + 16)),
	};
	if (ret->version != FORMAT_VERSION)
		return error_set(err, ERROR_IMAGE, 0,
				 "image: format version %" PRIu32 "; this program reads version %u",
				 ret->version, FORMAT_VERSION);
	if (ret->machine != MACHINE)
		return error_set(err, ERROR_IMAGE, 0,
				 "image: made on architecture %s (ELF machine %u); this is %s",
				 ret->architecture, ret->machine, machine_name(MACHINE));
	if (ret->page_size != page_size)
		return error_set(err, ERROR_IMAGE, 0,
				 "image: made with pages of %" PRIu32
				 " bytes; here they have %" PRIu32,
				 ret->page_size, page_size);
	if (get16(in + 18) || get32(in + 20))
		return error_set(err, ERROR_IMAGE, 0,
				 "image: reserved bytes of the preamble are set");
	return 0;
}

uint64_t header_encode(uint8_t out[HEADER_SIZE], const struct record *record)
{
	uint64_t check;

	put64(out + 8, record->checksum);
	put32(out + 16, record->number);
	put16(out + 20, record->kind);
	out[22] = record->codec;
	out[23] = record->flags;
	put32(out + 24, record->stored_size);
	put32(out + 28, record->size);
	check = format_hash(out + 8, HEADER_SIZE - 8);
	put64(out, check);
	return check;
}

int header_decode(const uint8_t in[HEADER_SIZE], uint64_t offset, uint32_t number,
		  struct record *ret, uint64_t *ret_check, struct error *err)
{
	struct record record = {
		.checksum = get64(in + 8),
		.number = get32(in + 16),
		.kind = get16(in + 20),
		.codec = in[22],
		.flags = in[23],
		.stored_size = get32(in + 24),
		.size = get32(in + 28),
		.offset = offset + HEADER_SIZE,
	};

	*ret_check = get64(in);
	if (*ret_check != format_hash(in + 8, HEADER_SIZE - 8))
		return record_error(err, number, offset, "the header is damaged");
	if (record.number != number)
		return record_error(err, number, offset,
				    "it has number %" PRIu32
				    ": records are missing or out of order",
				    record.number);
	if (record.kind == 0)
		return record_error(err, number, offset, "kind 0 is not allowed");
	if (record.codec != CODEC_RAW && record.codec != CODEC_ZSTD)
		return record_error(err, number, offset, "unknown codec %u", record.codec);
	if (record.flags & ~RECORD_FLAGS_KNOWN)
		return record_error(err, number, offset, "unknown flags 0x%x", record.flags);
	if (record.stored_size > RECORD_PAYLOAD_MAX || record.size > RECORD_PAYLOAD_MAX)
		return record_error(err, number, offset,
				    "its length %" PRIu32 " (%" PRIu32
				    " unpacked) is above the limit of %u",
				    record.stored_size, record.size, RECORD_PAYLOAD_MAX);
	if (record.codec == CODEC_RAW && record.stored_size != record.size)
		return record_error(err, number, offset,
				    "its two lengths %" PRIu32 " and %" PRIu32
				    " contradict each other",
				    record.stored_size, record.size);
	*ret = record;
	return 0;
}

void seal_encode(uint8_t out[SEAL_SIZE], const struct seal *seal)
{
	put64(out, seal->count);
	put64(out + 8, seal->digest);
	put64(out + 16, seal->offset);
	put64(out + 24, seal->flags);
}

void seal_decode(const uint8_t in[SEAL_SIZE], struct seal *ret)
{
	ret->count = get64(in);
	ret->digest = get64(in + 8);
	ret->offset = get64(in + 16);
	ret->flags = get64(in + 24);
}

void run_encode(uint8_t out[RUN_SIZE], const struct run *run)
{
	put64(out, run->offset);
	put64(out + 8, run->length);
	put64(out + 16, run->size);
	put64(out + 24, run->digest);
	put32(out + 32, run->first);
	put32(out + 36, run->count);
	put16(out + 40, run->kind);
	out[42] = run->flags;
	memset(out + 43, 0, RUN_SIZE - 43);
}

void run_decode(const uint8_t in[RUN_SIZE], struct run *ret)
{
	ret->offset = get64(in);
	ret->length = get64(in + 8);
	ret->size = get64(in + 16);
	ret->digest = get64(in + 24);
	ret->first = get32(in + 32);
	ret->count = get32(in + 36);
	ret->kind = get16(in + 40);
	ret->flags = in[42];
}

void trailer_encode(uint8_t out[TRAILER_SIZE], const struct trailer *trailer)
{
	memcpy(out, TRAILER_MAGIC, MAGIC_SIZE);
	put64(out + 8, trailer->offset);
	put64(out + 16, trailer->runs);
	put64(out + 24, format_hash(out, TRAILER_SIZE - 8));
}

int trailer_decode(const uint8_t in[TRAILER_SIZE], struct trailer *ret)
{
	if (memcmp(in, TRAILER_MAGIC, MAGIC_SIZE) ||
	    get64(in + 24) != format_hash(in, TRAILER_SIZE - 8))
		return -1;
	ret->offset = get64(in + 8);
	ret->runs = get64(in + 16);
	return 0;
}
