"""L6xx: training."""

from specc.diagnostics.codes.code import Code

ENTRIES = (
    Code(
        "L601",
        "unknown loss",
        """
        There is no loss of this name. Losses are ops with PyTorch's names, such as
        `CrossEntropyLoss`, `BCEWithLogitsLoss` and `MSELoss`; `specc ops` lists them.
        """,
    ),
    Code(
        "L602",
        "unknown optimizer, scheduler or metric",
        """
        Optimizers are the classes of `torch.optim`, schedulers those of
        `torch.optim.lr_scheduler`, by name; metrics have torchmetrics' functional names.

            wrong: { "op": "adamw" }       right: { "op": "AdamW", "lr": 0.001 }
        """,
    ),
    Code(
        "L603",
        "bad argument for training",
        """
        The optimizer, scheduler, metric or loss takes no such argument, or refuses its value.
        Arguments have PyTorch's names and stand beside `op`.

            wrong: { "op": "SGD", "learning_rate": 0.1 }
            right: { "op": "SGD", "lr": 0.1 }
        """,
    ),
    Code(
        "L604",
        "loss is not a scalar",
        """
        Training needs one number to lower. A loss with `"reduction": "none"` gives one per row;
        take `mean` or `sum`, or end `layers` with a reduction.
        """,
    ),
    Code(
        "L605",
        "loss became NaN",
        """
        The loss is not a finite number any more, so training has stopped; the last good checkpoint
        is kept. Common causes: too high a learning rate, values in the data that were never
        scaled, a logarithm or division of zero. `clip_grad_norm` and a `Normalization` layer help.
        """,
    ),
    Code(
        "L606",
        "nothing to train on",
        """
        The spec has no `train` or no `data` section. Such a spec can be built, exported and
        verified, but not trained.
        """,
    ),
    Code(
        "L607",
        "no weights to train",
        """
        The model has no weights, or all of them are frozen, so the optimizer has nothing to do.
        """,
    ),
    Code(
        "L608",
        "checkpoint does not fit",
        """
        The weights of the checkpoint differ from the model in name or shape. It comes from
        another spec, or the spec has changed since. Each run keeps its own `spec.resolved.json`.
        """,
    ),
    Code(
        "L609",
        "loss or metric takes other values",
        """
        `from` reaches the model's outputs, its inputs and the data columns, and what it names
        here does not fit: a name that is not there, or a shape or dtype that the loss or metric
        does not take. `CrossEntropyLoss` takes logits `(batch, classes)` and integer labels.
        """,
    ),
    Code(
        "L610",
        "device or precision not available",
        """
        This machine cannot train as the spec asks: there is no such device, or it lacks the
        precision. `--set train.precision=float32` works everywhere.
        """,
    ),
    Code(
        "L611",
        "step failed",
        """
        A training step raised an error, such as batch normalization of a single row, or memory
        that ran out. The message gives the step and the cause; earlier checkpoints are kept.
        """,
    ),
    Code(
        "L612",
        "initial weights do not fit",
        """
        `init_from` names a safetensors file or a run whose weights differ from the model's in name
        or shape, or that can't be read. `strict` (the default) wants every weight of both sides;
        `matched` takes those of the same name and shape, and the rest keep their fresh start.

            "init_from": { "path": "runs/base/20260101-120000", "match": "matched" }
        """,
    ),
    Code(
        "L613",
        "another process ended",
        """
        Several processes train this model, and one of them is gone: it failed, which it says
        itself, or it was killed. None can go on alone. The last checkpoint is kept, and
        `specc train --resume` goes on from it, with the same number of devices or another.
        """,
    ),
    Code(
        "L614",
        "devices not available",
        """
        `--devices` asks for more devices than this machine has, or `--shard` for sharing the
        weights without a group of processes. On a CPU any number of processes can be asked for.

            specc train spec.json --devices 2
            torchrun --nproc-per-node=2 -m specc train spec.json
        """,
    ),
)
