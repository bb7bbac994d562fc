"""Whether this process is one of several that a launcher such as torchrun has started."""

from __future__ import annotations

import os

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher puts into the environment of each process."""


def is_launched() -> bool:
    """Whether a launcher started this process as one of several."""
    return all(name in os.environ for name in VARIABLES)
