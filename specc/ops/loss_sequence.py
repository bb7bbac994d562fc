"""Losses of sequences without alignment."""

from __future__ import annotations

from specc.ops.loss import Unlowered, needs_floating
from specc.ops.op import Code, DType, OpError, TensorType, TorchWriter, example, op, param
from specc.ops.shapes import require_rank


@op("CTCLoss")
class CTCLoss(Unlowered):
    """Connectionist temporal classification: labels that are not aligned with the frames.

    Shape: `log_probs` `(T, N, C)`, int64 `targets` `(N, S)` or all of them in one row,
    `input_lengths` and `target_lengths` `(N)`; the result is `()`, or `(N)` with `reduction`
    `none`. Without a batch axis: `(T, C)`, `(S)`, `()`, `()`.
    """

    blank: int = param(default=0, ge=0, doc="the class that stands for no label")
    zero_infinity: bool = param(
        default=False, doc="zero where a target is too long for its frames, not infinity"
    )

    no_onnx = "it is a recursion over frames and labels"
    function = "ctc_loss"

    def infer(
        self, log_probs: TensorType, targets: TensorType, input_lengths: TensorType,
        target_lengths: TensorType,
    ) -> TensorType:  # fmt: skip
        needs_floating(self.name, log_probs, "log_probs")
        require_rank(log_probs, 3, 2, name=self.name)
        rows = log_probs.with_shape(*log_probs.shape[1:-1])
        require_rank(targets, *((2, 1) if rows.rank else (1,)), name=self.name)
        integers = {
            "targets": targets, "input_lengths": input_lengths, "target_lengths": target_lengths,
        }  # fmt: skip
        for name, kind in integers.items():
            if kind.dtype not in (DType.int64, DType.int32):
                raise OpError("T404", f"`{name}` of `CTCLoss` are integers, got {kind}", input=name)
            if name != "targets" and kind.shape != rows.shape:
                raise OpError(
                    "T401", f"`{name}` {kind} must have one value per sequence of {log_probs}",
                    input=name,
                )  # fmt: skip
        self._check_targets(log_probs, targets)
        return self.reduced(rows)

    def _check_targets(self, log_probs: TensorType, targets: TensorType) -> None:
        if targets.rank == 2 and targets.shape[0] != log_probs.shape[1]:
            raise OpError(
                "T401", f"`targets` {targets} must have one row per sequence of {log_probs}",
                input="targets",
            )  # fmt: skip
        classes = log_probs.shape[-1]
        if isinstance(classes, int) and self.blank >= classes:
            raise OpError("T402", f"there is no class {self.blank} among {classes}", param="blank")

    def torch(
        self, py: TorchWriter, log_probs: Code, targets: Code, input_lengths: Code,
        target_lengths: Code,
    ) -> str:  # fmt: skip
        return self.source(py, log_probs, targets, input_lengths, target_lengths)

    examples = (
        example("T N 6", "1<=int64<6: N S", "2<=int64<3: N", "1<=int64<3: N"),
        example(
            "T N 6", "0<=int64<5: N S", "2<=int64<3: N", "1<=int64<3: N", blank=5,
            reduction="none", zero_infinity=True,
        ),
        example("T 6", "1<=int64<6: 2", "2<=int64<3:", "2<=int64<3:", reduction="sum"),
    )  # fmt: skip
