# SPDX-License-Identifier: GPL-2.0-or-later
"""The first process of a world (worlds.py): collects whoever is left to it, until it is killed."""

import os
import signal

signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
print("up", flush=True)
while True:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    signal.sigwait([signal.SIGCHLD])
