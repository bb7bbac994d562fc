"""J0xx: reading JSON."""

from specc.diagnostics.codes.code import Code

ENTRIES = (
    Code(
        "J001",
        "file not found",
        """
        There is no file at this path. Paths on the command line start from the current
        folder; paths inside a spec start from the folder of that spec.
        """,
    ),
    Code(
        "J002",
        "folder in place of a file",
        """
        The path leads to a folder, but a spec is one JSON file. Name the file inside it:

            wrong: specc check specs
            right: specc check specs/digits_mlp.json
        """,
    ),
    Code(
        "J003",
        "file cannot be read",
        """
        The operating system refused to open or read the file. Mostly it belongs to another
        user (`ls -l` shows its permissions), or its disk or network folder is gone.
        """,
    ),
    Code(
        "J004",
        "empty file",
        """
        The file holds nothing but white space. Either it was never written, or writing it was
        cut off. The smallest spec names the language version, an input and a layer.
        """,
    ),
    Code(
        "J005",
        "not UTF-8 text",
        """
        A spec is text in UTF-8, with or without a byte order mark. The message names the first
        byte that does not fit and its offset in the file. Save the file as UTF-8 in your
        editor; if it is a model or an archive, the wrong path was given.
        """,
    ),
    Code(
        "J006",
        "file too large",
        """
        A spec may take 16 MiB. Weights, tables and images do not belong into it: they live in
        files of their own, which `data.source` names.
        """,
    ),
    Code(
        "J007",
        "nested too deeply",
        """
        Lists and objects may stand inside each other 100 levels deep. Specs need about ten, so
        this is nearly always a generator that repeats itself. Blocks and `repeat` say the same
        with less nesting.
        """,
    ),
    Code(
        "J010",
        "unexpected text",
        """
        At this place JSON allows only what the message names: a value, a key in double quotes,
        or the end. A value is an object, a list, a string, a number, `true`, `false` or `null`.

            wrong: { "p": }                right: { "p": 0.2 }
            wrong: { "op": ReLU }          right: { "op": "ReLU" }
        """,
    ),
    Code(
        "J011",
        "missing comma",
        """
        Members of an object and elements of a list are parted by commas. The caret stands where
        the comma is due. If it stands inside what should be one string, the string holds a
        quote that needs a backslash.

            wrong: { "name": "fc1" "op": "Linear" }
            right: { "name": "fc1", "op": "Linear" }
        """,
    ),
    Code(
        "J012",
        "missing colon",
        """
        A key is followed by a colon and its value.

            wrong: { "bias" false }        right: { "bias": false }
        """,
    ),
    Code(
        "J013",
        "string not closed",
        """
        A string must end on the line that it starts on. Usually its closing quote is missing;
        a line break that belongs to the text is written `\\n`.
        """,
    ),
    Code(
        "J014",
        "object or list not closed",
        """
        The text ends while this bracket is still open. Close it, or look for a bracket too many
        that was opened after it. A file that breaks off in the middle was not written in full.
        """,
    ),
    Code(
        "J015",
        "text after the end",
        """
        A file holds one JSON value, and this text stands after it. Often a closing bracket
        comes too early, or two files were put together.

            wrong: { "specc": 1 } }        right: { "specc": 1 }
        """,
    ),
    Code(
        "J016",
        "brackets do not match",
        """
        A list that opens with `[` closes with `]`, an object that opens with `{` closes with
        `}`. The second label shows the bracket that is being closed.
        """,
    ),
    Code(
        "J020",
        "duplicate key",
        """
        The same key is given twice in one object. JSON readers disagree about which of the two
        counts, so none may: keep one.

            wrong: { "op": "Linear", "bias": true, "bias": false }
            right: { "op": "Linear", "bias": false }
        """,
    ),
    Code(
        "J021",
        "NaN or Infinity",
        """
        JSON has no word for NaN and the infinities. Where an argument may be unlimited, leave it
        out; inside a formula, infinity is written `inf`:

            right: { "formula": "where(mask, 0.0, -inf)" }
        """,
    ),
    Code(
        "J022",
        "trailing comma",
        """
        A comma parts two members, so none may follow the last one.

            wrong: [1, 2, ]                right: [1, 2]
        """,
    ),
    Code(
        "J023",
        "comment",
        """
        JSON has no comments. A note for readers goes in a `doc` key, which the spec and every
        layer may have, and which the generated code keeps.

            wrong: "ReLU"  // clips at 0
            right: { "op": "ReLU", "doc": "clips at 0" }
        """,
    ),
    Code(
        "J024",
        "single quotes",
        """
        Strings stand in double quotes. Text in single quotes is Python or JavaScript;
        `json.dumps` writes a Python value as JSON.

            wrong: { 'op': 'ReLU' }        right: { "op": "ReLU" }
        """,
    ),
    Code(
        "J025",
        "key without quotes",
        """
        Every key is a string in double quotes.

            wrong: { op: "ReLU" }          right: { "op": "ReLU" }
        """,
    ),
    Code(
        "J026",
        "control character in a string",
        """
        Tabs and other control characters may not stand in a string as they are. The hint gives
        the escape that means the same, such as `\\t`.
        """,
    ),
    Code(
        "J027",
        "unknown escape",
        """
        After a backslash JSON knows `"` `\\` `/` `b` `f` `n` `r` `t`, and `u` with four
        hexadecimal digits. A backslash that is meant as such is doubled, as in Windows paths;
        a forward slash works on every system.

            wrong: "data\\digits.csv"       right: "data/digits.csv"
        """,
    ),
    Code(
        "J028",
        "half of a surrogate pair",
        """
        Characters past U+FFFF are escaped as two halves, `\\ud83d\\ude00`; one half alone stands
        for no character and cannot be stored as UTF-8. Write the character itself.
        """,
    ),
    Code(
        "J029",
        "malformed number",
        """
        Numbers have no leading zero or plus, a digit on both sides of the point, and no base
        prefix or underscore.

            wrong: 01, +1, 1., .5, 0x10, 1_000
            right: 1,  1,  1.0, 0.5, 16, 1000
        """,
    ),
    Code(
        "J030",
        "number too large",
        """
        The number is larger than a float64 can hold (about 1.8e308), so it would become
        infinity. Check its exponent.
        """,
    ),
    Code(
        "J031",
        "integer too long",
        """
        Integers may have 4,300 digits. No size or seed needs more than 19 of them.
        """,
    ),
    Code(
        "J032",
        "word of another language",
        """
        JSON's words are `true`, `false` and `null`, in small letters. `True` and `None` are
        Python's; `json.dumps` writes a Python value as JSON.
        """,
    ),
)
