"""The `specc` command: one short function a command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from specc.cli.launching import group, launch
from specc.cli.options import (
    BAD,
    FAILED,
    FINE,
    Commands,
    Output,
    runs_folder,
    setting,
    shared,
    spec_argument,
    spec_or_default,
)
from specc.cli.resuming import model_and_run
from specc.runtime.launched import is_launched

EPILOG = "Exit codes: 0 fine; 1 a proof or a run failed; 2 the spec or the usage is wrong."


@click.group(cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="specc", prog_name="specc")
def main() -> None:
    """A model is one JSON file: checked, compiled to PyTorch, trained, exported, proven."""


@main.command(epilog="Example: specc check specs/digits_mlp.json")
@spec_argument
@setting
@shared
def check(spec: Path | None, sets: Sequence[str], out: Output) -> int:
    """Check a spec: every error at once, at its line and column. Does not import torch."""
    from specc.api.checking import check as check_spec

    path = spec_or_default(spec)
    found = check_spec(path, sets)
    out.findings(found.items)
    if not found.has_errors:
        out.say(f"{path}: fine")
    return BAD if found.has_errors else FINE


@main.command(epilog="Example: specc show specs/digits_mlp.json --set params.hidden=256")
@spec_argument
@setting
@shared
def show(spec: Path | None, sets: Sequence[str], out: Output) -> None:
    """Print layers, output shapes, parameters and FLOPs. Does not import torch."""
    from specc.api import load
    from specc.api.building import summary_json
    from specc.cli.tables import print_summary

    summary = load(spec_or_default(spec), sets).summary()
    out.result(summary_json(summary))
    out.show(lambda: print_summary(summary))


@main.command(epilog="Example: specc build specs/digits_mlp.json -o build/digits")
@spec_argument
@setting
@click.option(
    "-o",
    "--out",
    "folder",
    type=click.Path(path_type=Path),
    help="Folder to write to [build/<name>].",
)
@shared
def build(spec: Path | None, sets: Sequence[str], folder: Path | None, out: Output) -> None:
    """Write the PyTorch source, the resolved spec and the summary."""
    from specc.api import load
    from specc.api.building import build as build_model
    from specc.api.building import built_files, summary_json
    from specc.cli.tables import print_summary

    model = load(spec_or_default(spec), sets)
    made = build_model(model, folder)
    summary = model.summary()
    out.result({"folder": str(made), **summary_json(summary)})
    out.show(lambda: print_summary(summary))
    out.say(f"wrote {', '.join(built_files(model))} to {made}")


@main.command(epilog="Example: specc train specs/digits_mlp.json --set train.epochs=5")
@spec_argument
@setting
@runs_folder
@click.option(
    "--resume",
    "resume",
    is_flag=False,
    flag_value="",
    metavar="[RUN]",
    help="Go on with a run [the newest unfinished one of the spec].",
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="cpu, cuda, cuda:1, …; auto takes a GPU if there is one.",
)
@click.option(
    "--devices",
    type=click.IntRange(1),
    metavar="N",
    help="Train on N devices of this machine, or in N processes on the CPU.",
)
@click.option("--shard", is_flag=True, help="Spread the weights over the devices (FSDP2).")
@click.option("--tensorboard", is_flag=True, help="Write TensorBoard events into the run as well.")
@shared
def train(
    spec: Path | None, sets: Sequence[str], runs: Path, resume: str | None, device: str,
    devices: int | None, shard: bool, tensorboard: bool, out: Output,
) -> int:  # fmt: skip
    """Train a model; leaves a run folder with weights, metrics and checkpoints.

    With --resume it goes on where a run stopped or was killed, to the same weights and metrics
    as if nothing had happened. The batch size is that of all devices together, so their number
    doesn't change the result. For several machines, start it with torchrun.
    """
    from specc.api.training import train as train_model
    from specc.cli.progress import reporter

    if devices is not None and not is_launched():
        return launch(devices, device, click.get_current_context().obj, out)
    with group(device) as agreed:
        with agreed():
            model, folder = model_and_run(spec, sets, runs, resume)
        with reporter(out, model.name) as listener:
            result = train_model(
                model, runs=runs, reporter=listener, resume=folder, device=device, shard=shard,
                tensorboard=tensorboard,
            )  # fmt: skip
    out.result({
        "folder": str(result.folder), "metrics": result.metrics, "epochs": result.epochs,
        "best_epoch": result.best_epoch, "stopped": result.stopped,
        "seconds": round(result.seconds, 3),
        "samples_per_second": round(result.samples_per_second),
    })  # fmt: skip
    return FAILED if result.stopped == "interrupted" else FINE


@main.command(epilog="Example: specc runs digits_mlp")
@click.argument("names", metavar="[MODEL|RUN]...", nargs=-1)
@runs_folder
@shared
def runs(names: Sequence[str], runs: Path, out: Output) -> None:
    """List all runs, or those of some models; compare runs if folders are named.

    Does not import torch.
    """
    from specc.api.run_list import differences, list_runs, read_run
    from specc.cli.runs_table import print_comparison, print_runs

    folders = [Path(name) for name in names if Path(name).is_dir()]
    if folders and len(folders) == len(names):
        found, changed = [read_run(folder) for folder in folders], differences(folders)
        out.result({"runs": [run.as_json() for run in found], "differences": changed})
        out.show(lambda: print_comparison(found, changed))
        return
    found = list_runs(runs, names)
    out.result([run.as_json() for run in found])
    if found:
        out.show(lambda: print_runs(found))
    else:
        out.say(f"there are no runs in {runs}" + (f" of {', '.join(names)}" if names else ""))


@main.command(epilog="Example: specc export --onnx runs/digits_mlp/20260101-120000 --opset 23")
@click.argument("source", metavar="[RUN|SPEC]", type=click.Path(path_type=Path), required=False)
@setting
@click.option("--onnx", "onnx", is_flag=True, help="Export to ONNX (the only format so far).")
@click.option(
    "-o",
    "--out",
    "target",
    type=click.Path(path_type=Path),
    help="File to write [beside the weights].",
)
@click.option("--weights", type=click.Path(path_type=Path), help="Weights to put in (safetensors).")
@click.option("--opset", type=click.IntRange(17, 23), help="ONNX operator set [20, or the spec's].")
@runs_folder
@shared
def export(
    source: Path | None, sets: Sequence[str], onnx: bool, target: Path | None,
    weights: Path | None, opset: int | None, runs: Path, out: Output,
) -> int:  # fmt: skip
    """Export to ONNX and prove that ONNX Runtime computes what PyTorch computes.

    Without RUN or SPEC: the newest run. The file gets its name only once it is proven.
    """
    from specc.api.exporting import export as export_model
    from specc.cli.progress import steps
    from specc.cli.tables import print_certificate

    if not onnx:
        raise click.UsageError("say which format to export to: --onnx")
    with steps(out, "proving") as progress:
        done = export_model(
            source, sets, runs=runs, target=target, weights=weights, opset=opset, progress=progress
        )
    out.result({"model": str(done.model) if done.model else None, **done.certificate.as_json()})
    out.show(lambda: print_certificate(done))
    return FINE if done.proven else FAILED


@main.command(epilog="Example: specc verify runs/digits_mlp/20260101-120000/model.onnx")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--spec",
    type=click.Path(path_type=Path),
    help="The spec [a.spec.json beside a.onnx, spec.resolved.json beside model.onnx].",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="The weights [a.weights.safetensors, or weights.safetensors beside model.onnx].",
)
@click.option("--vectors", is_flag=True, help="Only its own test vectors; needs no torch.")
@shared
def verify(model: Path, spec: Path | None, weights: Path | None, vectors: bool, out: Output) -> int:
    """Prove an exported model again: against the spec and the weights, or its test vectors."""
    from specc.api.verifying import verify as verify_model
    from specc.cli.progress import steps
    from specc.cli.tables import print_certificate

    with steps(out, "proving") as progress:
        done = verify_model(model, spec, weights, vectors_only=vectors, progress=progress)
    out.result(done.certificate.as_json())
    out.show(lambda: print_certificate(done))
    return FINE if done.proven else FAILED


@main.command(epilog="Example: specc predict model.onnx --data rows.csv -o predictions.csv")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    help="Rows to predict (csv, parquet, npz, npy), an image, or a folder of images.",
)
@click.option(
    "-o",
    "--out",
    "target",
    type=click.Path(path_type=Path),
    help="File to write (csv) [standard output].",
)
@shared
def predict(model: Path, data: Path, target: Path | None, out: Output) -> None:
    """Predict with an exported model through ONNX Runtime. Does not import torch."""
    from specc.api.predicting import predict as predict_rows
    from specc.cli.tables import predictions_csv, prepare_target, write_predictions

    if target is not None:
        prepare_target(target)
    table = predict_rows(model, data)
    if target is not None:
        write_predictions(table, target)
        out.result({"file": str(target), "rows": len(next(iter(table.values()), []))})
    elif out.as_json:
        out.result(table)
    else:
        click.echo(predictions_csv(table), nl=False)


@main.command(epilog="Example: specc ops Conv2d")
@click.argument("name", required=False)
@shared
def ops(name: str | None, out: Output) -> None:
    """List the operators, or describe one. Does not import torch."""
    from specc.cli.describe import describe_op, list_ops, op_json

    out.result(op_json(name))
    out.say(describe_op(name) if name else list_ops())


@main.command(epilog="Example: specc schema > spec.schema.json")
@shared
def schema(out: Output) -> None:
    """Print the JSON Schema of specs, for editors and generators."""
    import json

    from specc.spec.schema import published_schema

    del out
    click.echo(json.dumps(published_schema(), indent=2, ensure_ascii=False))


@main.command(epilog="Example: specc explain T402")
@click.argument("code")
@shared
def explain(code: str, out: Output) -> None:
    """Explain the code of an error message."""
    from specc.cli.describe import explain_code

    found: dict[str, Any] = explain_code(code)
    out.result(found)
    out.say(f"{found['code']}: {found['title']}\n\n{found['explanation']}")
