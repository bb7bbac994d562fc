"""T4xx: shapes and types."""

from specc.diagnostics.codes.code import Code

ENTRIES = (
    Code(
        "T401",
        "shapes do not match",
        """
        Two sizes that must be equal are not, such as the axes that a matrix product sums over.
        The message shows both shapes; `specc show` lists the shape after every layer. Different
        symbolic names count as different sizes, as nothing says that they agree.
        """,
    ),
    Code(
        "T402",
        "wrong number of dimensions",
        """
        The layer needs another number of dimensions than its input has, or an axis that is not
        there. `Conv2d` takes `(batch, channels, height, width)`; `Flatten` and `Unflatten` change
        the number of dimensions.

            wrong: "shape": ["batch", 28, 28]     before Conv2d
            right: "shape": ["batch", 1, 28, 28]
        """,
    ),
    Code(
        "T403",
        "fixed size needed",
        """
        A weight gets its shape from this axis, so the axis must have a size that is known at
        compile time, not a symbolic one. Write an integer in the input's shape, or pool or
        flatten to a fixed size first.

            wrong: "shape": ["batch", "features"] before Linear
            right: "shape": ["batch", 64]
        """,
    ),
    Code(
        "T404",
        "wrong dtype",
        """
        The layer does not take values of this dtype: `Embedding` takes integers, `Linear` takes
        floating-point numbers, masks are `bool`. Weights are float32, so layers that have some take
        float32. Set the input's `dtype`, or convert with `to`.
        """,
    ),
    Code(
        "T405",
        "size is not positive",
        """
        The layer would give an axis of size zero or less, mostly a kernel that is larger than its
        input. Use a smaller kernel or stride, more padding, or a larger input; for a symbolic
        size, state its `min` under `dims`.
        """,
    ),
    Code(
        "T406",
        "shapes do not broadcast",
        """
        Elementwise operations line shapes up from the right; sizes must be equal or 1.
        `unsqueeze`, or `[:, None]` in a formula, adds an axis of size 1.

            wrong: (batch, 8) + (batch)    right: (batch, 8) + (batch, 1)
        """,
    ),
    Code(
        "T407",
        "op refused by the target",
        """
        PyTorch can run the layer as it is configured, but ONNX has no equal form of it at this
        opset. The message says what stands in the way. Another argument, or a newer `opset` under
        `export`, may have one.
        """,
    ),
    Code(
        "T408",
        "shared or tied weights differ",
        """
        `share` uses weights that an earlier call has shaped, so its inputs must have the same
        feature sizes and dtype. `tie` makes one tensor serve two layers, so both need the same
        shape: a `Linear` tied to an `Embedding` has as many `out_features` as that has tokens.

            right: { "op": "Linear", "out_features": 512, "tie": { "weight": "embed.weight" } }
        """,
    ),
    Code(
        "T409",
        "dims contradict each other",
        """
        What is promised about a symbolic size cannot hold: `min` above `max`, or an `example`
        that is outside them or not a multiple of `multiple_of`.
        """,
    ),
    Code(
        "T410",
        "size cannot be read off the inputs",
        """
        Inside a block or group, a symbolic size is taken from the shape of one of its inputs at run
        time, and none of them has it. Pass a value that has this size in through `from`.
        """,
    ),
    Code(
        "T411",
        "size does not divide",
        """
        A size must be a multiple of another: channels of `groups`, the width of `num_heads`, an
        axis of the parts that it is split into. A symbolic size can promise it with `multiple_of`
        under `dims`.

            wrong: width 100, "num_heads": 8      right: width 96, "num_heads": 8
        """,
    ),
    Code(
        "T412",
        "bad einops or einsum pattern",
        """
        The pattern does not fit its inputs: an axis is named once only, letters and dimensions
        differ in number, or a size cannot be worked out.

            wrong: "b (h d) -> b h d"             h or d must be given
            right: "b (h d) -> b h d" with "h": 8
        """,
    ),
    Code(
        "T413",
        "unknown dtype",
        """
        Dtypes have PyTorch's names: `float32`, `float16`, `bfloat16`, `float64`, `int64`,
        `int32`, `int8`, `uint8`, `bool`.
        """,
    ),
)
