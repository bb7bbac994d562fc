"""D5xx: data."""

from specc.diagnostics.codes.code import Code

ENTRIES = (
    Code(
        "D501",
        "data file not found",
        """
        The file or folder that `data.source` names is not there. Relative paths start from the
        folder of the spec that holds them. `--set data.source.path=…` names another one.
        """,
    ),
    Code(
        "D502",
        "unknown column",
        """
        `from` names a column that the data does not have, or a glob that matches none. Names are
        compared letter by letter, with case and spaces.

            right: { "from": "pixel_*" }   for pixel_0, pixel_1, …
        """,
    ),
    Code(
        "D503",
        "cell is not a number",
        """
        A cell of a numeric column holds text. The message names its row (counted from 1, below
        the header) and column. Mend the data, or read classes with `"encode": "class"`.
        """,
    ),
    Code(
        "D504",
        "missing value",
        """
        A cell is empty. By default this is an error, so that no number is made up in silence. To
        fill such cells, say with what:

            { "from": "age", "missing": 0 }
        """,
    ),
    Code(
        "D505",
        "label out of range",
        """
        A class label is negative, or not below the number of classes that the model gives, or of
        rows of the `Embedding` that takes it. Check the size of that layer; labels count from 0.
        `"encode": "class"` numbers any labels.
        """,
    ),
    Code(
        "D506",
        "no data",
        """
        The source, or one part of its split, has no rows. Look for a file with only a header, or
        a fraction that is too small for the number of rows.
        """,
    ),
    Code(
        "D507",
        "data does not fit the input",
        """
        The shape of a row differs from the shape that the model's input declares. `shape` under
        `columns` reshapes flat columns; otherwise the columns or the input are wrong.

            right: { "from": "pixel_*", "shape": [1, 8, 8] }
        """,
    ),
    Code(
        "D508",
        "unknown kind of source",
        """
        `source.kind` is one of `csv`, `parquet`, `npz`, `npy`, `image_folder`, `text` and
        `memory`.
        """,
    ),
    Code(
        "D509",
        "bad split",
        """
        The split cannot be made: fractions are negative or add up to more than 1, or a class has
        too few rows to be in every part. `split` takes fractions, or names a file for each part.

            right: { "train": 0.8, "val": 0.1, "test": 0.1, "stratify": "label" }

        Rows that are too many for the memory are streamed. Which part such a row is in follows
        from a hash of its number, or of its `group`, so `stratify` needs `"memory": true`. A text
        is cut in its own order, so that windows of different parts never overlap.
        """,
    ),
    Code(
        "D510",
        "data file cannot be read",
        """
        The file is there but is not what `source.kind` says, or it is damaged. Rows of a csv file
        must have as many cells as its header; the message names the first that has not.
        """,
    ),
    Code(
        "D511",
        "no data for an input",
        """
        Each input of the model, and each target that the loss uses, needs a column entry of the
        same name under `data.columns`.
        """,
    ),
    Code(
        "D512",
        "unknown class",
        """
        A label is not among those that the training data had, so the model has no class for it.
        The labels are kept with the run and in the exported file's metadata. For a text the labels
        are its characters; `unknown` names one that stands for all that training never saw.
        """,
    ),
    Code(
        "D513",
        "value is not finite",
        """
        A cell is NaN or infinite, which would make the loss NaN. `missing` gives a fill value for
        NaN; infinite values must be mended in the data.
        """,
    ),
    Code(
        "D514",
        "value does not fit its dtype",
        """
        A value cannot be held by the column's `dtype` without change: 300 in a `uint8`, 0.5 in an
        `int64`. Choose a wider dtype.
        """,
    ),
)
