"""R3xx: references and names."""

from specc.diagnostics.codes.code import Code

ENTRIES = (
    Code(
        "R301",
        "reference to nothing",
        """
        `from`, a formula or an output names a value that is not in scope. A reference is the name
        of a layer in the same list, of an input of the enclosing block, or a result such as
        `lstm.h_n`. Blocks and groups are closed: what is outside must come in through `from`.
        `share` names an earlier layer of the same list.
        """,
    ),
    Code(
        "R302",
        "reference to a later layer",
        """
        A layer can use only what stands before it. Move the layer that is referred to up, or
        this one down.

            wrong: [{ "op": "ReLU", "from": "fc" }, { "name": "fc", "op": "Linear", … }]
        """,
    ),
    Code(
        "R303",
        "name used twice",
        """
        Two things in one scope have the same name, so a reference to it, or a weight's path,
        would be ambiguous. A layer without a name is called by its index in the list. Outputs share
        their names with inputs and weights, in the exported file, and with the data columns, in
        the loss.
        """,
    ),
    Code(
        "R304",
        "not a name",
        """
        Names become steps of weight paths and attributes of the generated code. They have
        letters, digits, `_` and `-`, and no dot; those of the model, its inputs and its outputs
        have at most 100. Names of blocks, params and inputs also cannot be words of Python such
        as `class`.

            wrong: "conv 1", "layer.0"     right: "conv_1", "layer0"
        """,
    ),
    Code(
        "R305",
        "name of PyTorch's own",
        """
        Layers become attributes of the generated module, and every `nn.Module` has this attribute
        already: `train`, `forward`, `parameters` and others. A layer of that name would hide it.

            wrong: { "name": "forward", … }
            right: { "name": "forward_", … }
        """,
    ),
    Code(
        "R306",
        "inputs do not fit",
        """
        `from` gives more or fewer inputs than the op, block or group takes, or one by a name that
        it has not. A list gives inputs in order; an object gives them by name. `specc ops NAME`
        shows what an op's inputs are called.

            wrong: { "op": "Bilinear", "out_features": 4, "from": "a" }
            right: { "op": "Bilinear", "out_features": 4, "from": ["a", "b"] }
        """,
    ),
    Code(
        "R307",
        "block not found",
        """
        No block of this name is under `blocks`, nor in a file under `imports`. Blocks of an
        imported file are named with its prefix: `vision.mbconv`.
        """,
    ),
    Code(
        "R308",
        "unknown block parameter",
        """
        An instance of a block gives a parameter that the block does not have under `params`.

            "blocks": { "basic": { "params": { "channels": null, "stride": 1 }, … } }
            wrong: { "block": "basic", "width": 64 }
            right: { "block": "basic", "channels": 64 }
        """,
    ),
    Code(
        "R309",
        "block parameter missing",
        """
        A parameter whose default is `null` must be given by every instance of the block.

            "blocks": { "basic": { "params": { "channels": null }, … } }
            wrong: { "block": "basic" }
            right: { "block": "basic", "channels": 64 }
        """,
    ),
    Code(
        "R310",
        "block contains itself",
        """
        Blocks may use each other but not in a circle: the model would have no end. `repeat`
        stamps a layer out several times, `share` calls the same weights again.
        """,
    ),
    Code(
        "R311",
        "part without layers",
        """
        A block or group needs at least one layer. To pass a value on unchanged, use `Identity`.
        """,
    ),
    Code(
        "R312",
        "no such output or parameter",
        """
        `outputs` names a layer or a result that is not there, or `export.outputs` an output that
        is not declared. Without `outputs`, the last layer is the model's one output and is called
        `output`. Or `init` names a parameter, or a rule matches one, that the model does not have.
        """,
    ),
    Code(
        "R313",
        "unknown result of an op",
        """
        Ops with several results number or name them as PyTorch does: `chunk.0`, `lstm.h_n`. This
        one is not among them.
        """,
    ),
    Code(
        "R314",
        "tie to nothing",
        """
        `tie` names a weight by the path of its layer, `{ "weight": "embed.weight" }`. There is no
        weight at this path, or the chain of ties leads back to where it starts; `specc show` lists
        the paths.
        """,
    ),
    Code(
        "R315",
        "pattern matches nothing",
        """
        A rule under `init`, `freeze` or `param_groups` selects weights by op, parameter or path
        glob, and this one selects none. Most often a path step is misspelt, or `*` is missing.
        """,
    ),
    Code(
        "R316",
        "value is not used",
        """
        Nothing uses the result of this layer, or this input, so it is not in the exported model.
        Refer to it with `from` or `outputs`, or remove it.
        """,
    ),
)
