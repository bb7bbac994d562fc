"""Where rounding may decide a discrete result: argmax, top-k, comparisons, rounding.

Such a result jumps where a score crosses another one. Both PyTorch runs are watched; an
element whose float64 margin is within what float32 may move the scores is undecided, and no
runtime is blamed for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from specc.parity.judge import Bounds, Mask

aten = torch.ops.aten


class Decision(NamedTuple):
    """A discrete result, the scores that decide it, and how far they are from deciding otherwise.

    `errors` says how many scores' errors the margin has to cover.
    """

    result: torch.Tensor
    scores: torch.Tensor
    margin: torch.Tensor
    errors: int


def _argmax(args: Any, kwargs: Any, result: Any) -> Decision:
    scores, dim = args[0], args[1] if len(args) > 1 else kwargs.get("dim")
    keepdim = args[2] if len(args) > 2 else kwargs.get("keepdim", False)
    result = result[1] if isinstance(result, tuple) else result
    flat = scores.reshape(-1) if dim is None else scores
    dim = 0 if dim is None else dim
    if flat.shape[dim] < 2:
        return Decision(result, scores, torch.full(result.shape, torch.inf), 2)
    return Decision(result, scores, _lead(flat, dim, keepdim, largest=True), 2)


def _argmin(args: Any, kwargs: Any, result: Any) -> Decision:
    made = _argmax((-args[0], *args[1:]), kwargs, result)
    return made._replace(scores=args[0])


def _lead(scores: torch.Tensor, dim: int, keepdim: bool, *, largest: bool) -> torch.Tensor:
    best = scores.topk(2, dim, largest=largest).values
    lead = best.select(dim, 0) - best.select(dim, 1)
    return lead.unsqueeze(dim) if keepdim else lead


def _order(args: Any, kwargs: Any, result: Any) -> Decision:
    """Sort and top-k: the gap to the neighbours in order."""
    indices = result[1] if isinstance(result, tuple) else result
    dim = kwargs.get("dim", args[2] if len(args) > 2 else args[1] if len(args) > 1 else -1)
    gaps = args[0].sort(dim).values.diff(dim=dim)
    edge = torch.full_like(args[0].narrow(dim, 0, 1), torch.inf)
    near = torch.minimum(torch.cat([edge, gaps], dim), torch.cat([gaps, edge], dim))
    ranks = args[0].argsort(dim).argsort(dim)
    return Decision(indices, args[0], near.gather(dim, ranks.gather(dim, indices)), 2)


def _topk(args: Any, kwargs: Any, result: Any) -> Decision:
    dim = args[2] if len(args) > 2 else kwargs.get("dim", -1)
    return _order((args[0], dim), {"dim": dim}, result)


def _argsort(args: Any, kwargs: Any, result: Any) -> Decision:
    dim = kwargs.get("dim", args[1] if len(args) > 1 else -1)
    return _order((args[0],), {"dim": dim}, result)


def _comparison(args: Any, _: Any, result: Any) -> Decision:
    gap = (args[0] - args[1]).broadcast_to(result.shape)
    return Decision(result, gap, gap.abs(), 1)


def _step(offset: float) -> Callable[[Any, Any, Any], Decision]:
    """A result that jumps where the score passes a whole number plus `offset`."""

    def decide(args: Any, _: Any, result: Any) -> Decision:
        shifted = args[0] - offset
        return Decision(result, args[0], (shifted - shifted.round()).abs(), 1)

    return decide


def _sign(args: Any, _: Any, result: Any) -> Decision:
    return Decision(result, args[0], args[0].abs(), 1)


WATCHED: dict[Any, Callable[[Any, Any, Any], Decision]] = {
    aten.argmax: _argmax, aten.argmin: _argmin, aten.max: _argmax, aten.min: _argmin,
    aten.topk: _topk, aten.sort: _argsort, aten.argsort: _argsort,
    aten.gt: _comparison, aten.ge: _comparison, aten.lt: _comparison, aten.le: _comparison,
    aten.round: _step(0.5), aten.floor: _step(0.0), aten.ceil: _step(0.0), aten.sign: _sign,
    aten.trunc: _step(0.0),
}  # fmt: skip
COPIES = {aten._to_copy, aten.clone, aten.logical_not, aten.bitwise_not}


class Decisions(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the decisions of a forward pass, in the order in which they are taken."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.taken: list[Decision] = []
        self._owner: dict[int, int] = {}
        self._kept: list[torch.Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if packet in WATCHED and args[0].is_floating_point() and _has_axes(packet, args):
            self._own(len(self.taken), WATCHED[packet](args, kwargs or {}, result))
        elif packet in COPIES and (index := self._owner.get(_address(args[0]))) is not None:
            self._remember(result, index)
        return result

    def _own(self, index: int, decision: Decision) -> None:
        self.taken.append(decision)
        self._remember(decision.result, index)

    def _remember(self, result: torch.Tensor, index: int) -> None:
        # Memory that is given back would be handed out again, under the same address.
        self._kept.append(result)
        self._owner[_address(result)] = index

    def behind(self, output: torch.Tensor) -> int | None:
        """Which decision an output is, itself or as a view or a copy."""
        return self._owner.get(_address(output))


def _has_axes(packet: Any, args: Any) -> bool:
    """Not `max` over everything: its result is a score, not a choice."""
    return packet not in (aten.max, aten.min) or (len(args) > 1 and isinstance(args[1], int))


def _address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def undecided(
    ref64: torch.Tensor, torch32: torch.Tensor, wide: Decisions, narrow: Decisions
) -> Mask | None:
    """The elements of an output whose margin is within the bound; `None` for no decision.

    The bound is the judge's: a score may be wrong by `4*max|torch32 - ref64| + 4*u*s`.
    """
    index = wide.behind(ref64)
    if index is None or narrow.behind(torch32) != index:
        return None
    exact, rough = wide.taken[index], narrow.taken[index]
    if exact.margin.numel() != ref64.numel() or exact.scores.shape != rough.scores.shape:
        return None
    error = (exact.scores - rough.scores).abs().nan_to_num(0.0, 0.0).max()
    scale = exact.scores.abs().nan_to_num(0.0, 0.0, 0.0).max()
    limit = exact.errors * (Bounds.max * error + 4 * 2.0**-24 * scale)
    return (~(exact.margin > limit)).reshape(ref64.shape).numpy()
