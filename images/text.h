/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_IMAGES_TEXT_H
#define CL_IMAGES_TEXT_H

#include <stdio.h>

#include <protobuf-c/protobuf-c.h>

/*
 * Any message on one line for a person, by its descriptor: " name=value" for each field that is set
 * and not its default, messages in braces, lists in brackets. Bytes that are text are printed as
 * text, others as their number. `skip` fields at the beginning are left out.
 */
void text_print_message(FILE *out, const ProtobufCMessage *message, unsigned int skip);

#endif
