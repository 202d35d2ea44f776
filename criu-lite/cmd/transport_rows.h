/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_CMD_TRANSPORT_ROWS_H
#define CL_CMD_TRANSPORT_ROWS_H

#include "migrate/transport.h"

/* Options of a connection, the same on both sides. */
struct transport_arguments {
	const char *via, *certificate, *key, *ca, *name, *psk_file;
	int timeout_s;
};
#define TRANSPORT_ARGUMENTS_INIT { .timeout_s = 10 }

#define TRANSPORT_ROWS(a)                                                                      \
	{ "tls-cert", OPTION_TEXT, "FILE", "our certificate (PEM): TLS 1.3, both sides known",  \
	  &(a)->certificate, 0, 0 },                                                            \
	{ "tls-key", OPTION_TEXT, "FILE", "its private key", &(a)->key, 0, 0 },                  \
	{ "tls-ca", OPTION_TEXT, "FILE", "who must have signed the other side's certificate",   \
	  &(a)->ca, 0, 0 },                                                                     \
	{ "tls-name", OPTION_TEXT, "NAME", "the name that certificate must have", &(a)->name, 0, \
	  0 },                                                                                  \
	{ "psk-file", OPTION_TEXT, "FILE",                                                      \
	  "instead: a key that both sides have, in hexadecimal digits", &(a)->psk_file, 0, 0 }, \
	{ "timeout", OPTION_NUMBER, "SECONDS",                                                  \
	  "until a connection that does not answer is given up (10)", &(a)->timeout_s, 1, 3600 }

static inline void transport_arguments_take(const struct transport_arguments *a,
					    struct transport_options *ret)
{
	*ret = (struct transport_options){
		.via = a->via,
		.tls_certificate = a->certificate,
		.tls_key = a->key,
		.tls_ca = a->ca,
		.tls_name = a->name,
		.psk_file = a->psk_file,
		.timeout_s = a->timeout_s,
	};
}

#endif
