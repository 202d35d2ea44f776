# SPDX-License-Identifier: GPL-2.0-or-later
# make, make check, make demo … ; V=1 shows the commands, CC and CFLAGS are yours.

ifeq ($(origin CC),default)
CC := gcc
endif
PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= build
OBJ := $(BUILD)/objects
PACKAGES := libprotobuf-c libzstd libbsd-overlay jansson libxxhash

CFLAGS ?= -O2 -g
WARNINGS := -Wall -Wextra -Werror -Wno-unused-parameter
package = $(shell pkg-config $(1) $(PACKAGES) 2>/dev/null)
override CFLAGS += -std=gnu11 $(WARNINGS) -fno-strict-aliasing -pthread
override CPPFLAGS += -D_GNU_SOURCE -Icriu-lite -I. -I$(BUILD) $(call package,--cflags) \
	$(shell pkg-config --cflags libnl-route-3.0 2>/dev/null)
override LDFLAGS += -Wl,--as-needed
# Few commands need these: out of an archive, the others do not pay for a shared library.
archive = $(if $(filter /%,$(shell $(CC) -print-file-name=lib$(1).a)),-l:lib$(1).a,-l$(1))
ARCHIVES := $(foreach name,ssl crypto nl-route-3 nl-3 net,$(call archive,$(name)))
override LDLIBS += $(ARCHIVES) $(call package,--libs) -pthread
SANITIZE := -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=undefined
Q := $(if $(V),,@)
say = @printf '  %-6s %s\n' $(1) $(2)
ARCH := $(shell uname -m)

PROTOS := $(wildcard images/*.proto)
PB_SOURCES := $(PROTOS:%.proto=$(BUILD)/%.pb-c.c)
SOURCES := $(wildcard criu-lite/*/*.c criu-lite/*/*/*.c images/*.c migrate/*.c)
SOURCES += $(wildcard kernel-compat/*.c kernel-compat/arch/$(ARCH)/*.c)
ASM := $(wildcard kernel-compat/arch/$(ARCH)/*.S)
LIB_OBJECTS := $(patsubst %,$(OBJ)/%.o,$(basename $(SOURCES) $(ASM)) $(PROTOS:.proto=.pb-c))
LIB := $(BUILD)/libcriu-lite.a
programs = $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard $(1:%=tests/%/*.c)))
UNIT_TESTS := $(call programs,unit)
FUZZERS := $(call programs,fuzz)
TEST_PROGRAMS := $(call programs,kinds programs faults bench)

.PHONY: all deps check soak demo bench lint asan fuzz install clean
.PHONY: test-programs unit-tests fuzzers asan-tests fuzz-tests
.SECONDARY:
.DELETE_ON_ERROR:

all: $(BUILD)/criu-lite

# deps may install packages, and pkg-config is asked when this file is read: hence a second make.
check soak demo bench lint asan fuzz: deps
	@$(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc)) run-$@

deps:
	$(Q)scripts/install-deps --stamp $(BUILD)/deps.stamp

run-check run-soak: all test-programs unit-tests asan-tests fuzz-tests
	$(Q)tests/run $(@:run-%=%)

run-demo run-bench: all test-programs
	$(Q)$(@:run-%=scripts/%)

run-lint: all
	$(Q)scripts/lint $(BUILD)

run-asan: asan-tests
	$(Q)tests/run asan

run-fuzz: fuzz-tests
	$(Q)tests/run fuzz

test-programs: $(TEST_PROGRAMS)
unit-tests: $(UNIT_TESTS)
fuzzers: $(FUZZERS)

# The same sources once more, under the sanitizers of gcc and under the fuzzer of clang.
asan-tests:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/asan \
		CFLAGS='$(SANITIZE) -fsanitize=address,undefined' all unit-tests

fuzz-tests:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzz CC=clang \
		CFLAGS='$(SANITIZE) -fsanitize=fuzzer-no-link,address,undefined' fuzzers

$(BUILD)/criu-lite: $(OBJ)/criu-lite/main.o $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(LIB): $(LIB_OBJECTS)
	$(Q)rm -f $@ && ar qcs $@ $^

$(BUILD)/%.pb-c.c $(BUILD)/%.pb-c.h: %.proto
	@mkdir -p $(@D)
	$(call say,PROTO,$<)
	$(Q)protoc-c --proto_path=. --c_out=$(BUILD) $<

$(OBJ)/%.pb-c.o: $(BUILD)/%.pb-c.c | $(PB_SOURCES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(OBJ)/%.o: %.c | $(PB_SOURCES)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(OBJ)/kernel-compat/syscall_names.o: $(BUILD)/kernel-compat/syscall_names.inc
$(BUILD)/kernel-compat/syscall_names.inc:
	@mkdir -p $(@D)
	$(Q)echo '#include <sys/syscall.h>' | $(CC) -E -dM - | \
		sed -n 's/^#define __NR_\([a-z0-9_]*\) .*/[__NR_\1] = "\1",/p' >$@

$(OBJ)/%.o: %.S
	@mkdir -p $(@D)
	$(call say,AS,$<)
	$(Q)$(CC) $(CPPFLAGS) -MMD -MP -c -o $@ $<

$(UNIT_TESTS): $(BUILD)/%: $(OBJ)/%.o $(LIB)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

$(FUZZERS): $(BUILD)/%: $(OBJ)/%.o $(LIB)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -fsanitize=fuzzer $(LDFLAGS) -o $@ $^ $(LDLIBS)

# A test program is one file; a line "/* build: -lfoo */" in it adds flags.
$(TEST_PROGRAMS): $(BUILD)/tests/%: tests/%.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) -D_GNU_SOURCE -Itests $(CFLAGS) -MMD -MP -MF $@.d -o $@ $< -lrt \
		$(shell sed -n 's,^/\* build: \(.*\) \*/$$,\1,p' $<)

install: all
	install -Dm755 $(BUILD)/criu-lite $(DESTDIR)$(PREFIX)/bin/criu-lite
	for page in $(wildcard docs/*.[1-8]); do install -Dm644 -t \
		$(DESTDIR)$(PREFIX)/share/man/man$${page##*.} $$page || exit; done

clean:
	rm -rf $(BUILD)

-include $(LIB_OBJECTS:.o=.d) $(OBJ)/criu-lite/main.d $(TEST_PROGRAMS:=.d)
-include $(patsubst $(BUILD)/%,$(OBJ)/%.d,$(UNIT_TESTS) $(FUZZERS))
