/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every message of every kind can be shown as a line and as JSON, and the line has no control
 * characters. The first byte chooses the kind. */
#include "proc_fuzz.h"

#include <ctype.h>

#include "images/describe.h"
#include "images/json.h"
#include "kinds/kind.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const without[] = { "common", NULL };
	struct buffer text = { 0 };
	ProtobufCMessage *m;
	json_t *json;

	if (!size)
		return 0;
	m = protobuf_c_message_unpack(kinds_table[data[0] % kinds_count()]->message, NULL, size - 1,
				      data + 1);
	if (!m)
		return 0;
	must(!message_describe(m, without, &text));
	for (size_t i = 0; i < text.size; i++)
		must(!iscntrl((unsigned char)text.data[i]));
	json = json_from_message(m);
	must(json != NULL);
	json_decref(json);
	buffer_release(&text);
	protobuf_c_message_free_unpacked(m, NULL);
	return 0;
}
