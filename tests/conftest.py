"""One thread a process: results then depend on nothing but the code, and workers don't compete."""

import os

# Before torch is imported, and inherited by the processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"
