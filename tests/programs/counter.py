# SPDX-License-Identifier: GPL-2.0-or-later
"""counter.py LOG: a long job. Line n of its log says n, and a hash over all numbers up to there."""

import hashlib
import sys
import time

total = hashlib.sha256()
number = 0
with open(sys.argv[1], "w") as log:
    while True:
        number += 1
        total.update(b"%d\n" % number)
        log.write(f"{number} {total.hexdigest()}\n")
        log.flush()
        time.sleep(0.001)
