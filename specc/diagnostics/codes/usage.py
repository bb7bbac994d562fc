"""U8xx: usage of the program."""

from specc.diagnostics.codes.code import Code

ENTRIES = (
    Code(
        "U801",
        "no spec found",
        """
        No spec was named and the current folder has no `spec.json`.

            specc check specs/digits_mlp.json
        """,
    ),
    Code(
        "U802",
        "no run found",
        """
        No run was named and there is none under `runs/`. `specc train SPEC` makes one;
        `specc export SPEC` works without, with initial weights.
        """,
    ),
    Code(
        "U803",
        "cannot write",
        """
        A result could not be written: the folder is read-only, belongs to another user, or the
        disk is full. Nothing half-written is left behind. `-o DIR` writes elsewhere.
        """,
    ),
    Code(
        "U804",
        "unknown op or code",
        """
        `specc ops NAME` and `specc explain CODE` take a name that is in their list; without a
        name they print it.
        """,
    ),
    Code(
        "U805",
        "wrong usage",
        """
        The command does not take such an argument or option, or not such a value for it. `--help`
        shows what a command takes.
        """,
    ),
    Code(
        "U806",
        "package not installed",
        """
        The command needs a Python package that is not there. The hint has the line that installs
        it.
        """,
    ),
    Code(
        "U807",
        "file not found",
        """
        A model, a spec or a weights file that the command names is not there.
        """,
    ),
    Code(
        "U810",
        "`--set` without a value",
        """
        `--set` takes a dotted path, `=`, and a value.

            wrong: --set params.hidden 256
            right: --set params.hidden=256
        """,
    ),
    Code(
        "U811",
        "empty key in `--set`",
        """
        A step of the path before `=` is empty.

            wrong: --set params..hidden=256
            right: --set params.hidden=256
        """,
    ),
    Code(
        "U812",
        "no such list element in `--set`",
        """
        A step into a list is an index from 0, or from -1 backwards, of an element that is there.
        `--set` changes elements; it does not add any.

            right: --set layers.0.out_features=64
        """,
    ),
    Code(
        "U813",
        "`--set` inside a plain value",
        """
        The path goes on below a number, a text or a truth value, which has no parts.

            wrong: --set params.hidden.size=256   where "hidden": 128
            right: --set params.hidden=256
        """,
    ),
    Code(
        "U814",
        "`--set` of nothing",
        """
        The spec has no parameter of this name, so the assignment would change nothing. `extends`
        has been followed before `--set` is looked at, and cannot be set either.

            wrong: --set params.hiden=256         where "hidden": 128
            right: --set params.hidden=256
        """,
    ),
)
