/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/cpu.h"

#include <stdlib.h>

/* More than all names together. */
enum { NAMES_SIZE = 4096 };

static StateComponent *describe_component(const struct arch_cpu *cpu, int number)
{
	StateComponent *m = malloc(sizeof(*m));

	if (!m)
		return NULL;
	state_component__init(m);
	m->number = number;
	m->offset = cpu->layout[number].offset;
	m->size = cpu->layout[number].size;
	return m;
}

static bool fill(Cpu *m, const struct arch_cpu *cpu)
{
	int i;

	m->components = cpu->components;
	m->state_size = cpu->state_size;
	m->features = calloc(ARCH_CPU_WORDS, sizeof(*m->features));
	m->layout = calloc(ARCH_CPU_COMPONENTS, sizeof(*m->layout));
	if (!m->features || !m->layout)
		return false;
	for (i = 0; i < ARCH_CPU_WORDS; i++)
		m->features[m->n_features++] = cpu->words[i];
	for (i = 0; i < ARCH_CPU_COMPONENTS; i++) {
		if (!cpu->layout[i].size)
			continue;
		m->layout[m->n_layout] = describe_component(cpu, i);
		if (!m->layout[m->n_layout])
			return false;
		m->n_layout++;
	}
	return true;
}

Cpu *cpu_describe(void)
{
	Cpu *m = malloc(sizeof(*m));
	struct arch_cpu cpu;

	if (!m)
		return NULL;
	cpu__init(m);
	arch_cpu_read(&cpu);
	if (fill(m, &cpu))
		return m;
	cpu__free_unpacked(m, NULL);
	return NULL;
}

static int read_saved(const Cpu *m, struct arch_cpu *ret, struct error *err)
{
	size_t i;

	*ret = (struct arch_cpu){ .components = m->components, .state_size = m->state_size };
	if (m->n_features != ARCH_CPU_WORDS)
		return error_set(err, ERROR_IMAGE, 0, "%zu words of processor features",
				 m->n_features);
	for (i = 0; i < ARCH_CPU_WORDS; i++)
		ret->words[i] = m->features[i];
	for (i = 0; i < m->n_layout; i++) {
		const StateComponent *c = m->layout[i];

		if (c->number >= ARCH_CPU_COMPONENTS || c->offset > ARCH_XSTATE_MAX ||
		    c->size > ARCH_XSTATE_MAX)
			return error_set(err, ERROR_IMAGE, 0,
					 "extended state %u of %u bytes at offset %u", c->number,
					 c->size, c->offset);
		ret->layout[c->number].offset = c->offset;
		ret->layout[c->number].size = c->size;
	}
	return 0;
}

int cpu_check(struct restore *r, const Cpu *saved, struct error *err)
{
	char names[NAMES_SIZE];

	arch_cpu_read(&r->cpu);
	if (!saved)
		return error_set(err, ERROR_IMAGE, 0, "the image does not tell its processor");
	if (read_saved(saved, &r->saved_cpu, err))
		return -1;
	if (!arch_cpu_missing(&r->saved_cpu, &r->cpu, names, sizeof(names)))
		return 0;
	error_set(err, ERROR_BLOCKED, 0, "this processor lacks what programs of the image may use: %s",
		  names);
	return error_hint(err, "restore it on a processor with these features");
}
