#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Descriptors are saved and restored where the kernel tells less of them.
. "$(dirname "$0")/../lib.sh"

export CRIU_LITE_WITHOUT=fdinfo-eventfd-semaphore
ok "eventfd without $CRIU_LITE_WITHOUT" "$ROOT/tests/kinds.t" --build "$BUILD" eventfd
done_testing
