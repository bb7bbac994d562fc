"""E2xx: expressions and formulas."""

from specc.diagnostics.codes.code import Code

ENTRIES = (
    Code(
        "E201",
        "syntax error in an expression",
        """
        What stands in `"${…}"` or in a `formula` is one Python expression, and this is none. The
        caret stands at the place inside the string. An opening `${` needs its `}`.

            wrong: "${hidden * }"          right: "${hidden * 2}"
        """,
    ),
    Code(
        "E202",
        "unknown name in an expression",
        """
        The name stands for nothing at this place. Expressions see `params`, `let` names, loop
        variables (`i`, `item`), dims, and earlier layers for their `.shape`, `.rank` and
        `.dtype`. Inside a block only the block's own parameters and inputs are in scope.
        """,
    ),
    Code(
        "E203",
        "not allowed in an expression",
        """
        Expressions are a small part of Python: arithmetic, comparison, `and`, `or`, `not`,
        `a if c else b`, indexing, and the functions `min max abs round ceil floor sqrt log log2 len
        sum range int float`. Formulas add ops and tensor indexing. Assignments, lambdas,
        comprehensions and other attributes are left out, so that a spec cannot run code.
        """,
    ),
    Code(
        "E204",
        "division by zero",
        """
        The expression divides by zero, or takes a remainder by zero, with the values that its
        names have here. Check the parameter that the divisor comes from.

            wrong: "${hidden // heads}" with "heads": 0
        """,
    ),
    Code(
        "E205",
        "values do not fit the operation",
        """
        The operation exists but not for these values: adding text to a number, an index past the
        end of a list, the square root of a negative number.

            wrong: "${'a' + 1}"            right: "${'a1'}"
        """,
    ),
    Code(
        "E206",
        "too much work",
        """
        The expression is too long, nested too deeply, or its result is too large. Specs are read
        from anywhere, so the work that one may ask for is limited. Sizes fit into 64 bits.

            wrong: "${10 ** 10 ** 10}"
        """,
    ),
    Code(
        "E207",
        "depends on a symbolic size",
        """
        The outcome depends on a size that is known only when the model runs, such as `batch`,
        while an expression is evaluated at compile time. Give the dim a `min` and `max` under
        `dims` that decide the question, or a fixed size in the input's shape.
        """,
    ),
    Code(
        "E208",
        "values defined in a circle",
        """
        Values under `params` or `let` refer to each other in a circle, so none can be computed
        first.

            wrong: "let": { "a": "${b + 1}", "b": "${a - 1}" }
        """,
    ),
    Code(
        "E209",
        "formula gives no tensor",
        """
        A formula combines tensors at run time; this one is the same for every input. A constant
        belongs in a `Buffer`, a compile-time value in `let` or `params`.

            wrong: { "formula": "2 * 3" }  right: { "formula": "2 * x" }
        """,
    ),
)
