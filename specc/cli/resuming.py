"""Which model `specc train` trains, and which run it goes on with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from specc.cli.options import spec_or_default
from specc.runtime.launched import launched_rank

if TYPE_CHECKING:
    from specc.api.model import Model


def model_and_run(
    spec: Path | None, sets: Sequence[str], runs: Path, resume: str | None
) -> tuple[Model, Path | None]:
    """The model and the run's folder, `None` for a new run.

    A run that is named brings its own spec, unless another one is named as well. Of several
    processes the first one looks for the run, which the others need not have on their disk.
    """
    from specc.api.model import load
    from specc.api.run_list import newest_unfinished, read_run

    looks = launched_rank() == 0
    if resume and Path(resume).is_file() and spec is None:
        # `--resume spec.json`: the option takes what was meant as the argument.
        spec, resume = Path(resume), ""
    if resume is None:
        return load(spec_or_default(spec), sets), None
    if resume:
        folder = Path(read_run(Path(resume)).folder) if looks else Path(resume)
        return load(spec or folder / "spec.resolved.json", sets), folder
    model = load(spec_or_default(spec), sets)
    return model, newest_unfinished(runs, model.name) if looks else runs
