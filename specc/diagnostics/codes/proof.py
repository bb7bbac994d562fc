"""P7xx: export and proof."""

from specc.diagnostics.codes.code import Code

ENTRIES = (
    Code(
        "P701",
        "proof failed",
        """
        The ONNX model and the PyTorch model differ by more than rounding explains. Both are
        compared with a float64 reference on the same inputs; `parity.json` names the worst case,
        its error, its bound and the layer where the difference starts. A model that is not proven
        does not get its name.
        """,
    ),
    Code(
        "P702",
        "proof is degenerate",
        """
        The outputs agree, but they would agree for a wrong model too: all are zero, constant, or
        not finite. Train the model, or check its initial weights, and verify again.
        """,
    ),
    Code(
        "P703",
        "model is ill-conditioned",
        """
        Rounding inside the model is amplified so much that float32 results say little: PyTorch
        itself is far from its float64 reference. The export cannot be proven, nor blamed. Look
        for differences of large numbers, large weights, or missing normalization.
        """,
    ),
    Code(
        "P704",
        "runtime crashed",
        """
        A runtime did not finish on a model that should run. The message has what it said last.
        The other runtimes' results are kept in `parity.json`.
        """,
    ),
    Code(
        "P705",
        "file is damaged",
        """
        The file is not what its name says, or its content does not match its recorded hash:
        cut off while it was copied, or changed since it was proven. Export it again.
        """,
    ),
    Code(
        "P706",
        "no test inputs can be made",
        """
        No input satisfies all that is declared: shapes, `dims` and the values that a layer
        accepts. Give an `example` under `dims`, or cases of your own under `parity`.
        """,
    ),
    Code(
        "P707",
        "structure check failed",
        """
        The ONNX file is not a valid model, or its inputs, outputs, weights or opset are not those
        of the spec. It is never given its name.
        """,
    ),
    Code(
        "P708",
        "nothing to verify against",
        """
        The model has neither a spec and weights nor test vectors (`test_data_set_0`) beside it, so
        there is nothing to compare it with. Keep the folder that `specc export` wrote together.
        """,
    ),
    Code(
        "P709",
        "weights do not fit",
        """
        The weights file and the spec disagree in names, shapes or dtypes. Weight names are layer
        paths: `layer1.0.conv1.weight`.
        """,
    ),
    Code(
        "P710",
        "runtime not available",
        """
        The runtime that should run the model is not installed, or its version is too old for the
        model's opset.
        """,
    ),
    Code(
        "P711",
        "model does not describe its inputs",
        """
        `specc predict` reads from the ONNX file which columns each input takes and which labels
        an output stands for. A model exported from a run of `specc train` says so; one exported
        from a spec without data does not.
        """,
    ),
)
