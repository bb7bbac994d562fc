"""Whether this process is one of several that a launcher such as torchrun has started."""

from __future__ import annotations

import os

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher puts into the environment of each process."""

LAUNCHER = "SPECC_LAUNCHER"
"""Is set if that launcher is `specc train --devices`."""


def is_launched() -> bool:
    """Whether a launcher started this process as one of several."""
    return all(name in os.environ for name in VARIABLES)


def launched_rank() -> int:
    """Which of the processes this is, from 0 on; 0 as well if it is alone."""
    return int(os.environ["RANK"]) if is_launched() else 0
