"""Compare the models of specs/ with the originals that they are written after.

python tools/check_zoo.py                 all of them
python tools/check_zoo.py resnet18 vit    those whose name begins so
    --no-onnx     leave out the proof of the ONNX export
    --compare     count the nodes of our ONNX graph beside those of `torch.onnx`
    --most N      leave out models of more than N million parameters

Each spec gets the weights of its original, randomly initialised and moved off constants, under
the same names, and must give the same outputs. Exits with 1 if one does not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from zoo import originals
from zoo.original import MissingLibraryError, Original, Tensors
from zoo.settling import settle

from specc.api.model import Model, load
from specc.parity.perturb import perturbed
from specc.parity.sizes import example_sizes, shape_of
from specc.parity.verify import prove

COLUMNS = ("spec", "parameters", "keys", "difference", "onnx", "nodes", "torch.onnx", "seconds")
WIDTHS = (28, 13, 10, 12, 10, 7, 11, 8)


@dataclass
class Result:
    """What was found about one spec."""

    spec: str
    parameters: int = 0
    keys: str = "-"
    difference: str = "-"
    onnx: str = "-"
    nodes: str = "-"
    theirs: str = "-"
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def row(self) -> str:
        """The result as a line of the table."""
        cells = (
            self.spec, f"{self.parameters:,}", self.keys, self.difference, self.onnx, self.nodes,
            self.theirs, f"{self.seconds:.1f}",
        )  # fmt: skip
        return line(cells)


def line(cells: Sequence[str]) -> str:
    pairs = list(zip(cells, WIDTHS, strict=True))
    return "  ".join([pairs[0][0].ljust(pairs[0][1]), *(text.rjust(w) for text, w in pairs[1:])])


def compare_weights(result: Result, module: torch.nn.Module, original: torch.nn.Module) -> bool:
    """Whether the names and shapes of all weights are the original's."""
    ours = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    theirs = {k: tuple(v.shape) for k, v in original.state_dict().items()}
    result.keys = "equal" if list(ours) == list(theirs) else "reordered"
    if ours == theirs:
        return True
    result.keys = "different"
    only_ours = [f"{k} {v}" for k, v in ours.items() if theirs.get(k) != v]
    only_theirs = [f"{k} {v}" for k, v in theirs.items() if ours.get(k) != v]
    result.problems.append(
        f"keys: {len(only_ours)} only in the spec ({', '.join(only_ours[:3])}), "
        f"{len(only_theirs)} only in the original ({', '.join(only_theirs[:3])})"
    )
    return False


def named_outputs(model: Model, made: object) -> Tensors:
    """The outputs of our module by name."""
    if isinstance(made, torch.Tensor):
        return {model.graph.outputs[0][0]: made}
    assert isinstance(made, dict)
    return made


def relative_difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference, relative to the largest value; 0 only where all bits agree."""
    if torch.equal(ours, theirs):
        return 0.0
    scale = theirs.abs().max().item() or 1.0
    return (ours.double() - theirs.double()).abs().max().item() / scale


def compare_outputs(
    result: Result, about: Original, model: Model, module: torch.nn.Module,
    original: torch.nn.Module,
) -> None:  # fmt: skip
    """Load the original's weights, run both, and note how far the outputs are apart."""
    module.load_state_dict(original.state_dict(), strict=True)
    inputs = about.inputs()
    with torch.no_grad():
        theirs = about.call(original, inputs)
        ours = named_outputs(model, module(*(inputs[v.name] for v in model.graph.inputs)))
    if set(ours) != set(theirs):
        result.problems.append(f"outputs: {sorted(ours)} instead of {sorted(theirs)}")
        return
    for name, value in theirs.items():
        if ours[name].shape != value.shape:
            result.problems.append(f"{name}: {ours[name].shape} instead of {value.shape}")
        elif not value.isfinite().all() or value.unique().numel() < min(2, value.numel()):
            result.problems.append(f"{name}: the original's values prove nothing")
    if not depends_on_inputs(about, original, theirs):
        result.problems.append("the original gives the same for other inputs, which proves nothing")
    if result.problems:
        return
    worst = max(relative_difference(ours[name], value) for name, value in theirs.items())
    result.difference = "0" if worst == 0 else f"{worst:.1e}"
    if worst > about.tolerance:
        result.problems.append(f"outputs differ by {worst:.2e}, allowed {about.tolerance:g}")


def depends_on_inputs(about: Original, original: torch.nn.Module, outputs: Tensors) -> bool:
    """Whether inputs read backwards give clearly other outputs."""
    # Along every axis: a model may not care for the order of words.
    backwards = {name: x.flip(list(range(x.ndim))) for name, x in about.inputs().items()}
    with torch.no_grad():
        others = about.call(original, backwards)
    return any(relative_difference(others[name], value) > 1e-3 for name, value in outputs.items())


def settle_fresh(model: Model, module: torch.nn.Module) -> None:
    """Give a fresh module's BatchNorms statistics that fit its weights, over enough values."""
    sizes = {name: 3 * size for name, size in example_sizes(model.interface).items()}
    shapes = [shape_of(info.type.shape, sizes) for info in model.interface.inputs]
    settle(module, lambda: module(*map(uneven, shapes)))


def uneven(shape: Sequence[int]) -> torch.Tensor:
    """Random samples of different levels, as images are of different brightness."""
    generator = torch.Generator().manual_seed(0)
    level = torch.randn(shape[0], *[1] * (len(shape) - 1), generator=generator)
    return 4 * level + torch.randn(*shape, generator=generator)


def prove_onnx(result: Result, about: Original) -> None:
    """Export a small configuration of the spec and prove that it computes the same."""
    model = load(about.path, about.small)
    module = perturbed(model.compile(seed=0).eval(), seed=0)
    settle_fresh(model, module)
    for opset in about.opsets:
        exported = model.to_onnx(module.state_dict(), opset=opset)
        certificate = prove(module, exported, model.interface, options={"cases": 2})
        result.onnx = certificate.verdict
        if certificate.verdict != "pass":
            result.problems += [f"onnx: {text}" for text in certificate.failures[:3]]
            result.problems += [f"onnx: {text}" for text in certificate.notes[:3]]
            return


def count_nodes(result: Result, about: Original, model: Model, original: torch.nn.Module) -> None:
    """How many nodes our graph and that of `torch.onnx` have."""
    import onnx

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "ours.onnx"
        model.save_onnx(path, original.state_dict())
        result.nodes = str(len(onnx.load(path, load_external_data=False).graph.node))
    inputs = tuple(about.inputs().values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(original, inputs, dynamo=True, verbose=False)
        except torch.onnx.OnnxExporterError:
            result.theirs = "fails"
            return
    assert program is not None
    result.theirs = str(sum(1 for _ in program.model.graph))


def check(about: Original, *, onnx: bool = True, compare: bool = False) -> Result:
    """Compare one spec with its original."""
    began = time.perf_counter()
    result = Result(about.spec)
    torch.manual_seed(0)
    original = perturbed(about.make().eval(), seed=0)
    settle(original, partial(about.call, original, about.inputs()))
    model = load(about.path, about.reduced)
    module = model.compile(seed=0).eval()
    result.parameters = load(about.path).summary().parameters
    # What the original freezes from the start may be a buffer here: positions that are computed.
    ours, theirs = (
        sum(p.numel() for p in m.parameters() if p.requires_grad) for m in (module, original)
    )
    if ours != theirs:
        result.problems.append(f"parameters: {ours:,}, the original has {theirs:,}")
    if about.parameters not in (None, result.parameters):
        result.problems.append(f"parameters: published are {about.parameters:,}")
    if compare_weights(result, module, original):
        compare_outputs(result, about, model, module, original)
    if compare:
        count_nodes(result, about, model, original)
    del original, module
    if onnx:
        prove_onnx(result, about)
    result.seconds = time.perf_counter() - began
    return result


def chosen(names: Sequence[str], limit: float | None) -> list[Original]:
    """The originals that were asked for, in the order of the registry."""
    known = originals()
    for name in names:
        if not any(o.name.startswith(name) for o in known):
            sys.exit(f"there is no model `{name}`; there are {', '.join(o.name for o in known)}")
    exact = [n for n in names if any(o.name == n for o in known)]
    prefixes = [n for n in names if n not in exact]
    asked = [
        o for o in known
        if not names or o.name in exact or any(o.name.startswith(p) for p in prefixes)
    ]  # fmt: skip
    return [o for o in asked if limit is None or (o.parameters or 0) <= limit * 1e6]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("names", nargs="*", help="models whose name is or begins so")
    parser.add_argument("--no-onnx", action="store_true", help="no proof of the ONNX export")
    parser.add_argument("--compare", action="store_true", help="count nodes beside torch.onnx")
    parser.add_argument("--most", type=float, help="the most parameters, in millions")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    torch.set_num_threads(1)
    print(line(COLUMNS))
    failed = 0
    for about in chosen(options.names, options.most):
        try:
            result = check(about, onnx=not options.no_onnx, compare=options.compare)
        except MissingLibraryError as fault:
            print(f"{about.spec}: not compared, {fault}")
            failed += 1
            continue
        print(result.row(), flush=True)
        for problem in result.problems:
            print(f"    {problem}", flush=True)
        failed += bool(result.problems)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
