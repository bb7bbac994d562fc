"""S1xx: the structure of a spec."""

from specc.diagnostics.codes.code import Code

ENTRIES = (
    Code(
        "S101",
        "unknown key",
        """
        The object has a key that means nothing here, or the operator has no such parameter.
        Unknown keys are refused, because a misspelt one that is ignored would change the model
        in silence. Parameters have PyTorch's names; `specc ops NAME` lists those of one op.

            wrong: { "op": "Linear", "units": 10 }
            right: { "op": "Linear", "out_features": 10 }
        """,
    ),
    Code(
        "S102",
        "missing key",
        """
        A key or parameter that has no default is not there. The place is the object that should
        hold it.

            wrong: { "op": "Linear" }
            right: { "op": "Linear", "out_features": 10 }
        """,
    ),
    Code(
        "S103",
        "wrong type",
        """
        The value is of a type that the key does not take. A number in quotes is text; an
        expression `"${…}"` has the type of its result.

            wrong: { "epochs": "30" }      right: { "epochs": 30 }
        """,
    ),
    Code(
        "S104",
        "value out of range",
        """
        The value has the right type but lies outside what the key allows, such as a probability
        above 1 or a word that is not among the choices.

            wrong: { "op": "Dropout", "p": 1.5 }
            right: { "op": "Dropout", "p": 0.5 }
        """,
    ),
    Code(
        "S105",
        "unknown op",
        """
        There is no operator of this name. Ops have PyTorch's names exactly: modules in CamelCase
        (`BatchNorm2d`), functions in snake_case (`scaled_dot_product_attention`). `specc ops`
        lists them all.

            wrong: "relu2"                 right: "ReLU"
        """,
    ),
    Code(
        "S106",
        "layer of no kind, or of several",
        """
        A layer has exactly one of `op`, `block`, `layers`, `formula` and `share`, which says
        what it is.

            wrong: { "name": "act" }
            wrong: { "op": "ReLU", "formula": "x * 2" }
            right: { "name": "act", "op": "ReLU" }
        """,
    ),
    Code(
        "S107",
        "inferred parameter given",
        """
        What the input already says is not an argument: `in_features`, `in_channels`,
        `num_features`, `num_channels`, `embed_dim`, `input_size`, `in1_features`. The compiler
        works it out, so a change of one layer needs no change in the next.

            wrong: { "op": "Linear", "in_features": 64, "out_features": 10 }
            right: { "op": "Linear", "out_features": 10 }
        """,
    ),
    Code(
        "S108",
        "language version not supported",
        """
        `specc` names the version of the spec language. Older versions are migrated; a newer one
        than this program knows cannot be read. Install a newer release.
        """,
    ),
    Code(
        "S109",
        "named file cannot be used",
        """
        A file that `extends` or `imports` names lies outside the project, or the spec is not a
        file itself, so there is no folder to start from. Paths start from the folder of the file
        that holds them, and stay in the project so that the spec works on every machine.

            right: "extends": "base.json"
            right: "imports": { "vision": "blocks/vision.json" }
        """,
    ),
    Code(
        "S110",
        "`extends` goes in a circle",
        """
        The file that `extends` names leads back to this one through its own `extends`, or the
        chain of files is too long.

            wrong: a.json extends b.json, which extends a.json
        """,
    ),
    Code(
        "S111",
        "imported file has no blocks",
        """
        `imports` brings the `blocks` of another file in, under a prefix, and this file has none.

            right: "imports": { "vision": "blocks/vision.json" }
                   { "block": "vision.mbconv" }
        """,
    ),
    Code(
        "S112",
        "too many layers",
        """
        The number of layers that one spec may make is limited, so that a slip in `repeat` such as
        `1e9`, or blocks that repeat blocks, end in a message and not in a full memory.
        """,
    ),
    Code(
        "S113",
        "parameters contradict each other",
        """
        Each value is allowed by itself, but not together: two that exclude each other, or one
        that has a meaning only with another. The labels show both.
        """,
    ),
    Code(
        "S114",
        "not used",
        """
        A parameter, dim, block or import is defined but nothing refers to it. The model is not
        affected. Remove it, or check the spelling where it was meant to be used.
        """,
    ),
    Code(
        "S115",
        "unknown way to start a weight",
        """
        `init` takes the functions of `torch.nn.init` by name, `"zeros_"`, or with their arguments:
        `{ "op": "normal_", "std": 0.02 }`. Those that go by the number of inputs, such as
        `xavier_uniform_`, fill tensors of two or more axes only: no biases.
        """,
    ),
)
