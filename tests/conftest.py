"""One thread a process: results then depend on nothing but the code, and workers don't compete."""

import os
import signal

# Before torch is imported, and inherited by the processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"
# A shell lets background jobs ignore Ctrl-C, which tests of Ctrl-C would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
